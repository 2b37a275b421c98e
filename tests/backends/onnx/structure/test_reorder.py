"""Channels in another order change no output; where they may not move, that is known and said."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_ir.passes.common import ShapeInferencePass

sys.path.insert(0, str(Path(__file__).parent))

from random_networks import Network, image_network, run, sequence_network, token_network

from lottoc.backends.onnx.structure.moved import Conflict, Moved
from lottoc.backends.onnx.structure.reorder import Reordered, reorder
from lottoc.backends.onnx.structure.spaces import find_spaces, places
from lottoc.backends.onnx.structure.units import find_units


def inferred(proto: onnx.ModelProto) -> ir.Model:
    return ShapeInferencePass()(ir.from_proto(proto)).model


def random_orders(proto: onnx.ModelProto, seed: int) -> dict[str, np.ndarray]:
    """One random order for each space that may be reordered, by one of the weights that read it."""
    rng = np.random.default_rng(seed)
    spaces = find_spaces(inferred(proto).graph)
    readers = {space: weight for weight, space in spaces.of.items()}
    return {w: rng.permutation(spaces.order[s].size) for s, w in sorted(readers.items())}


def reordered(
    proto: onnx.ModelProto, orders: dict[str, np.ndarray]
) -> tuple[onnx.ModelProto, Reordered]:
    model = inferred(proto)
    found = reorder(model, orders)
    result = ir.to_proto(model)
    onnx.checker.check_model(result, full_check=True)
    return result, found


def canonical(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The weights [out, in / groups, places] of layers by name."""
    linears = find_units(inferred(proto).graph).linears
    return {linear.node.inputs[1].name: linear.weight for linear in linears}


def check(proto: onnx.ModelProto, seed: int, x: np.ndarray) -> int:
    """How many layers had their columns moved; outputs are the same, weights what they should."""
    orders = random_orders(proto, seed)
    result, found = reordered(proto, orders)
    for a, b in zip(run(proto, x), run(result, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1.0, np.abs(a).max()))
    before, after = canonical(proto), canonical(result)
    for weight, order in orders.items():
        moved = found.moved.get(weight, Moved(None, None))
        same = np.array_equal(order, np.arange(order.size))
        assert same if moved.columns is None else np.array_equal(moved.columns, order)
    for weight in before:
        moved = found.moved.get(weight, Moved(None, None))
        rows = slice(None) if moved.rows is None else moved.rows
        columns = slice(None) if moved.columns is None else moved.columns
        assert np.array_equal(after[weight], before[weight][rows][:, columns])
    return sum(moved.columns is not None for moved in found.moved.values())


@given(st.integers(0, 100_000))
@settings(max_examples=150, deadline=None)
def test_random_image_networks(seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((2, 3, 12, 12)).astype(np.float32)
    check(image_network(seed), seed, x)


@given(st.integers(0, 100_000))
@settings(max_examples=80, deadline=None)
def test_random_sequence_networks(seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((2, 5, 8)).astype(np.float32)
    check(sequence_network(seed), seed, x)


@given(st.integers(0, 100_000))
@settings(max_examples=150, deadline=None)
def test_random_token_networks(seed: int) -> None:
    check(token_network(seed), seed, np.random.default_rng(seed).integers(0, 9, (2, 5)))


def test_most_random_networks_move() -> None:
    """The properties above would hold of a pass that does nothing."""
    x = np.random.default_rng(0).standard_normal((1, 3, 12, 12)).astype(np.float32)
    assert sum(check(image_network(seed), seed, x) for seed in range(40)) > 60
    ids = np.arange(5)[None]
    assert sum(check(token_network(seed), seed, ids) for seed in range(40)) > 40


def net(channels: int) -> Network:
    made = Network(np.random.default_rng(0))
    made.channels["x"] = channels
    return made


def dense(made: Network, x: str, out: int, weight: str = "") -> str:
    """A linear layer with a weight of its own, or a given one."""
    numbers = made.rng.standard_normal((made.channels[x], out)).astype(np.float32)
    return made.node("MatMul", x, weight or made.constant(numbers), channels=out)


def fixed(proto: onnx.ModelProto) -> dict[str, str]:
    return find_spaces(inferred(proto).graph).fixed


def test_a_layer_between_two_by_hand() -> None:
    """Rows of the first, its bias, and columns of the second; what the network reads stays."""
    made = net(3)
    h = made.node("Add", dense(made, "x", 4), made.bias(4), channels=4)
    y = dense(made, made.node("Relu", h, channels=4), 2)
    proto = made.proto({"x": ["batch", 3]}, {y: ["batch", 2]})
    first, bias, second = (onnx.numpy_helper.to_array(t) for t in proto.graph.initializer)
    order = np.array([2, 0, 3, 1])
    result, found = reordered(proto, {"c2": order})
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in result.graph.initializer}
    assert np.array_equal(stored["c0"], first[:, order])
    assert np.array_equal(stored["c1"], bias[order])
    assert np.array_equal(stored["c2"], second[order])
    assert [node.op_type for node in result.graph.node] == ["MatMul", "Add", "Relu", "MatMul"]
    assert found.outputs == []
    assert fixed(proto) == {"c0": 'it reads "x", an input of the model'}


def test_an_output_that_moved_is_put_back() -> None:
    made = net(3)
    h = dense(made, "x", 4)
    y = dense(made, h, 2)
    proto = made.proto({"x": ["batch", 3]}, {h: ["batch", 4], y: ["batch", 2]})
    result, found = reordered(proto, {"c1": np.array([1, 2, 3, 0])})
    assert found.outputs == [h]
    assert [node.op_type for node in result.graph.node] == ["MatMul", "MatMul", "Gather"]
    x = np.eye(3, dtype=np.float32)
    for a, b in zip(run(proto, x), run(result, x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_layers_that_read_the_same_channels_share_a_space() -> None:
    """Query, key and value; and what a residual connection joins."""
    made = net(4)
    x = dense(made, "x", 8)
    q, k, v = (dense(made, x, 8) for _ in range(3))
    joined = made.node("Add", x, made.node("Mul", v, k, channels=8), channels=8)
    y = dense(made, made.node("Add", joined, q, channels=8), 5)
    spaces = find_spaces(inferred(made.proto({"x": ["b", 4]}, {y: ["b", 5]})).graph)
    assert spaces.of == {"c1": 0, "c2": 0, "c3": 0, "c4": 0}


@pytest.mark.parametrize(
    ("op", "attributes"),
    [("CumSum", {}), ("Hardmax", {}), ("Trilu", {"upper": 1})],
)
def test_an_operator_that_is_not_known_keeps_the_order(op: str, attributes: dict[str, int]) -> None:
    made = net(4)
    x = dense(made, "x", 8)
    more = [made.constant(np.array(1))] if op == "CumSum" else []
    z = made.node(op, x, *more, channels=8, **attributes)
    y = dense(made, x, 4)
    proto = made.proto({"x": ["b", 4]}, {y: ["b", 4], z: ["b", 8]})
    weight = proto.graph.node[-1].input[1]
    assert fixed(proto)[weight] == f"{op} mixes, splits or reorders them"
    with pytest.raises(Conflict, match=f"cannot move: {op} mixes"):
        reordered(proto, {weight: np.arange(8)})


def test_a_grouped_convolution_keeps_the_order() -> None:
    made = net(3)
    x = made.conv("x", 8)
    y = made.conv(made.conv(x, 8, groups=2), 4)
    proto = made.proto({"x": ["b", 3, 5, 5]}, {y: ["b", 4, 5, 5]})
    weights = [node.input[1] for node in proto.graph.node]
    reasons = fixed(proto)
    assert reasons[weights[1]] == reasons[weights[2]] == "Conv is a grouped convolution"


def test_channels_beside_others_keep_the_order() -> None:
    """A layer that reads two spaces side by side would need groups within each of them."""
    made = net(3)
    a, b = made.conv("x", 4), made.conv("x", 8)
    y = made.conv(made.node("Concat", a, b, channels=12, axis=1), 4)
    alone = made.conv(a, 4)
    proto = made.proto({"x": ["b", 3, 5, 5]}, {y: ["b", 4, 5, 5], alone: ["b", 4, 5, 5]})
    weights = [node.input[1] for node in proto.graph.node if node.op_type == "Conv"]
    for weight in weights[2:]:
        assert fixed(proto)[weight] == "Conv reads them beside or between others"


def test_channels_that_are_flattened_with_their_places_keep_the_order() -> None:
    made = net(3)
    x = made.conv("x", 4)
    y = dense(made, made.node("Flatten", x, channels=4 * 25), 4)
    proto = made.proto({"x": ["b", 3, 5, 5]}, {y: ["b", 4]})
    assert (
        fixed(proto)[proto.graph.node[-1].input[1]] == "MatMul reads them beside or between others"
    )


def test_a_weight_that_is_also_read_as_something_else_keeps_the_order() -> None:
    made = net(4)
    weight = made.constant(np.ones((8, 8), np.float32))
    x = dense(made, "x", 8)
    y = made.node(
        "Add", dense(made, x, 8, weight), made.node("ReduceMax", weight, channels=1), channels=8
    )
    proto = made.proto({"x": ["b", 4]}, {y: ["b", 8]})
    assert fixed(proto)["c0"] == '"c0" is also read by ReduceMax'


def test_a_control_flow_operator_keeps_the_order() -> None:
    made = net(4)
    x = dense(made, "x", 8)
    y = dense(made, x, 4)
    inner = [
        onnx.helper.make_graph(
            [onnx.helper.make_node(op, [x], ["inside"])],
            "branch",
            [],
            [onnx.helper.make_tensor_value_info("inside", onnx.TensorProto.FLOAT, ["b", 8])],
        )
        for op in ("Relu", "Identity")
    ]
    condition = made.constant(np.array(True))
    z = made.node("If", condition, channels=8, then_branch=inner[0], else_branch=inner[1])
    proto = made.proto({"x": ["b", 4]}, {y: ["b", 4], z: ["b", 8]})
    assert fixed(proto)["c1"] == f'"{x}" is read inside a control flow operator'


def test_orders_that_cannot_be_are_refused() -> None:
    made = net(4)
    x = dense(made, "x", 4)
    y, z = dense(made, x, 4), dense(made, x, 4)
    proto = made.proto({"x": ["b", 4]}, {y: ["b", 4], z: ["b", 4]})
    one, other = np.array([1, 0, 2, 3]), np.array([1, 0, 3, 2])
    with pytest.raises(Conflict, match='"c2" and "c1" read the same channels in two orders'):
        reordered(proto, {"c1": one, "c2": other})
    with pytest.raises(Conflict, match="reads 4 channels, and its order is none of them"):
        reordered(proto, {"c1": np.array([0, 0, 1, 2])})
    with pytest.raises(Conflict, match='cannot move: it reads "x", an input of the model'):
        reordered(proto, {"c0": one})
    with pytest.raises(Conflict, match="it is no layer of the graph"):
        reordered(proto, {"other": one})
    assert reordered(proto, {"c1": one, "c2": one})[1].moved.keys() == {"c0", "c1", "c2"}


def test_places_of_repeated_units() -> None:
    """Two places a unit, and the units twice over: each goes where its unit goes."""
    wanted = np.array([2, 0, 1])
    assert places(np.array([0, 0, 1, 1, 2, 2]), wanted).tolist() == [4, 5, 0, 1, 2, 3]
    assert places(np.array([0, 1, 2, 0, 1, 2]), wanted).tolist() == [2, 0, 1, 5, 3, 4]
