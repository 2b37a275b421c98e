"""`lottoc compile` from IR text: the same bytes as from the recipe, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lottoc.cli import app

TRAINED = """
model net { source = torch("net.py:net")   seed = 3 }
data blobs {
  train = npz("blobs.npz", x = "x_train", y = "y_train")
  test  = npz("blobs.npz", x = "x_test",  y = "y_test")
}
training sgd { optimizer = sgd(lr = 0.1)   batch = 20   length = 20 steps }
ticket winning { layers = all   sparsity = 50%   method = imp(rounds = 2, rewind = 5 steps) }
ticket shuffled { like = winning   mask = shuffle(winning) }
require winning.accuracy >= 1% * 5 - 5%
emit onnx "net.onnx" { ticket = winning   format = packed }
"""

PRUNED = """
model net { source = onnx("net-dense.onnx") }
ticket half { layers = "fc1" | "fc2"   criterion = magnitude   pattern = 2:4 }
emit onnx "net.onnx" { ticket = half   format = packed }
"""


def lottoc(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def text_of(project: Path, recipe: str, stage: str = "recipe") -> str:
    (project / "r.lotto").write_text(recipe)
    result = lottoc("ir", "--stage", stage, "r.lotto")
    assert result.exit_code == 0, result.output
    return result.stdout


def compile_text(project: Path, text: str, *options: str) -> Result:
    (project / "r.mlir").write_text(text)
    return lottoc("compile", "r.mlir", "-o", "from-ir", "-q", *options)


SCORED = TRAINED.replace("winning { ", "winning { criterion = snip(samples = 30)   ")


@pytest.mark.parametrize("recipe", [TRAINED, PRUNED, SCORED], ids=["trained", "pruned", "scored"])
def test_the_same_bytes_from_the_recipe_and_from_both_stages(project: Path, recipe: str) -> None:
    """Each from an empty store, so that nothing is taken over from the build before."""
    texts = {stage: text_of(project, recipe, stage) for stage in ("recipe", "masks")}
    assert lottoc("compile", "r.lotto", "-o", "out", "--store", "s1").exit_code == 0
    expected = json.loads((project / "out" / "report.json").read_text())
    (project / "r.lotto").unlink()  # IR holds all that is needed
    for stage, text in texts.items():
        result = compile_text(project, text, "--store", f"s-{stage}")
        assert result.exit_code == 0, result.output
        made = (project / "from-ir" / "net.onnx").read_bytes()
        assert made == (project / "out" / "net.onnx").read_bytes()
        report = json.loads((project / "from-ir" / "report.json").read_text())
        assert report["ir"]["sha256"] != expected["recipe"]["sha256"]
        for part in ("tickets", "artefacts", "requires", "data"):
            assert report[part] == expected[part]


def test_results_of_the_recipe_are_found_again(project: Path) -> None:
    text = text_of(project, PRUNED)
    assert lottoc("compile", "r.lotto", "-o", "out").exit_code == 0
    (project / "r.mlir").write_text(text)
    assert "all results reused" in lottoc("compile", "r.mlir", "-o", "from-ir").output


def test_a_require_that_fails_is_shown_in_the_text_it_came_from(project: Path) -> None:
    text = text_of(project, PRUNED + "\nrequire half.sparsity > 60%\n")
    for name, result in (
        ("r.lotto:6:1", lottoc("compile", "r.lotto", "-o", "out")),
        ("r.mlir:8:3", compile_text(project, text)),
    ):
        assert result.exit_code == 1
        assert f"--> {name}\n" in result.stderr
        assert "left 0.5, right 0.6" in result.stderr
    assert not (project / "from-ir").exists()


def test_params_are_gone(project: Path) -> None:
    result = compile_text(project, text_of(project, PRUNED), "-D", "target=1")
    assert result.exit_code == 2
    assert "error[unknown-param]" in result.stderr


def test_a_missing_or_damaged_text(project: Path) -> None:
    assert lottoc("compile", "none.mlir").exit_code == 3
    result = compile_text(project, "nonsense")
    assert result.exit_code == 2
    assert "error[ir-syntax]" in result.stderr


def test_files_are_those_the_ir_was_made_from(project: Path) -> None:
    text = text_of(project, TRAINED)
    (project / "blobs.npz").rename(project / "moved.npz")
    result = compile_text(project, text)
    assert result.exit_code == 3
    assert "error[data-not-found]" in result.stderr
    assert "relative to the folder that lottoc runs in" in result.stderr
    with (project / "net.py").open("a") as file:
        file.write("# changed\n")
    (project / "moved.npz").rename(project / "blobs.npz")
    result = compile_text(project, text)
    assert result.exit_code == 3
    assert 'error[ir-outdated]: model "net" is not what the IR was made from' in result.stderr
    assert not (project / "from-ir").exists()


WRONG = {
    '"magnitude"': ('"magnitud"', 'there is no criterion "magnitud"', 'did you mean "magnitude"?'),
    'format = "packed"': (
        'format = "zip"',
        'unknown format "zip"',
        "known names: auto, dense, groups, packed, sparse",
    ),
    '"net.onnx"': ('"../net.onnx"', "is not a file inside the output folder", ""),
    'lotto.emit "onnx"': ('lotto.emit "tflite"', 'unknown kind of artefact "tflite"', ""),
    "linear, 32x16xf32": ("linear, 16x32xf32", 'model "net" has other layers than its file', ""),
    'source = "onnx"': ('source = "onxx"', 'unknown source "onxx"', 'did you mean "onnx"?'),
    'optimizer = "sgd"': ('optimizer = "sdg"', 'unknown optimizer "sdg"', 'did you mean "sgd"?'),
    "batch = 20": ("batch = 0", "batch is 0, not at least 1", ""),
    "batch = 20 : i64": ('batch = "20"', "option \"batch\" is '20', not a whole number", ""),
    "momentum =": ("momentun =", 'unknown option "momentun"', 'did you mean "momentum"?'),
    "lr = 1.000000e-01 : f64": ('lr = "high"', "is 'high', not a finite number", ""),
    'split = "test"': ('split = "tset"', 'the data has no split "tset"', 'did you mean "test"?'),
    " sampled from %2": ("", "a torch model is exported with data", "add  sampled from %data"),
    'lotto.ticket "shuffled"': ('lotto.ticket "winning"', "is the name of an earlier ticket", ""),
}


@pytest.mark.parametrize("old", WRONG, ids=range(len(WRONG)))
def test_what_cannot_run_is_refused_before_any_work(project: Path, old: str) -> None:
    new, message, help = WRONG[old]
    texts = [text_of(project, recipe) for recipe in (PRUNED, TRAINED)]
    (text,) = [t for t in texts if old in t][:1]
    result = compile_text(project, text.replace(old, new))
    assert result.exit_code == 2
    assert "error[ir-not-runnable]" in result.stderr
    assert message in result.stderr
    assert help in result.stderr
    assert "--> r.mlir:" in result.stderr
    assert not list(project.glob("from-ir/*"))


SNIP = """
model net { source = torch("net.py:net") }
data blobs { train = npz("blobs.npz", x = "x_train", y = "y_train") }
ticket half { layers = all   sparsity = 50%   criterion = snip(samples = 30) }
emit onnx "net.onnx" { ticket = half }
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('lotto.gather "gradient"', 'lotto.gather "gradeint"', 'no statistic "gradeint"'),
        ('norm = "batch"', 'narm = "batch"', 'unknown option "narm"'),
        ("samples = 30 : i64, seed", "samples = 0 : i64, seed", "samples is 0, not at least 1"),
        ('mask.score "snip"', 'mask.score "magnitude"', "is made from the weight alone, not from"),
        ('split = "train", training', 'split = "tarin", training', 'no split "tarin"'),
        ("training = {}}", 'training = {loss = "odd"}}', 'unknown loss "odd"'),
    ],
)
def test_what_cannot_be_gathered_is_refused_before_any_work(
    project: Path, old: str, new: str, said: str
) -> None:
    text = text_of(project, SNIP, "masks")
    assert old in text
    result = compile_text(project, text.replace(old, new))
    assert result.exit_code == 2
    assert "error[ir-not-runnable]" in result.stderr
    assert said in result.stderr
    assert not (project / "from-ir").exists()


def test_what_a_criterion_looks_at_is_there(project: Path) -> None:
    text = text_of(project, SNIP, "masks")
    without = re.sub(r" with %\w+ (.*), !lotto.statistics<\"net\">", r" \1", text)
    result = compile_text(project, without)
    assert 'made from the statistic "gradient", not from the weight alone' in result.stderr
    blind = re.sub(r"(lotto.gather .*?) on %\w+ (.*), split.*}", r"\1 \2}", text)
    result = compile_text(project, blind)
    assert '"gradient" looks at data' in result.stderr
    assert "add  on %data" in result.stderr


def test_an_onnx_model_cannot_be_trained(project: Path) -> None:
    text = text_of(project, PRUNED)
    added = '\n%s = lotto.signs %1 ["fc1"] : !lotto.weights<"net">\n'
    added += 'lotto.ticket "signs" %s shows []() : !lotto.weights<"net">\n}'
    result = compile_text(project, text.rstrip().removesuffix("}") + added)
    assert result.exit_code == 2
    assert 'lotto.signs needs a torch model, and "net" is an ONNX file' in result.stderr


def test_more_cannot_be_kept_than_an_earlier_mask_keeps(project: Path) -> None:
    text = text_of(project, PRUNED)
    head = "\n".join(text.splitlines()[:3])
    body = """
%w = mask.weight "fc2" of %1 : !lotto.weights<"net"> -> !mask.weight<4x32>
%s = mask.score "magnitude" %w {layer = "fc2", options = {}}
  : !mask.weight<4x32> -> !mask.scores<4x32>
%a = mask.keep 3 of %s : !mask.scores<4x32> -> !mask.mask<4x32>
%b = mask.keep 9 of %s within %a : !mask.mask<4x32>, : !mask.scores<4x32> -> !mask.mask<4x32>
%m = mask.bundle ["fc2"](%b : !mask.mask<4x32>) -> !lotto.masks<"net">
%k = lotto.measure "params" %m : !lotto.masks<"net">
lotto.ticket "t" %1 under %m shows ["params"](%k) : !lotto.weights<"net">
}"""
    result = compile_text(project, head + body)
    assert result.exit_code == 2, result.output
    assert "error[ir-not-runnable]: cannot keep 9 of 3 weights" in result.stderr
    good = compile_text(project, head + body.replace("keep 9", "keep 2"))
    assert good.exit_code == 0, good.output
    report = json.loads((project / "from-ir" / "report.json").read_text())
    assert report["tickets"]["t"]["metrics"] == {"params": 2.0 + 32 * 16}
