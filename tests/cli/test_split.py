"""`split` blocks from recipe to files: each part's ticket is the one it would be by itself, cores
are shared to the bit, and what onnxruntime makes of the files is what was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner

from lottoc.cli import app
from lottoc.diagnostics import Findings
from lottoc.driver import mask_ir, recipe_ir
from lottoc.engine.evaluate import Engine
from lottoc.engine.store import Store
from lottoc.front import Request, front
from lottoc.ir import lotto
from lottoc.masks.mask import Mask
from lottoc.partition import ByShare
from lottoc.progress import Silent

HEAD = """
model net { source = torch("net.py:net")   seed = 3 }
training sgd { optimizer = sgd(lr = 0.1, momentum = 0.9)   batch = 20   length = 40 steps }
data blobs {
  train = npz("blobs.npz", x = "x_train", y = "y_train")
  test  = npz("blobs.npz", x = "x_test",  y = "y_test")
}
ticket winning {
  data     = blobs
  layers   = linear - "4"
  sparsity = 80%
  method   = imp(rounds = 2, rewind = 10 steps)
}
"""
CLASSES = HEAD + "split digits { ticket = winning   partitions = by_class([0..1], [2, 3]) }\n"
SHARES = HEAD + "split digits { ticket = winning   partitions = random(3, seed = 5) }\n"
EMIT = 'emit onnx "to/core.onnx" { ticket = digits.core   swap = digits.specialists }\n'


def compiled(project: Path, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Masks and weights of all tickets, evaluated."""
    (project / "s.lotto").write_text(text)
    request = Request(Path("s.lotto"), Store(project / "s"))
    _, program = front(request, Findings(), deep=True)
    module = mask_ir(recipe_ir(request, program))
    engine = Engine(request.store, Silent())
    engine.run(module)
    tickets = [op for op in module.ops if isinstance(op, lotto.TicketOp)]
    masks = {op.ticket.data: engine.value(op.masks) for op in tickets if op.masks is not None}
    for op in tickets:  # a ticket's row shows no weights
        needed, _ = engine._needed([op.weights])
        engine._make_all(needed, module.ops)
    return masks, {op.ticket.data: engine.value(op.weights) for op in tickets}


def alone(project: Path, rows: np.ndarray) -> dict[str, Mask]:
    """The ticket found on a file that has some of the examples and no others."""
    with np.load(project / "blobs.npz") as file:
        arrays = dict(file)
    part = {"x": arrays["x_train"][rows], "y": arrays["y_train"][rows]}
    np.savez(project / "part.npz", **part)
    other = HEAD.replace("blobs.npz", "part.npz").replace("x_train", "x").replace("y_train", "y")
    other = "\n".join(line for line in other.splitlines() if "test  =" not in line)
    return compiled(project, other)[0]["winning"]  # type: ignore[no-any-return]


def parts(project: Path, text: str) -> list[np.ndarray]:
    """Which training examples each part should have, found without lottoc's parts of classes."""
    with np.load(project / "blobs.npz") as file:
        y = file["y_train"]
    if text is CLASSES:
        return [np.flatnonzero(y <= 1), np.flatnonzero(y >= 2)]
    return [ByShare(number, 3, 5).rows(y, "train") for number in (1, 2, 3)]


@pytest.mark.parametrize("text", [CLASSES, SHARES], ids=["classes", "shares"])
def test_core_and_specialists_are_the_parts_own_tickets_taken_apart(
    project: Path, text: str
) -> None:
    masks, weights = compiled(project, text)
    own = [alone(project, rows) for rows in parts(project, text)]
    core = masks["digits.core"]
    specialists = [masks[f"digits.specialist({n})"] for n in range(1, len(own) + 1)]
    assert len([name for name in masks if name.startswith("digits.")]) == len(own) + 1
    for layer in core:
        together = np.logical_and.reduce([mask[layer].to_bool() for mask in own])
        assert np.array_equal(core[layer].to_bool(), together)
        for mask, found in zip(specialists, own, strict=True):
            assert mask[layer] == found[layer]
            assert core[layer] <= mask[layer]
    assert any(core[layer] != specialists[0][layer] for layer in core)
    trained = weights["digits.core"]
    for number, mask in enumerate(specialists, start=1):
        state = weights[f"digits.specialist({number})"]
        for name, array in state.part("model/").items():
            layer = name.removesuffix(".weight")
            same = core[layer].to_bool() if layer in core and name != layer else np.True_
            kept = np.broadcast_to(same, array.shape)
            before = trained.part("model/")[name]
            assert np.array_equal(array[kept], before[kept])
            if layer in core and name != layer:
                assert not array[~mask[layer].to_bool()].any()
        moved = [
            np.count_nonzero(state.layer(layer)[(mask[layer] - core[layer]).to_bool()])
            for layer in core
        ]
        assert sum(moved) == sum((mask[layer] - core[layer]).kept for layer in core)


def test_parts_are_measured_on_their_own_examples(project: Path) -> None:
    (project / "s.lotto").write_text(CLASSES + EMIT)
    result = CliRunner().invoke(app, ["compile", "s.lotto", "-o", "out"])
    assert result.exit_code == 0, result.output
    report = json.loads((project / "out" / "report.json").read_text())
    out = project / "out" / "to"
    with np.load(project / "blobs.npz") as file:
        x, y = file["x_test"], file["y_test"]
    found = {a["path"]: a for a in report["artefacts"]}
    assert list(found) == ["to/core.onnx", "to/core.onnx.1.swap", "to/core.onnx.2.swap"]
    assert found["to/core.onnx.2.swap"]["ticket"] == "digits.specialist(2)"
    for number, rows in ((0, y >= 0), (1, y <= 1), (2, y >= 2)):
        options = onnxruntime.SessionOptions()
        swap = (out / f"core.onnx.{number}.swap").read_bytes() if number else b""
        if number:
            options.add_external_initializers_from_files_in_memory(
                ["core.onnx.swap"], [swap], [len(swap)]
            )
        session = onnxruntime.InferenceSession(str(out / "core.onnx"), options)
        (scores,) = session.run(None, {session.get_inputs()[0].name: x[rows]})
        right = float(np.mean(np.argmax(scores, axis=1) == y[rows]))
        name = f"digits.specialist({number})" if number else "digits.core"
        assert right == pytest.approx(report["tickets"][name]["metrics"]["accuracy"])
    for line in ("digits.core", "digits.specialist(2)"):
        assert line in result.stdout
    checked = CliRunner().invoke(app, ["verify", str(out / "core.onnx")])
    assert checked.exit_code == 0
    assert "2 swap files too" in checked.stdout


def test_built_again_and_from_ir_the_bytes_are_the_same(project: Path) -> None:
    (project / "s.lotto").write_text(CLASSES + EMIT)
    assert CliRunner().invoke(app, ["compile", "s.lotto", "-o", "one"]).exit_code == 0
    text = CliRunner().invoke(app, ["ir", "--stage", "masks", "s.lotto"]).stdout
    (project / "s.mlir").write_text(text)
    again = CliRunner().invoke(app, ["compile", "s.mlir", "-o", "two", "--format", "json"])
    assert again.exit_code == 0, again.output
    names = sorted(path.name for path in (project / "one" / "to").iterdir())
    assert names == [f"core.onnx{end}" for end in ("", ".1.swap", ".2.swap", ".swap")]
    for name in names:
        first, second = (project / out / "to" / name for out in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('lotto.swap 2 into "to/core.onnx"', 'lotto.swap 3 into "to/core.onnx"', "is to be file 2"),
        ('lotto.swap 2 into "to/core.onnx"', 'lotto.swap 2 into "core.onnx"', "no ONNX file"),
        ("classes = [0 : i64, 1 : i64]", "classes = [7 : i64]", "no example of train is of the"),
    ],
)
def test_ir_that_cannot_be_built(project: Path, old: str, new: str, said: str) -> None:
    (project / "s.lotto").write_text(CLASSES + EMIT)
    text = CliRunner().invoke(app, ["ir", "--stage", "masks", "s.lotto"]).stdout
    assert old in text
    (project / "s.mlir").write_text(text.replace(old, new))
    result = CliRunner().invoke(app, ["compile", "s.mlir", "-o", "out"])
    assert result.exit_code in (2, 3)
    assert said in result.stderr
    assert not (project / "out" / "to").exists()


def test_the_same_ticket_on_every_part_leaves_nothing_to_swap(project: Path) -> None:
    (project / "s.lotto").write_text(CLASSES + EMIT)
    text = CliRunner().invoke(app, ["ir", "--stage", "masks", "s.lotto"]).stdout
    first, second = "classes = [0 : i64, 1 : i64]", "classes = [2 : i64, 3 : i64]"
    assert first in text
    (project / "s.mlir").write_text(text.replace(second, first))
    result = CliRunner().invoke(app, ["compile", "s.mlir", "-o", "out"])
    assert result.exit_code == 3
    assert "error[swap-empty]" in result.stderr


def test_cores_stand_where_tickets_do(project: Path) -> None:
    more = """
ticket chance { like = winning   mask = shuffle(digits.core) }
ticket alone  { mask = digits.specialist(2) - digits.core.mask   data = blobs }
require chance.sparsity == digits.core.sparsity
require collapse(digits.core) == none
require digits.core.sparsity >= digits.specialist(1).sparsity
"""
    masks, _ = compiled(project, CLASSES + more)
    for layer, core in masks["digits.core"].items():
        assert masks["chance"][layer].kept == core.kept
        assert masks["alone"][layer] == masks["digits.specialist(2)"][layer] - core
