"""What is said to carry signal is what does, by an oracle that only computes.

In a network whose weights, inputs and operators never go below zero nothing cancels out: an output
is zero if and only if no path leads to it, and a layer carries signal if and only if the outputs
become smaller once it is gone.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import ShapeInferencePass

sys.path.insert(0, str(Path(__file__).parent))

from random_networks import Network, image_network

from lottoc.backends.onnx.structure.wiring import wiring_of
from lottoc.masks.mask import Mask
from lottoc.masks.repair import repair
from lottoc.masks.signal import Wiring, find_loss

LAYERS = ("Conv", "Gemm", "MatMul")
Weights = Mapping[str, np.ndarray]


def positive(proto: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """The same graph, doubles, without anything below zero that could hide a path."""
    rng = np.random.default_rng(seed)
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {node.input[1] for node in model.graph.node if node.op_type in LAYERS}
    for tensor in constants.values():
        numbers = numpy_helper.to_array(tensor)
        if numbers.dtype != np.float32:
            continue
        plain = rng.random(numbers.shape) + 0.5 if tensor.name in weights else 0 * numbers
        tensor.CopyFrom(numpy_helper.from_array(plain.astype(np.float64), tensor.name))
    for node in model.graph.node:
        if node.op_type in ("Sigmoid", "Tanh", "LeakyRelu", "Softplus"):
            node.op_type = "Relu"
        elif node.op_type == "MaxPool":
            node.op_type = "AveragePool"
        elif node.op_type == "BatchNormalization":
            for index, number in ((1, 1), (4, 1)):
                old = numpy_helper.to_array(constants[node.input[index]])
                ones = np.full(old.shape, number, np.float64)
                constants[node.input[index]].CopyFrom(
                    numpy_helper.from_array(ones, node.input[index])
                )
        elif node.op_type in ("Mul", "Sub"):  # of a constant
            node.op_type = "Add"
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    return model


def weights_of(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    names = [n.input[1] for n in proto.graph.node if n.op_type in LAYERS]
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in proto.graph.initializer
        if tensor.name in names
    }


def outputs(proto: onnx.ModelProto, weights: Weights) -> dict[str, np.ndarray]:
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    shape = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(1).random(shape) + 0.5
    names = [end.name for end in model.graph.output]
    return dict(zip(names, ReferenceEvaluator(model).run(None, {"x": x}), strict=True))


def equal(left: Weights, right: Weights) -> bool:
    return all(np.array_equal(left[name], right[name]) for name in left)


def wiring(proto: onnx.ModelProto) -> Wiring:
    model = ShapeInferencePass()(ir.from_proto(proto)).model
    return wiring_of(model.graph, {})


def transposed(proto: onnx.ModelProto) -> set[str]:
    return {node.input[1] for node in proto.graph.node if node.op_type == "MatMul"}


def drawn(proto: onnx.ModelProto, seed: int, density: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.random(weight.shape) < density for name, weight in weights_of(proto).items()}


def canonical(proto: onnx.ModelProto, masks: Weights) -> dict[str, np.ndarray]:
    turned = transposed(proto)
    return {name: mask.T if name in turned else mask for name, mask in masks.items()}


@given(st.integers(0, 10_000), st.sampled_from([0.03, 0.1, 0.2, 0.4]))
@settings(max_examples=60, deadline=None)
def test_exactly_the_layers_without_signal_are_found(seed: int, density: float) -> None:
    proto = positive(image_network(seed), seed)
    masks = drawn(proto, seed + 1, density)
    flat = canonical(proto, masks)
    loss = find_loss(wiring(proto), flat.__getitem__)
    kept = {name: weight * masks[name] for name, weight in weights_of(proto).items()}
    whole = outputs(proto, kept)
    assert set(loss.outputs) == {name for name, output in whole.items() if not output.any()}
    silent = {
        name
        for name, weight in kept.items()
        if equal(outputs(proto, {**kept, name: 0 * weight}), whole)
    }
    assert {lost.layer for lost in loss.layers} == silent
    assert {lost.layer for lost in loss.layers if lost.fault == "empty"} == {
        name for name, mask in masks.items() if not mask.any()
    }


@given(st.integers(0, 10_000), st.sampled_from([0.02, 0.06, 0.15]))
@settings(max_examples=40, deadline=None)
def test_repaired_networks_carry_signal_through_every_layer(seed: int, density: float) -> None:
    proto = positive(image_network(seed), seed)
    masks = canonical(proto, drawn(proto, seed + 1, density))
    turned = transposed(proto)
    before = {name: Mask.from_bool(np.ascontiguousarray(mask)) for name, mask in masks.items()}
    scores = canonical(proto, weights_of(proto))
    result = repair(wiring(proto), before, scores.__getitem__, {})
    after = {name: mask.to_bool() for name, mask in result.masks.items()}
    kept = {
        name: weight * (after[name].T if name in turned else after[name])
        for name, weight in weights_of(proto).items()
    }
    whole = outputs(proto, kept)
    assert all(output.any() for output in whole.values())
    for name, weight in kept.items():
        assert not equal(outputs(proto, {**kept, name: 0 * weight}), whole), name
    for name in masks:
        came = int((after[name] & ~masks[name]).sum())
        went = int((masks[name] & ~after[name]).sum())
        assert (result.added.get(name, 0), result.dropped.get(name, 0)) == (came, went)


def test_the_random_networks_do_collapse() -> None:
    """The properties above would hold if nothing ever did."""
    found = set()
    for seed in range(30):
        proto = positive(image_network(seed), seed)
        masks = canonical(proto, drawn(proto, seed, 0.03 if seed % 2 else 0.1))
        loss = find_loss(wiring(proto), masks.__getitem__)
        found |= {lost.fault for lost in loss.layers}
    assert found == {"empty", "unreached", "unread", "broken"}


def residual() -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """fc1, then fc1 + fc3(fc2), then fc4; the last three layers with a mask each."""
    net = Network(np.random.default_rng(0))
    ones = {name: np.ones((3, 3), np.float32) for name in ("c0", "c1", "c2", "c3")}
    constants = [net.constant(weight) for weight in ones.values()]
    x = net.node("Gemm", "x", constants[0], channels=3, transB=1)
    y = net.node("Relu", net.node("Gemm", x, constants[1], channels=3, transB=1), channels=3)
    y = net.node("Gemm", y, constants[2], channels=3, transB=1)
    x = net.node("Add", x, y, channels=3)
    x = net.node("Gemm", x, constants[3], channels=3, transB=1)
    return net.proto({"x": ["batch", 3]}, {x: ["batch", 3]}), ones


def faults(proto: onnx.ModelProto, masks: Weights) -> dict[str, str]:
    loss = find_loss(wiring(proto), lambda name: masks[name] != 0)
    return {lost.layer: lost.fault for lost in loss.layers}


def test_a_residual_goes_on_around_a_dead_block() -> None:
    proto, masks = residual()
    masks["c1"][:] = 0
    assert faults(proto, masks) == {"c1": "empty", "c2": "unreached"}


def test_a_block_whose_halves_do_not_meet() -> None:
    proto, masks = residual()
    masks["c1"][:] = np.diag([1, 0, 0])
    masks["c2"][:] = np.diag([0, 1, 0])
    assert faults(proto, masks) == {"c1": "unread", "c2": "unreached"}


def test_survivors_that_cannot_carry_signal() -> None:
    """c1 keeps a way from a reached unit to one nobody reads, and one from a dead unit."""
    proto, masks = residual()
    masks["c0"][1] = 0
    masks["c1"][:] = np.diag([1, 1, 0])
    masks["c2"][:] = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    assert faults(proto, masks) == {"c1": "broken", "c2": "unreached"}


def test_layers_that_the_network_itself_does_not_use_are_not_found() -> None:
    """Nobody reads c4, with masks or without."""
    net = Network(np.random.default_rng(0))
    a, b = (net.constant(np.ones((2, 2), np.float32)) for _ in range(2))
    y = net.node("Gemm", "x", a, channels=2, transB=1)
    net.node("Gemm", "x", b, channels=2, transB=1)
    proto = net.proto({"x": ["batch", 2]}, {y: ["batch", 2]})
    masks = {a: np.ones((2, 2)), b: np.zeros((2, 2))}
    assert faults(proto, masks) == {}


def test_the_size_of_an_input_is_no_signal() -> None:
    net = Network(np.random.default_rng(0))
    weight = net.constant(np.ones((2, 2), np.float32))
    y = net.node("Gemm", "x", weight, channels=2, transB=1)
    shape = net.node("Shape", "x", channels=1)
    y = net.node("Reshape", y, shape, channels=2)
    proto = net.proto({"x": ["batch", 2]}, {y: ["batch", 2]})
    loss = find_loss(wiring(proto), lambda name: np.zeros((2, 2), np.bool_))
    assert loss.outputs == (y,)


def test_a_body_passes_everything_on() -> None:
    """What an If reads from outside may end up in its output."""
    net = Network(np.random.default_rng(0))
    weight = net.constant(np.ones((2, 2), np.float32))
    y = net.node("Gemm", "x", weight, channels=2, transB=1)
    body = helper.make_graph(
        [helper.make_node("Identity", [y], ["inner"])],
        "body",
        [],
        [helper.make_tensor_value_info("inner", onnx.TensorProto.FLOAT, ["batch", 2])],
    )
    flag = net.constant(np.array(True))
    out = net.node("If", flag, channels=2, then_branch=body, else_branch=body)
    proto = net.proto({"x": ["batch", 2]}, {out: ["batch", 2]})
    ReferenceEvaluator(proto).run(None, {"x": np.ones((1, 2), np.float32)})
    assert faults(proto, {weight: np.ones((2, 2))}) == {}
    assert faults(proto, {weight: np.zeros((2, 2))}) == {weight: "empty"}


def test_what_the_network_itself_has_cut_is_not_found() -> None:
    """c3 is all zeros in the file, and so nothing before it carries signal, masks or not."""
    proto, masks = residual()
    zeros = np.zeros((3, 3), np.float32)
    for tensor in proto.graph.initializer:
        if tensor.name == "c3":
            tensor.CopyFrom(numpy_helper.from_array(zeros, "c3"))
    masks["c1"][:] = 0
    assert faults(proto, masks) == {}
    model = ShapeInferencePass()(ir.from_proto(proto)).model
    blind = wiring_of(model.graph, {"c1": "block.first"}, numbers=False)
    loss = find_loss(blind, lambda name: zeros != 0 if name == "block.first" else None)
    assert {lost.layer: lost.fault for lost in loss.layers} == {
        "block.first": "empty",
        "c2": "unreached",
    }


def test_weights_that_are_zero_in_the_file_carry_nothing() -> None:
    """All of c0 is kept, but its second row holds zeros: c1 reads a unit that nothing reaches."""
    proto, masks = residual()
    for tensor in proto.graph.initializer:
        if tensor.name == "c0":
            tensor.CopyFrom(numpy_helper.from_array(np.diag([1, 0, 1]).astype(np.float32), "c0"))
    masks["c1"][:] = np.array([[0, 1, 0]] * 3)
    assert faults(proto, masks) == {"c1": "unreached", "c2": "unreached"}
