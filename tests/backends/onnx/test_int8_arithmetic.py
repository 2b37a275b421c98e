"""What bytes mean, and the reference that int8 files are checked with, against brute force."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

sys.path.insert(0, str(Path(__file__).parent / "structure"))


from lottoc.backends.onnx.integers import convolve
from lottoc.backends.onnx.quantized import LEVELS, Scale, bias_numbers, scale_of

Array = NDArray[Any]


# -- what bytes mean


numbers = st.floats(-1e6, 1e6, width=32) | st.sampled_from([1e30, -1e30, 1e-30])


@given(numbers, numbers)
@settings(max_examples=300, deadline=None)
def test_zero_is_a_byte_and_what_was_seen_is_off_by_half_a_step(a: float, b: float) -> None:
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    scale = scale_of(a, b) if a <= b else scale_of(b, a)
    assert 0 <= scale.zero <= LEVELS
    assert scale.scale > 0
    seen = np.linspace(low, high, 301)
    q = np.clip(np.rint(seen / scale.scale) + scale.zero, 0, LEVELS)
    off = np.abs(scale.scale * (q - scale.zero) - seen)
    # the zero is rounded too, so that an end may be cut off by half a step more
    assert off.max() <= scale.scale * (1 + 1e-5)
    inside = (seen >= -scale.zero * scale.scale) & (seen <= (LEVELS - scale.zero) * scale.scale)
    assert off[inside].max(initial=0) <= scale.scale * (0.5 + 1e-5)


def test_what_never_fired_has_a_step() -> None:
    assert scale_of(0.0, 0.0) == Scale(1.0, 0)
    assert scale_of(0.0, 1e-44) == Scale(1.0, 0)
    assert scale_of(2.0, 5.0) == scale_of(0.0, 5.0)
    assert scale_of(-5.0, -2.0).zero == LEVELS


def test_a_bias_is_in_steps_of_its_row() -> None:
    rows = np.array([0.5, 0.25, 1.0], np.float32)
    steps, units = bias_numbers(np.array([1.0, -1.0, 0.3], np.float32), Scale(0.5, 3), rows)
    assert units.tolist() == [0.25, 0.125, 0.5]
    assert steps.tolist() == [4, -8, 1]


# -- the reference that files are checked with, itself checked


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Array, Array, dict[str, Any]]:
    rank, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    columns, rows = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    attributes: dict[str, Any] = {"group": groups}
    attributes["strides"] = [draw(st.integers(1, 3)) for _ in range(rank)]
    attributes["dilations"] = [draw(st.integers(1, 2)) for _ in range(rank)]
    attributes["pads"] = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
    sizes = [draw(st.integers(5, 8)) for _ in range(rank)]
    x = rng.integers(-128, 128, (2, groups * columns, *sizes)).astype(np.float32)
    w = rng.integers(-127, 128, (groups * rows, columns, *kernel)).astype(np.float32)
    return x, w, attributes


@given(convolutions())
@settings(max_examples=80, deadline=None)
def test_the_reference_is_the_convolution_of_the_standard(
    case: tuple[Array, Array, dict[str, Any]],
) -> None:
    x, w, attributes = case
    node = helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
    wanted = ReferenceEvaluator(_model([node], {"x": x.shape, "w": w.shape}, "y")).run(
        None, {"x": x, "w": w}
    )[0]
    np.testing.assert_array_equal(convolve(x.astype(np.float64), w, attributes), wanted)


def _model(
    nodes: list[onnx.NodeProto], inputs: dict[str, tuple[Any, ...]], output: str
) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
    end = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", ends, [end])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
