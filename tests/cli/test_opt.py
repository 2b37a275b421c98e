"""`lottoc opt` from the outside: pipelines, options, files, damaged text."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from ir_texts import ROOT, ir_texts
from typer.testing import CliRunner, Result

from lottoc.cli import app
from lottoc.passes import PASSES, pipeline

PAGES = sorted((ROOT / "tests" / "passes").glob("*.mlir"))

MODEL = (
    '%m = lotto.model {model = "net", source = "onnx", path = "net.onnx", digest = "d", '
    'layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">\n'
)
UNUSED = MODEL + '%w = lotto.init %m seed 0 : !lotto.weights<"net">\n'
USED = UNUSED + 'lotto.ticket "t" %w shows []() : !lotto.weights<"net">\n'


def opt(*arguments: str, text: str = USED) -> Result:
    return CliRunner().invoke(app, ["opt", *arguments], input=text.encode())


def test_without_passes_it_parses_verifies_and_prints() -> None:
    printed = opt().stdout
    assert printed.startswith("builtin.module {\n  %m = lotto.model")
    assert opt("-", text=printed).stdout == printed


def test_from_file_to_file(tmp_path: Path) -> None:
    (tmp_path / "in.mlir").write_text(UNUSED)
    result = opt(str(tmp_path / "in.mlir"), "-p", "dce", "-o", str(tmp_path / "out.mlir"))
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / "out.mlir").read_text() == "builtin.module {\n}\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mlir", "out.mlir"]


def test_a_failure_leaves_the_output_file_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "out.mlir"
    out.write_text("old")
    assert opt("-o", str(out), text="nonsense").exit_code == 2
    assert out.read_text() == "old"
    result = opt("-o", str(tmp_path / "nowhere" / "out.mlir"))
    assert result.exit_code == 3
    assert "error[output-not-writable]" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["out.mlir"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bytes.mlir").write_bytes(b"\xff")
    for path in ("missing.mlir", "bytes.mlir", "."):
        result = opt(str(tmp_path / path))
        assert result.exit_code == 3
        assert "error[ir-not-readable]" in result.stderr
    result = CliRunner().invoke(app, ["opt"], input=b"\xff")
    assert (result.exit_code, "ir-not-readable" in result.stderr) == (3, True)


def test_print_between_shows_the_module_after_each_pass() -> None:
    result = opt("--passes", "cse,check-collapse{least=0},dce", "--print-between")
    headers = re.findall(r"^// ----- after (.*)$", result.stderr, re.M)
    assert headers == ["cse", "check-collapse{least=0}", "dce"]
    assert result.stderr.count("builtin.module {") == 3
    assert result.stderr.endswith(result.stdout)
    assert opt("--split-input-file", text=result.stderr.partition("\n")[2]).exit_code == 0


def test_split_input_file_runs_every_module_by_itself() -> None:
    text = f"{UNUSED}// -----\n{USED}"
    assert opt(text=text).exit_code == 2  # one module would name a model twice
    result = opt("--split-input-file", "-p", "dce", text=text)
    first, second = result.stdout.split("// -----\n")
    assert first == "builtin.module {\n}\n"
    assert second == opt().stdout
    wrong = opt("--split-input-file", text=text + "// -----\nnonsense")
    assert f"<stdin>:{text.count(chr(10)) + 2}:1" in wrong.stderr


def test_the_generic_form() -> None:
    result = opt("--print-op-generic")
    assert '%m = "lotto.model"() <{' in result.stdout
    assert opt(text=result.stdout).stdout == opt().stdout


@pytest.mark.parametrize("flag", ["--list", "--list-passes"])
def test_passes_are_listed_with_their_options(flag: str) -> None:
    listed = opt(flag, text="").stdout
    assert all(f"\n{name}\n    " in f"\n{listed}" for name in PASSES)
    assert "\n    least: int = 1\n" in listed
    assert "\n    tickets: str,… = none\n" in listed
    assert listed.endswith(f"    {','.join(pipeline.LOWER)}\n")


WRONG = {
    "csee": ("pass-unknown", 'did you mean "cse"?', 1),
    "cse,dcee": ("pass-unknown", 'did you mean "dce"?', 5),
    "dce{fast=1}": ("pass-option", "it has no options", 1),
    "cse,check-collapse{leest=1}": ("pass-option", 'did you mean "least"?', 5),
    "check-collapse{least=x}": ("pass-option", "is 'x', not a whole number", 1),
    "check-collapse{least=1.5}": ("pass-option", "is 1.5, not a whole number", 1),
    "check-collapse{least}": ("pass-option", "is True, not a whole number", 1),
    "check-collapse{least=1,2}": ("pass-option", "is [1, 2], not a whole number", 1),
    "check-collapse{least=-1}": ("pass-option", 'option "least" is -1', 1),
    "unroll-methods{tickets=1}": ("pass-option", "is 1, not a text", 1),
    "cse,,dce": ("pipeline-syntax", "expected pass name here", 5),
    "cse{": ("pipeline-syntax", "expected argument name here", 5),
    "cse dce": ("pipeline-syntax", "expected a comma", 4),
    "cse, dce": ("pipeline-syntax", "without spaces around the commas", 5),
    "cse{a=$}": ("pipeline-syntax", "unknown token", 7),
    "cse{a=" + "9" * 5000 + "}": ("pipeline-syntax", "limit", 1),
    "mlir-opt[cse]": ("pass-unknown", "no pass", 1),
}


@pytest.mark.parametrize("pipeline", WRONG, ids=range(len(WRONG)))
def test_wrong_pipelines_are_explained(pipeline: str) -> None:
    code, words, column = WRONG[pipeline]
    result = opt("--passes", pipeline)
    assert result.exit_code == 2
    assert f"error[{code}]" in result.stderr
    assert words in result.stderr
    assert f"--> --passes:1:{column}\n" in result.stderr
    assert result.stdout == ""


def test_a_pass_that_breaks_the_ir_is_a_coded_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from xdsl.dialects.builtin import IntegerAttr, i64

    from lottoc.passes.share_training import ShareTrainingPass

    def spoil(self: object, ctx: object, module: object) -> None:
        for op in module.ops:  # type: ignore[attr-defined]
            if "seed" in op.properties:
                op.properties["seed"] = IntegerAttr(-1, i64)

    monkeypatch.setattr(ShareTrainingPass, "apply", spoil)
    result = opt("-p", "share-training")
    assert result.exit_code == 4
    assert "error[pass-broke-ir]: after the pass share-training" in result.stderr
    assert opt("-p", "share-training", "--no-verify-each").exit_code == 0


HOSTILE = {
    "nothing": "",
    "a comment": "// nothing",
    "deep modules": "builtin.module {" * 3000,
    "deep lists": f"{MODEL[:5]}lotto.data {{data = {'[' * 5000}",
    "a wide integer": '%d = lotto.data {data = "x", splits = {a = 1 : i99999999999}, digest = "d"}',
    "a long integer": '%d = lotto.data {data = "x", splits = {a = ' + "9" * 5000 + "}}",
    "a large tensor": "%0 = arith.constant dense<0> : tensor<1000000000000xi64>",
    "an unclosed string": '%d = lotto.data {data = "' + "x" * 60 + "\n",
    "no region": '"builtin.module"() : () -> ()',
    "two blocks": '"builtin.module"() ({^bb0: ^bb1:}) : () -> ()',
    "a block argument": '"builtin.module"() ({^bb0(%x: f64): '
    'lotto.require %x "==" %x {text = "x"}}) : () -> ()',
    "external resources": "{-# external_resources: {a: {}} #-}",
    "a null byte": "\x00",
    "a mark": "\ufeff",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_text_is_a_coded_error(case: str) -> None:
    result = opt(text=HOSTILE[case])
    assert result.exit_code == 2
    assert re.match(r"error\[ir-(syntax|invalid)\]: .*\n +--> <stdin>:\d+:\d+\n", result.stderr)


WORDS = """%w %m %0 %0#1 %0:2 f64 i64 i99999999999 -1 0 1.5e400 { } [ ] ( ) < > : , = -> é nan
lotto.find mask.keep arith.constant builtin.module under within unit {-# opaque<> "" " \\ \x00"""
JUNK = (
    *WORDS.split(),
    *('!lotto.masks<"net">', '!lotto.weights<"other">', "!mask.mask<8x16, 2:4>", "9" * 5000),
    *("1 : i128", "dense<0> : tensor<2xf32>", "affine_map<(d0)->(d0)>", "array<i64: 1, 2>"),
    *("^bb0(%x: f64):", "builtin.module {\n", '"\\ff"', "\U0001f600", "[" * 300),
)


def damage(text: str, draw: random.Random) -> str:
    """One or two words, numbers or lines of the text put elsewhere, left out or made nonsense."""
    for _ in range(draw.choice((1, 1, 2))):
        words = [m.span() for m in re.finditer(r'[%!#@\w."]+|[^\s\w]', text)]
        lines = text.split("\n")
        start, end = draw.choice(words)
        match draw.randrange(6):
            case 0:
                text = text[:start] + draw.choice(JUNK) + text[end:]
            case 1:
                text = text[:start] + text[end:]
            case 2:
                other = slice(*draw.choice(words))
                text = text[:start] + text[other] + text[end:]
            case 3:
                del lines[draw.randrange(len(lines))]
                text = "\n".join(lines)
            case 4:
                lines.insert(draw.randrange(len(lines)), draw.choice(lines))
                text = "\n".join(lines)
            case _:
                numbers = [m.span() for m in re.finditer(r"\d+", text)]
                start, end = draw.choice(numbers)
                new = draw.choice(("0", "1", "7", "-1", "3.5", "2147483648", "9223372036854775808"))
                text = text[:start] + new + text[end:]
    return text


def test_damaged_text_is_never_a_traceback(tmp_path: Path) -> None:
    """Each of 320 damaged programs is either refused by a coded error or valid IR."""
    texts = [page.read_text() for page in PAGES] + list(ir_texts(tmp_path).values())
    texts = [text for text in texts if "lotto." in text and len(text) < 40_000]
    accepted = 0
    for seed in range(320):
        draw = random.Random(seed)
        text = damage(draw.choice(texts), draw)
        passes = pipeline.LOWER if draw.random() < 0.5 else draw.sample(sorted(PASSES), 3)
        result = opt("--passes", ",".join(passes), text=text)
        assert result.exit_code in (0, 2), (seed, result.output, result.exception)
        if result.exit_code == 0:
            accepted += 1
            assert opt(text=result.stdout).stdout == result.stdout, seed
        else:
            assert re.match(r"error\[[a-z-]+\]: ", result.stderr), seed
            assert " --> <stdin>:" in result.stderr, seed
    assert 40 < accepted < 280  # both ways are taken
