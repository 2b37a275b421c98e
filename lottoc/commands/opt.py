"""`lottoc opt`: IR text in, passes, IR text out; the bench at which passes are tried."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lottoc.commands.options import Format
from lottoc.commands.run import run
from lottoc.diagnostics import Findings, Source, input_error
from lottoc.whole_file import write_whole

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp
    from xdsl.passes import ModulePass

EXAMPLE = (
    'Example: lottoc ir lenet.lotto | lottoc opt --passes "unroll-methods,cse" --print-between'
)

_SPLIT = re.compile(r"^// -----.*$\n?", re.MULTILINE)


def opt(
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="IR text; - is standard input.")
    ] = Path("-"),
    passes: Annotated[
        str, typer.Option("--passes", "-p", help='What to run: "a,b{option=1 other=x,y}".')
    ] = "",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write here, whole or not at all.")
    ] = None,
    print_between: Annotated[
        bool, typer.Option("--print-between", help="Print the IR after each pass, on stderr.")
    ] = False,
    list_passes: Annotated[
        bool, typer.Option("--list-passes", "--list", help="List passes and their options.")
    ] = False,
    verify_each: Annotated[
        bool, typer.Option("--verify-each/--no-verify-each", help="Verify after each pass.")
    ] = True,
    split_input_file: Annotated[
        bool, typer.Option("--split-input-file", help="Modules are separated by // -----.")
    ] = False,
    generic: Annotated[
        bool, typer.Option("--print-op-generic", help="Write all operations in one form.")
    ] = False,
) -> None:
    """Run passes on IR text.

    Exits 2 for text that is no IR, invalid IR or a pass that refuses it, 3 for an unreadable file.
    """

    def work(_: Findings) -> dict[str, Any]:
        if list_passes:
            print(_listing())
            return {}
        from lottoc.ir import text
        from lottoc.passes import pipeline, spelling

        steps = spelling.parse(passes)
        source = _read(file)
        results = []
        for start, end in _parts(source) if split_input_file else [(0, len(source.text))]:
            module = text.parse(source, start, end)
            after = _show if print_between else _say_nothing
            pipeline.run(module, steps, text.context(), after, verify=verify_each)
            results.append(text.to_text(module, generic=generic))
        _write(output, "// -----\n".join(results))
        return {}

    run(work, Format.text)


def _read(file: Path) -> Source:
    from lottoc.recipe_file import read

    if str(file) != "-":
        return read(file, "ir")
    try:
        return Source("<stdin>", sys.stdin.buffer.read().decode())
    except UnicodeDecodeError as error:
        message = f"standard input is not UTF-8 text (byte {error.start})"
        raise input_error("ir-not-readable", message) from error


def _parts(source: Source) -> Iterator[tuple[int, int]]:
    """Where the modules of a file stand, between lines that begin with `// -----`."""
    start = 0
    for line in _SPLIT.finditer(source.text):
        yield start, line.start()
        start = line.end()
    yield start, len(source.text)


def _show(step: ModulePass, module: ModuleOp) -> None:
    from lottoc.ir.text import to_text

    print(f"// ----- after {step.spec()}\n{to_text(module)}", end="", file=sys.stderr)


def _say_nothing(step: ModulePass, module: ModuleOp) -> None:
    """Without --print-between."""


def _write(output: Path | None, text: str) -> None:
    if output is None:
        sys.stdout.write(text)
    else:
        write_whole(output, text)


def _listing() -> str:
    from lottoc.passes import PASSES, pass_class, pipeline, spelling, summary

    lines = []
    for name in PASSES:
        lines += [name, f"    {summary(name)}"]
        lines += [f"    {option}" for option in spelling.options_of(pass_class(name))]
    return "\n".join([*lines, "", "lottoc compile runs", f"    {','.join(pipeline.LOWER)}"])
