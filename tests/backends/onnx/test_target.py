"""What layers take on a target: its file, what is read between the measured sizes, the choice."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from lottoc.backends.onnx import calibrate as calibration
from lottoc.backends.onnx import emit, verify
from lottoc.backends.onnx.structure.cost import Rule, Site, Workload
from lottoc.backends.onnx.structure.grouping import Grouping, find_groups
from lottoc.backends.onnx.target import (
    KIND,
    SHIPPED,
    Costs,
    Table,
    Target,
    read_target,
    write_target,
)
from lottoc.diagnostics import InputError
from lottoc.frontends.onnx_model import open_onnx

FILE = SHIPPED / f"{KIND}.toml"


def law(axes: dict[str, tuple[int, ...]], power: float) -> Table:
    """Times that are 3 * (product of sizes) ** power: straight lines between logarithms."""
    grid = np.meshgrid(*axes.values(), indexing="ij")
    return Table(axes, 3.0 * np.prod(np.array(grid, np.float64), axis=0) ** power)


@given(st.integers(2, 64), st.integers(1, 100), st.floats(0.1, 2))
@settings(max_examples=200)
def test_times_between_sizes_follow_the_law_they_were_measured_by(
    first: int, second: int, power: float
) -> None:
    table = law({"a": (2, 8, 64), "b": (1, 10, 100)}, power)
    np.testing.assert_allclose(table.at(first, second), 3 * (first * second) ** power, rtol=1e-9)


def test_beyond_the_table_time_grows_with_size_and_does_not_shrink() -> None:
    table = law({"a": (2, 8), "b": (1, 10)}, 1.0)
    assert table.at(16, 10) == pytest.approx(2 * table.at(8, 10))
    assert table.at(1, 1) == pytest.approx(table.at(2, 1))


def test_the_shipped_target_is_read_as_it_is_written() -> None:
    target = read_target(FILE)
    assert {costs.threads for costs in target.costs} == {1, 2}
    assert write_target(target) == FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("onnxruntime-cpu", "abacus", 'it is for "abacus"'),
        ("[costs.turn]", "[costs.tern]", "'turn' is missing"),
        ("threads = 1", "threads = ", "not a target file"),
        ("places = [1, 4, 16, 128, 1024]", "places = [1, 4, 16, 128]", "one time for each"),
        ("places = [1, 4, 16, 128, 1024]", "places = [1, 4, 4, 128, 1024]", "ascending"),
        ("    [", "    [-", "not positive"),
        ("costs", "kosts", "'costs' is missing"),
    ],
)
def test_a_damaged_target_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = FILE.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "t.toml").write_text(text.replace(old, new, 1 if old.endswith("[") else -1))
    with pytest.raises(InputError) as caught:
        read_target(tmp_path / "t.toml")
    (found,) = caught.value.diagnostics
    assert found.code == "target-invalid"
    assert said in found.message


def test_a_target_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {
        name: {axis: sizes[:2] for axis, sizes in axes.items()}
        for name, axes in calibration.SIZES_OF.items()
    }
    monkeypatch.setattr(calibration, "SIZES_OF", small)
    monkeypatch.setattr(calibration, "LEAST_SECONDS", 0.0)
    told: list[int] = []
    target = calibration.calibrate([1], told.append)
    assert sum(told) == calibration.cells() == 8 + 8 + 16 + 4 + 8
    (costs,) = target.costs
    assert (costs.threads, costs.groups.microseconds.shape) == (1, (2, 2, 2, 2))
    assert (costs.matmul.microseconds > 0).all()


def grouping(rows: int, columns: int, groups: int, kept: int) -> Grouping:
    rng = np.random.default_rng(0)
    mask = np.zeros((rows, columns), np.bool_)
    for part in np.array_split(np.arange(rows), groups):
        mask[part[:, None], rng.choice(columns, kept, replace=False)] = True
    found = find_groups(mask)
    assert found is not None
    return found


def costs(matmul: float, groups: float, turn: float) -> Costs:
    def flat(time: float, *axes: str) -> Table:
        return Table(dict.fromkeys(axes, (1, 1 << 20)), np.full((2,) * len(axes), time))

    layer = ("inputs", "outputs", "places")
    return Costs(
        1,
        flat(matmul, *layer),
        flat(matmul, *layer),
        flat(groups, "columns", "rows", "groups", "places"),
        flat(turn, "channels", "places"),
    )


def test_a_layer_is_grouped_if_it_pays_with_its_transposes_everywhere() -> None:
    site, found = Site((64, 64), False, (None, 16)), grouping(64, 64, 4, 8)
    rule = Rule(Target("", "", (costs(100, 50, 10),)), (1, 8))
    assert [p.groups for p in rule.predict(site, found)] == [70, 70]
    assert rule(site, found)
    assert not Rule(Target("", "", (costs(100, 50, 25),)))(site, found)
    assert Rule(Target("", "", (costs(100, 50, 25),)))(replace(site, turns=(0.0, 0.5)), found)
    both = Target("", "", (costs(100, 50, 10), costs(40, 50, 1)))
    assert [(p.dense, p.groups) for p in Rule(both).predict(site, found)] == [(40, 52)]
    assert not Rule(both)(site, found)
    assert Rule(both, always=True)(site, found)


def test_one_row_is_predicted_by_the_costs_that_tell_of_it() -> None:
    """Without transposes; machines on which it was not measured say nothing of it."""
    row = law({"columns": (1, 1 << 20), "rows": (1, 1 << 20), "groups": (1, 1 << 20)}, 0.0)
    told, silent = replace(costs(100, 50, 10), row=row), costs(40, 50, 1)
    site, found = Site((64, 64), False, (1,), one_row=True), grouping(64, 64, 4, 8)
    both = Rule(Target("", "", (told, silent)))
    assert [(p.dense, p.groups) for p in both.predict(site, found)] == [(100, 3)]
    assert [p.groups for p in both.predict(replace(site, one_row=False), found)] == [52]
    assert [p.groups for p in Rule(Target("", "", (silent,))).predict(site, found)] == [52]


def test_a_target_without_times_of_one_row_is_read_as_it_is_written(tmp_path: Path) -> None:
    target = read_target(FILE)
    older = replace(target, costs=tuple(replace(c, row=None) for c in target.costs))
    (tmp_path / "t.toml").write_text(write_target(older))
    assert {c.row for c in read_target(tmp_path / "t.toml").costs} == {None}


@pytest.mark.parametrize(
    ("places", "batch", "rows"),
    [((None,), 8, 8), ((None, None), 2, 256), ((1, None), 8, 128), ((None, 7, 7), 4, 196)],
)
def test_rows_of_activations(places: tuple[int | None, ...], batch: int, rows: int) -> None:
    assert Site((4, 4), False, places).rows(batch) == rows


@pytest.mark.parametrize("batch", [1, 64])
def test_auto_groups_a_large_layer_and_leaves_a_small_one(tmp_path: Path, batch: int) -> None:
    rng = np.random.default_rng(0)
    sizes, nodes, tensors, masks, x = (1024, 1024, 256, 16), [], [], {}, "x"
    pairs = zip(itertools.pairwise(sizes), (16, 4, 4), strict=True)
    for at, ((columns, rows), number) in enumerate(pairs):
        weight = rng.standard_normal((rows, columns)).astype(np.float32)
        tensors.append(numpy_helper.from_array(weight, f"fc{at}.weight"))
        tensors.append(numpy_helper.from_array(rng.standard_normal(rows).astype("f"), f"b{at}"))
        nodes.append(
            helper.make_node("Gemm", [x, f"fc{at}.weight", f"b{at}"], [f"h{at}"], transB=1)
        )
        nodes.append(helper.make_node("Relu", [f"h{at}"], [f"y{at}"]))
        x, mask = f"y{at}", np.zeros((rows, columns), np.bool_)
        parts = zip(
            np.array_split(np.arange(rows), number),
            np.array_split(rng.permutation(columns), number),
            strict=True,
        )
        for part, read in parts:
            mask[part[:, None], read] = True  # every channel is read by one group
        masks[f"fc{at}"] = mask
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1024])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["batch", 16])],
        tensors,
    )
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "d.onnx")
    model, work = open_onnx(tmp_path / "d.onnx"), Workload(batches=(batch,))
    reports = {r.name: r for r in emit(model, tmp_path / "m.onnx", masks, workload=work)}
    assert reports["fc0"].format == "groups"
    assert reports["fc2"].format != "groups"
    assert [p.batch for p in reports["fc0"].predicted] == [batch, batch]
    assert all(p.groups < p.dense for p in reports["fc0"].predicted)
    verify(tmp_path / "m.onnx", model, masks, workload=work)
