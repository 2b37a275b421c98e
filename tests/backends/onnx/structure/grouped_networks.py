"""Random ONNX networks whose weights have groups, built with the onnx package alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from random_networks import Network

Weight = NDArray[np.generic]


def grouped(net: Network, rows: int, columns: int, kernel: tuple[int, ...] = ()) -> Weight:
    """Groups of random sizes, mixed or in order, which may keep nothing; some rows are empty."""
    rng = net.rng
    mask = np.zeros((rows, columns), np.bool_)
    cuts = np.sort(rng.integers(0, rows + 1, int(rng.integers(0, 4))))
    for part in np.split(np.arange(rows), cuts):
        kept = int(rng.integers(0, columns + 1))
        mask[part[:, None], rng.choice(columns, kept, replace=False)] = True
    if rng.random() < 0.7:
        mask = mask[rng.permutation(rows)]
    mask[rng.random(rows) < 0.1] = False
    weight = rng.standard_normal((rows, columns, *kernel)) / np.sqrt(columns)
    return (weight * mask.reshape(rows, columns, *(1,) * len(kernel))).astype(np.float32)


def convolution(net: Network, x: str, rows: int, **attributes: Any) -> str:
    """A convolution with groups; `kernel` is 1 if not given."""
    kernel = attributes.pop("kernel", 1)
    inputs = [x, net.constant(grouped(net, rows, net.channels[x], (kernel, kernel)))]
    inputs += [net.bias(rows)] if net.rng.random() < 0.7 else []
    pads = [kernel // 2] * 4
    return net.node("Conv", *inputs, channels=rows, pads=pads, **attributes)


def image_network(seed: int) -> onnx.ModelProto:
    """Convolutions of every kind between whatever can stand between them."""
    net = Network(np.random.default_rng(seed))
    rng, net.channels["x"] = net.rng, 6
    x = convolution(net, "x", 12, kernel=3)
    kept = []
    for _ in range(int(rng.integers(2, 9))):
        c = net.channels[x]
        match int(rng.integers(0, 13)):
            case 0:
                x = net.node("Add", x, convolution(net, net.activation(x), c), channels=c)
            case 1:
                parts = [convolution(net, x, 6), net.activation(convolution(net, x, 4)), x]
                parts = parts[: int(rng.integers(2, 4))]
                total = sum(net.channels[part] for part in parts)
                x = net.node("Concat", *parts, channels=total, axis=1)
            case 2 | 3:
                x = net.conv(x, c, kernel=3, groups=c, pad=1)
            case 4:
                x = net.norm(x)
            case 5:
                x = net.scale(x)
            case 6:
                pool = str(rng.choice(["MaxPool", "AveragePool"]))
                x = net.node(pool, x, channels=c, kernel_shape=[3, 3], pads=[1] * 4)
            case 7:
                gate = net.node("ReduceMean", x, net.constant(np.array([2, 3])), channels=c)
                gate = net.node("Sigmoid", convolution(net, gate, c), channels=c)
                pair = (x, gate) if rng.random() < 0.5 else (gate, x)
                x = net.node("Mul", *pair, channels=c)
            case 8:
                x = net.node("Softmax", x, channels=c, axis=1)
            case 9:
                x = net.conv(x, 8)
            case 10:
                x = net.node("Transpose", x, channels=c, perm=[0, 1, 3, 2])
            case 11:
                kept.append(x)
            case _:
                rows, kernel = int(rng.integers(3, 20)), int(rng.choice([1, 3]))
                x = convolution(net, x, rows, kernel=kernel)
        if rng.random() < 0.5:
            x = net.activation(x)
    outputs = {name: ["batch", net.channels[name], 8, 8] for name in kept}
    return net.proto({"x": ["batch", 6, 8, 8]}, {**outputs, **_head(net, x)})


def _head(net: Network, x: str) -> dict[str, list[Any]]:
    c, length = net.channels[x], net.channels[x]
    match int(net.rng.integers(0, 4)):
        case 0:
            x = net.node("GlobalAveragePool", x, channels=c)
            x = net.node("Flatten", x, channels=c)
        case 1:
            x = net.node("ReduceMean", x, net.constant(np.array([2, 3])), channels=c, keepdims=0)
        case 2:
            x, length = net.node("Flatten", x, channels=c), c * 64
        case _:
            shape = net.constant(np.array([0, c, 64]))
            x = net.node("Reshape", x, shape, channels=c)
            return linear_head(net, net.node("Transpose", x, channels=c, perm=[0, 2, 1]))
    weight = net.constant(grouped(net, 7, length))
    x = net.node("Gemm", x, weight, net.bias(7), channels=7, transB=1)
    x = net.node("MatMul", net.activation(x), net.constant(grouped(net, 5, 7).T), channels=5)
    return {net.node("Add", x, net.bias(5), channels=5): ["batch", 5]}


def linear_head(net: Network, x: str) -> dict[str, list[Any]]:
    """A linear layer on [batch, 64, channels]."""
    weight = net.constant(grouped(net, 5, net.channels[x]).T)
    return {net.node("MatMul", x, weight, channels=5): ["batch", 64, 5]}


def linear(net: Network, x: str, rows: int) -> str:
    """A linear layer with groups on [batch, places, channels]."""
    weight = net.constant(grouped(net, rows, net.channels[x]).T)
    x = net.node("MatMul", x, weight, channels=rows)
    if net.rng.random() < 0.3:
        return x
    pair = (x, net.bias(rows)) if net.rng.random() < 0.5 else (net.bias(rows), x)
    return net.node("Add", *pair, channels=rows)


def attention(net: Network, x: str) -> str:
    """Attention, its keys turned in one step or two, its queries scaled before or after."""
    c, heads = net.channels[x], 2
    shape = net.constant(np.array([0, -1, heads, c // heads]))
    q, k, v = (net.node("Reshape", linear(net, x, c), shape, channels=c) for _ in range(3))
    q, v = (net.node("Transpose", part, channels=c, perm=[0, 2, 1, 3]) for part in (q, v))
    if net.rng.random() < 0.5:
        k = net.node("Transpose", k, channels=c, perm=[0, 2, 3, 1])
    else:
        k = net.node("Transpose", k, channels=c, perm=[0, 2, 1, 3])
        k = net.node("Transpose", k, channels=c, perm=[0, 1, 3, 2])
    scale = net.constant(np.array(0.3, np.float32))
    q = net.node("Mul", q, scale, channels=c)
    scores = net.node("Softmax", net.node("MatMul", q, k, channels=c), channels=c, axis=-1)
    mixed = net.node("MatMul", scores, v, channels=c)
    mixed = net.node("Transpose", mixed, channels=c, perm=[0, 2, 1, 3])
    mixed = net.node("Reshape", mixed, net.constant(np.array([0, -1, c])), channels=c)
    return linear(net, mixed, c)


def sequence_network(seed: int) -> onnx.ModelProto:
    """Linear layers, attention, norms, gates, and convolutions over places."""
    net = Network(np.random.default_rng(seed))
    rng, net.channels["x"], x = net.rng, 8, "x"
    kept = []
    for _ in range(int(rng.integers(1, 6))):
        c = net.channels[x]
        match int(rng.integers(0, 10)):
            case 0 if c % 2 == 0:
                x = net.node("Add", x, attention(net, x), channels=c)
            case 1:
                x = net.node("LayerNormalization", x, net.bias(c), net.bias(c), channels=c)
            case 2:
                up = net.activation(linear(net, x, 14))
                up = net.node("Mul", up, linear(net, x, 14), channels=14)
                x = net.node("Add", linear(net, up, c), x, channels=c)
            case 3:
                turned = net.node("Transpose", x, channels=c, perm=[0, 2, 1])
                weight = net.constant(grouped(net, 6, c, (3,)))
                turned = net.node("Conv", turned, weight, channels=6, pads=[1, 1])
                x = net.node("Transpose", turned, channels=6, perm=[0, 2, 1])
            case 4:
                x = net.node("Concat", linear(net, x, 6), linear(net, x, 4), channels=10, axis=2)
            case 5:
                op, operand = str(rng.choice(["Mul", "Sub", "PRelu", "Div"])), net.bias(c)
                x = net.node(op, x, operand, channels=c)
            case 6:
                largest = net.node("ReduceMax", x, channels=c, keepdims=0)
                x = net.node("Mul", x, net.node("Tanh", largest, channels=1), channels=c)
            case 7:
                kept.append(x) if x != "x" else None
            case _:
                x = linear(net, x, int(rng.integers(2, 20)))
        if rng.random() < 0.5:
            x = net.activation(x)
    x = linear(net, x, 6)
    outputs = {name: ["batch", "places", net.channels[name]] for name in [*kept, x]}
    return net.proto({"x": ["batch", "places", 8]}, outputs)
