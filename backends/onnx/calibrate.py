"""Measures what layers cost in onnxruntime on this machine, for `format = auto` to choose by.

Times are minima over many runs: a busy machine makes runs longer, never shorter.
"""

from __future__ import annotations

import itertools
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.target import AXES, Costs, Table, Target

SIZES = (64, 256, 1024, 4096)
"""Inputs and outputs of a dense layer."""

COLUMNS, ROWS, GROUPS = (16, 64, 256, 1024), (8, 32, 128, 512), (1, 4, 16, 64)
"""Of a layer in groups: columns and rows of one group, number of groups."""

PLACES = (1, 4, 16, 128, 1024)
"""Rows of activations that a layer works on: batch times sequence, or times height and width."""

MOST_WEIGHTS, MOST_NUMBERS = 1 << 22, 1 << 22
"""Larger layers are not measured: of a grouped one the weights, and the numbers it gathers."""

LEAST_SECONDS, LEAST_RUNS = 0.01, 5


def calibrate(
    threads: Sequence[int], advance: Callable[[int], None] = lambda steps: None
) -> Target:
    """Measure all tables for each number of threads; `advance` is told of each of `cells()`."""
    import onnxruntime

    costs = []
    for count in threads:
        measured: dict[str, dict[tuple[int, ...], float]] = {}
        for name, sizes in _cells():
            measured.setdefault(name, {})[sizes] = MODELS[name](sizes, count)
            advance(1)
        costs.append(Costs(count, **{n: _table(SIZES_OF[n], m) for n, m in measured.items()}))
    return Target(_machine(), f"onnxruntime {onnxruntime.__version__}", tuple(costs))


def cells() -> int:
    """How many times are measured for a number of threads."""
    return sum(1 for _ in _cells())


def _cells() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every table's cells that are small enough to be measured."""
    for name, axes in SIZES_OF.items():
        for sizes in itertools.product(*axes.values()):
            if name not in ("groups", "row") or _is_small(*sizes):
                yield name, sizes


def _is_small(columns: int, rows: int, groups: int, places: int = 1) -> bool:
    gathered = columns * groups * places
    return columns * rows * groups <= MOST_WEIGHTS and gathered <= MOST_NUMBERS


def _table(axes: dict[str, tuple[int, ...]], measured: dict[tuple[int, ...], float]) -> Table:
    """All cells; one that was too large takes as often as long as it is larger than another."""
    shape = tuple(len(axis) for axis in axes.values())
    values = np.zeros(shape)
    for at in np.ndindex(shape):
        sizes = tuple(axis[i] for axis, i in zip(axes.values(), at, strict=True))
        factor = 1.0
        while sizes not in measured:  # a smaller number of groups has been measured
            groups = sizes[2]
            smaller = GROUPS[GROUPS.index(groups) - 1]
            factor *= groups / smaller
            sizes = (*sizes[:2], smaller, *sizes[3:])
        values[at] = measured[sizes] * factor
    return Table(axes, values)


SIZES_OF: dict[str, dict[str, tuple[int, ...]]] = {
    name: dict(zip(AXES[name], sizes, strict=True))
    for name, sizes in {
        "matmul": (SIZES, SIZES, PLACES),
        "conv": (SIZES, SIZES, PLACES),
        "groups": (COLUMNS, ROWS, GROUPS, PLACES),
        "turn": (SIZES, PLACES),
        "row": (COLUMNS, ROWS, GROUPS),
    }.items()
}


def _matmul(sizes: tuple[int, ...], threads: int) -> float:
    from onnx import helper

    inputs, outputs, places = sizes
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Add", ["p", "b"], ["y"]),
    ]
    constants = {"w": _numbers(inputs, outputs), "b": _numbers(outputs)}
    return _time(nodes, constants, (1, places, inputs), threads)


def _conv(sizes: tuple[int, ...], threads: int) -> float:
    from onnx import helper

    inputs, outputs, places = sizes
    high = 2 ** (places.bit_length() // 2)
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"])]
    constants = {"w": _numbers(outputs, inputs, 1, 1), "b": _numbers(outputs)}
    return _time(nodes, constants, (1, inputs, high, places // high), threads)


def _groups(sizes: tuple[int, ...], threads: int) -> float:
    from onnx import helper

    columns, rows, groups, places = sizes
    nodes = [
        helper.make_node("Gather", ["x", "i"], ["g"], axis=1),
        helper.make_node("Conv", ["g", "w", "b"], ["y"], group=groups),
    ]
    constants = {"i": _picked(columns, groups), **_grouped(columns, rows, groups)}
    return _time(nodes, constants, (1, 4 * columns, places), threads)


def _row(sizes: tuple[int, ...], threads: int) -> float:
    from onnx import helper

    columns, rows, groups = sizes
    nodes = [
        helper.make_node("GatherElements", ["x", "i"], ["g"], axis=1),
        helper.make_node("Unsqueeze", ["g", "axis"], ["u"]),
        helper.make_node("Conv", ["u", "w", "b"], ["c"], group=groups),
        helper.make_node("Squeeze", ["c", "axis"], ["y"]),
    ]
    constants = {
        "i": _picked(columns, groups)[None],
        "axis": np.array([2], np.int64),
        **_grouped(columns, rows, groups),
    }
    return _time(nodes, constants, (1, 4 * columns), threads)


def _picked(columns: int, groups: int) -> NDArray[np.int32]:
    """Which of four times as many channels each group reads."""
    rng = np.random.default_rng(0)
    parts = [np.sort(rng.permutation(4 * columns)[:columns]) for _ in range(groups)]
    return np.concatenate(parts).astype(np.int32)


def _grouped(columns: int, rows: int, groups: int) -> dict[str, NDArray[np.float32]]:
    return {"w": _numbers(groups * rows, columns, 1), "b": _numbers(groups * rows)}


def _turn(sizes: tuple[int, ...], threads: int) -> float:
    from onnx import helper

    channels, places = sizes
    nodes = [helper.make_node("Transpose", ["x"], ["y"], perm=(0, 2, 1))]
    return _time(nodes, {}, (1, places, channels), threads)


MODELS = {"matmul": _matmul, "conv": _conv, "groups": _groups, "turn": _turn, "row": _row}


def _numbers(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _time(
    nodes: Sequence[Any], constants: dict[str, Any], shape: tuple[int, ...], threads: int
) -> float:
    """Microseconds of a run of a model that is these nodes, from x to y."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"x": _numbers(*shape)}
    session.run(None, feed)
    times: list[float] = []
    while len(times) < LEAST_RUNS or sum(times) < LEAST_SECONDS:
        start = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - start)
    return round(min(times) * 1e6, 2)


def _machine() -> str:
    names = [platform.processor() or platform.machine()]
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
