"""Random ONNX networks with dead units in them, built with the onnx package alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.generic]


@dataclass
class Network:
    """A graph under construction; values are names, `channels` and `rank` by value."""

    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: list[onnx.TensorProto] = field(default_factory=list)
    channels: dict[str, int] = field(default_factory=dict)
    density: float = 0.3

    def constant(self, array: Array) -> str:
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, op: str, *inputs: str, channels: int, **attributes: Any) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        self.channels[output] = channels
        return output

    def weight(self, *shape: int) -> Array:
        """A sparse weight: single zeros, empty rows and empty columns."""
        rng = self.rng
        weight = rng.standard_normal(shape)
        weight[rng.random(shape) > 0.6] = 0
        weight[rng.random(shape[0]) < 0.35] = 0
        weight[:, rng.random(shape[1]) < 0.35] = 0
        return weight.astype(np.float32)

    def bias(self, length: int) -> str:
        return self.constant(self.rng.standard_normal(length).astype(np.float32))

    def conv(self, x: str, out: int, kernel: int = 1, groups: int = 1, pad: int = 0) -> str:
        weight = self.constant(self.weight(out, self.channels[x] // groups, kernel, kernel))
        inputs = [x, weight, *([self.bias(out)] if self.rng.random() < 0.7 else [])]
        return self.node(
            "Conv", *inputs, channels=out, group=groups, pads=[pad] * 4, kernel_shape=[kernel] * 2
        )

    def activation(self, x: str) -> str:
        op = str(self.rng.choice(["Relu", "Sigmoid", "Tanh", "LeakyRelu", "Identity", "Softplus"]))
        return self.node(op, x, channels=self.channels[x])

    def norm(self, x: str) -> str:
        c = self.channels[x]
        positive = self.constant((self.rng.random(c) + 0.5).astype(np.float32))
        inputs = [self.bias(c), self.bias(c), self.bias(c), positive]
        return self.node("BatchNormalization", x, *inputs, channels=c)

    def scale(self, x: str) -> str:
        c = self.channels[x]
        operand = self.constant(self.rng.standard_normal((c, 1, 1)).astype(np.float32))
        op = str(self.rng.choice(["Add", "Mul", "Sub"]))
        pair = (x, operand) if self.rng.random() < 0.5 else (operand, x)
        return self.node(op, *pair, channels=c)

    def proto(self, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]]) -> onnx.ModelProto:
        def info(name: str, shape: list[Any]) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        graph = helper.make_graph(
            self.nodes,
            "random",
            [info(name, shape) for name, shape in inputs.items()],
            [info(name, shape) for name, shape in outputs.items()],
            self.tensors,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def image_network(seed: int) -> onnx.ModelProto:
    """Convolutions with residuals, concat, depthwise, grouped and shared weights, then a head."""
    rng = np.random.default_rng(seed)
    net = Network(rng)
    net.channels["x"] = 3
    x = net.conv("x", int(rng.integers(4, 9)) * 2, kernel=3, pad=int(rng.integers(0, 2)))
    shared: dict[int, str] = {}
    for _ in range(int(rng.integers(2, 6))):
        c = net.channels[x]
        match int(rng.integers(0, 9)):
            case 0:
                y = net.conv(net.activation(net.conv(x, 12)), c)
                x = net.node("Add", x, y, channels=c)
            case 1:
                parts = [net.conv(x, 6), net.activation(net.conv(x, 4)), x]
                total = sum(net.channels[part] for part in parts)
                x = net.node("Concat", *parts, channels=total, axis=1)
            case 2:
                x = net.conv(x, c, kernel=3, groups=c, pad=1)
            case 3:
                x = net.conv(x, c, groups=2) if c % 2 == 0 else net.conv(x, 8)
            case 4:
                weight = shared.setdefault(c, net.constant(net.weight(c, c, 1, 1)))
                x = net.node("Conv", x, weight, channels=c, kernel_shape=[1, 1])
                x = net.node("Conv", net.activation(x), weight, channels=c, kernel_shape=[1, 1])
            case 5:
                x = net.norm(x)
            case 6:
                x = net.scale(x)
            case 7:
                pool = str(rng.choice(["MaxPool", "AveragePool"]))
                pads = {"pads": [1, 1, 1, 1]} if rng.random() < 0.5 else {}
                x = net.node(pool, x, channels=c, kernel_shape=[3, 3], strides=[1, 1], **pads)
                if not pads:
                    x = net.conv(x, 10, kernel=1, pad=1)
            case _:
                x = net.conv(x, int(rng.integers(3, 12)) * 2, kernel=1)
        if rng.random() < 0.6:
            x = net.activation(x)
    return net.proto({"x": ["batch", 3, 12, 12]}, _head(net, x))


def _head(net: Network, x: str) -> dict[str, list[Any]]:
    rng, c = net.rng, net.channels[x]
    if rng.random() < 0.5:
        x = net.node("GlobalAveragePool", x, channels=c)
        x = net.node("Flatten", x, channels=c)
    else:
        axes = net.constant(np.array([2, 3]))
        x = net.node("ReduceMean", x, axes, channels=c, keepdims=0)
    weight = net.weight(7, c)
    x = net.node("Gemm", x, net.constant(weight), net.bias(7), channels=7, transB=1)
    x = net.activation(x)
    hidden = x
    x = net.node("MatMul", x, net.constant(net.weight(5, 7).T), channels=5)
    if rng.random() < 0.5:
        return {net.node("Add", x, net.bias(5), channels=5): ["batch", 5]}
    ends: dict[str, list[Any]] = {x: ["batch", 5]}
    if rng.random() < 0.5:  # outputs that are read inside as well
        ends[net.node("Relu", x, channels=5)] = ["batch", 5]
    if rng.random() < 0.3:
        ends[hidden] = ["batch", 7]
    return ends


def sequence_network(seed: int) -> onnx.ModelProto:
    """A residual stream with layer normalization, two-layer blocks, a gate and shared weights."""
    rng = np.random.default_rng(seed)
    net = Network(rng)
    net.channels["x"] = 8
    x = "x"
    shared: dict[tuple[int, int], str] = {}
    for _ in range(int(rng.integers(1, 4))):
        c, hidden = net.channels[x], int(rng.integers(4, 20))
        weight = net.constant(net.weight(hidden, c).T)
        if rng.random() < 0.4:  # the same up-projection as an earlier block's, if one is as wide
            hidden, weight = next(((h, w) for (_, h), w in shared.items()), (hidden, weight))
        shared[c, hidden] = weight
        up = net.node("MatMul", x, weight, channels=hidden)
        if rng.random() < 0.7:
            up = net.node("Add", up, net.bias(hidden), channels=hidden)
        up = net.activation(up)
        if rng.random() < 0.4:
            gate = net.node("MatMul", x, net.constant(net.weight(hidden, c).T), channels=hidden)
            up = net.node("Mul", up, net.activation(gate), channels=hidden)
        if rng.random() < 0.3:
            up = net.node("Transpose", up, channels=hidden, perm=[0, 2, 1])
            up = net.node("Transpose", net.activation(up), channels=hidden, perm=[0, 2, 1])
        down = net.node("MatMul", up, net.constant(net.weight(c, hidden).T), channels=c)
        x = net.node("Add", x, down, channels=c)
        if rng.random() < 0.6:
            x = net.node("LayerNormalization", x, net.bias(c), net.bias(c), channels=c)
    return net.proto({"x": ["batch", "sequence", 8]}, {x: ["batch", "sequence", 8]})


def token_network(seed: int) -> onnx.ModelProto:
    """Embeddings, a residual stream of blocks with normalization, and now and then a tied head."""
    rng = np.random.default_rng(seed)
    net = Network(rng)
    c = int(rng.integers(2, 6)) * 2
    table = net.constant(rng.standard_normal((9, c)).astype(np.float32))
    places = net.constant(rng.standard_normal((5, c)).astype(np.float32))
    x = net.node("Gather", table, "x", channels=c)
    x = net.node("Add", x, places, channels=c)
    for _ in range(int(rng.integers(1, 5))):
        hidden = int(rng.integers(2, 10)) * 2
        y = net.node("LayerNormalization", x, net.bias(c), net.bias(c), channels=c)
        match int(rng.integers(0, 4)):
            case 0:  # normalized by hand
                mean = net.node("ReduceMean", y, net.constant(np.array([-1])), channels=1)
                y = net.node("Sub", y, mean, channels=c)
                y = net.node("Softmax", y, channels=c)
            case 1:  # heads
                q = net.node("MatMul", y, net.constant(net.weight(c, c).T), channels=c)
                heads = net.node("Reshape", q, net.constant(np.array([0, 5, 2, -1])), channels=2)
                heads = net.node("Softmax", heads, channels=2)
                y = net.node("Reshape", heads, net.constant(np.array([0, 5, c])), channels=c)
            case 2:  # two layers with one weight
                weight = net.constant(net.weight(c, c).T)
                y = net.node("MatMul", y, weight, channels=c)
                y = net.node("MatMul", net.activation(y), weight, channels=c)
            case _:
                gate = net.node("MatMul", y, net.constant(net.weight(hidden, c).T), channels=hidden)
                y = net.node("MatMul", y, net.constant(net.weight(hidden, c).T), channels=hidden)
                y = net.node("Mul", net.activation(y), gate, channels=hidden)
                y = net.node("MatMul", y, net.constant(net.weight(c, hidden).T), channels=c)
        x = net.node("Add", x, y, channels=c)
    outputs: dict[str, list[Any]] = {x: ["batch", 5, c]}
    if rng.random() < 0.3:
        turned = net.node("Transpose", table, channels=9, perm=[1, 0])
        head = net.node("MatMul", x, turned, channels=9)
        outputs = {head: ["batch", 5, 9]}
    model = net.proto({"x": ["batch", 5]}, outputs)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    return model


def run(model: onnx.ModelProto, x: Array) -> list[Array]:
    """Outputs of onnxruntime, without its own graph rewriting."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    outputs: list[Array] = session.run(None, {"x": x})
    return outputs
