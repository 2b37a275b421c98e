"""The compiler from a recipe's path to verified artefacts, in the order things happen."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp

from lottoc import inputs
from lottoc.artefacts import Artefact, emit
from lottoc.catalog import Catalog
from lottoc.collapse import check_signal
from lottoc.diagnostics import Diagnostic, Findings, RecipeError, RequirementError
from lottoc.engine.evaluate import Engine
from lottoc.front import IR_SUFFIX, Request, front
from lottoc.ir import lotto
from lottoc.ir.laws import verify_after
from lottoc.ir.place import labels
from lottoc.ir.text import context, parse
from lottoc.lower.admit import admit
from lottoc.lower.program import Program
from lottoc.methods.lab import FoundStep
from lottoc.passes import pipeline
from lottoc.recipe_file import read
from lottoc.report.origin import Origin, of_ir, of_recipe
from lottoc.report.ranking import Ranking, rankings
from lottoc.report.report import (
    ControlRow,
    TicketRow,
    build_report,
    control_rows,
    ticket_rows,
    to_bytes,
)
from lottoc.report.stability import Stability, never_stable, plot, stabilities
from lottoc.staging import put_in_place, staging


@dataclass(frozen=True)
class Outcome:
    """What a compile made."""

    tickets: list[TicketRow]
    artefacts: list[Artefact]
    report: Path
    computed: int
    trained: int
    inputs: tuple[Path, ...]
    """Every file that was read for it."""
    controls: list[ControlRow] = field(default_factory=list)
    ranks: list[Ranking] = field(default_factory=list)
    stabilities: list[Stability] = field(default_factory=list)


@dataclass(frozen=True)
class Start:
    """What there is to build, whichever text it came as, and how the report names that."""

    module: ModuleOp
    origin: Origin
    inputs: tuple[Path, ...]


def begin(request: Request, findings: Findings, engine: Engine | None = None) -> Start:
    """Whole-network or mask IR of a recipe or, where the file is called so, of IR text.

    `engine` computes what decides how the recipe goes on, such as a step to rewind to.
    """
    if request.recipe.suffix == IR_SUFFIX:
        source = read(request.recipe, "ir")
        refuse_defines(request)
        module = parse(source)
        return Start(module, of_ir(source, module), inputs.of_module(request.recipe, module))
    source, program = front(request, findings, deep=True)
    origin = of_recipe(source, request.defines, program)
    files = inputs.of_program(request.recipe, program)
    return Start(recipe_ir(request, program, engine), origin, files)


def refuse_defines(request: Request) -> None:
    """IR text has no params left to set."""
    for name in request.defines:
        message = f'{request.recipe} is IR, which has no param "{name}" any more'
        help = ("set it when the IR is made:  lottoc ir -D …",)
        raise RecipeError([Diagnostic("unknown-param", message, help=help)])


def recipe_ir(request: Request, program: Program, engine: Engine | None = None) -> ModuleOp:
    """The recipe as whole-network operations.

    Tickets may rewind to a step that a `stability` block finds; that is looked for first.
    """
    from lottoc.lower.to_ir import lower

    engine = engine or Engine(request.store, request.progress, trace=request.trace)
    module = lower(program, Catalog(request.store), _found_steps(request, program, engine))
    verify_after("lowering", module)
    return module


def _found_steps(request: Request, program: Program, engine: Engine) -> dict[str, int]:
    """By block, the step that is found; raises `RequirementError` (never-stable) if none is."""
    from lottoc.lower.to_ir import lower_stability

    methods = [t.found.method for t in program.tickets.values() if t.found is not None]
    rewinds = [getattr(method, "rewind", None) for method in methods]
    wanted = list(dict.fromkeys(r.block for r in rewinds if isinstance(r, FoundStep)))
    if not wanted:
        return {}
    module = mask_ir(lower_stability(program, Catalog(request.store), wanted))
    engine.run(module)
    found: dict[str, int] = {}
    for stability in stabilities(module, engine):
        if stability.step is None:
            raise never_stable(stability, program.stabilities[stability.block].span)
        found[stability.block] = stability.step
    return found


def mask_ir(module: ModuleOp) -> ModuleOp:
    """The same program layer by layer, ready to be evaluated; lowers in place."""
    pipeline.run(module, pipeline.LOWER, context())
    return module


def compile_recipe(request: Request, output: Path, findings: Findings) -> Outcome:
    """Compile a recipe, or IR text, into a folder of artefacts and a report.

    Nothing is written to `output` unless every artefact is verified and every `require` holds.
    Raises a `LottoError` whose exit code says what went wrong.
    """
    engine = Engine(request.store, request.progress, trace=request.trace)
    start = begin(request, findings, engine)
    module = mask_ir(start.module)
    if request.recipe.suffix == IR_SUFFIX:
        admit(module, Catalog(request.store), findings)
    engine.run(module)
    rows = ticket_rows(module, engine)
    check_signal(module, engine, findings)
    _check_requirements(module, engine, rows)
    with staging(output) as folder:
        artefacts = [
            artefact
            for op in module.ops
            if isinstance(op, lotto.EmitOp)
            for artefact in emit(op, swaps_of(op), engine, folder, request.progress)
        ]
        report = build_report(start.origin, module, engine, rows, artefacts)
        (folder / "report.json").write_bytes(to_bytes(report))
        plots = {f"{one.block}.svg": plot(one) for one in stabilities(module, engine)}
        for name, drawn in plots.items():
            (folder / name).write_text(drawn, encoding="utf-8")
        put_in_place(folder, output, [*(a.path for a in artefacts), *plots, "report.json"])
    report_path = output / "report.json"
    return Outcome(
        rows,
        artefacts,
        report_path,
        engine.computed,
        engine.trained,
        start.inputs,
        control_rows(module, engine),
        rankings(module, engine),
        stabilities(module, engine),
    )


def swaps_of(emit: lotto.EmitOp) -> list[lotto.SwapOp]:
    """The files that an artefact is to be turned into other tickets with, in their order."""
    block = emit.parent_block()
    assert block is not None
    if emit.kind.data != "onnx":
        return []
    return [o for o in block.ops if isinstance(o, lotto.SwapOp) and o.path == emit.path]


class RequirementsNotMet(RequirementError):
    """Carries the ticket table, so that a failed contract can still be looked into."""

    def __init__(self, diagnostics: list[Diagnostic], rows: list[TicketRow]) -> None:
        super().__init__(diagnostics)
        self.rows = rows


def _check_requirements(module: ModuleOp, engine: Engine, rows: list[TicketRow]) -> None:
    failed = []
    for op in module.ops:
        if isinstance(op, lotto.RequireOp):
            left, right = engine.value(op.lhs), engine.value(op.rhs)
            if not lotto.COMPARISONS[op.predicate.data](left, right):
                failed.append(
                    Diagnostic(
                        "require-failed",
                        f"{op.text.data.removeprefix('require ')} does not hold: "
                        f"{left:.6g} {op.predicate.data} {right:.6g} is false",
                        labels(op, f"left {left:.6g}, right {right:.6g}"),
                        ("no artefact was written; change the recipe, or what it asks for",),
                    )
                )
    if failed:
        raise RequirementsNotMet(failed, rows)
