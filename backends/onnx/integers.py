"""Checks layers in int8 against the arithmetic of `quantized`, by numpy and one layer at a time.

onnxruntime runs the file as it does for anybody, with all its optimizations, and tells the bytes
that go into each layer and come out of it. What should come out is computed from what goes in, in
integers that are exact in float64; a byte may be off by one, as the runtime scales its sums in
float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.quantized import LEVELS

OFF = 1
"""Steps that a byte may be off by."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Wrong:
    """A layer whose bytes are not what they should be."""

    layer: str
    wrong: int
    size: int
    most: int

    def __str__(self) -> str:
        return (
            f'{self.wrong} of {self.size} bytes that the layer of "{self.layer}" gives are off, '
            f"by {self.most} at most: onnxruntime's 8-bit products overflow on processors without "
            "instructions for them (VNNI on x86)"
        )


@dataclass(frozen=True)
class _Layer:
    """A convolution of bytes as the file writes it: constants as they are, bytes by name."""

    name: str
    source: str
    result: str
    read: tuple[float, int]
    """Scale and zero of what it reads."""
    given: tuple[float, int]
    numbers: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.int32] | None
    bounds: tuple[float, float]
    attributes: Mapping[str, Any]

    def bytes_of(self, source: NDArray[np.uint8]) -> Floats:
        """What it makes of bytes; whole numbers."""
        sums = convolve(source.astype(np.float64) - self.read[1], self.numbers, self.attributes)
        along = (-1, *(1,) * (sums.ndim - 2))
        if self.bias is not None:
            sums += self.bias.astype(np.float64).reshape(along)
        units = self.read[0] * self.scales.astype(np.float64)
        exact = np.clip(sums * units.reshape(along), *self.bounds)
        steps: Floats = np.clip(np.rint(exact / self.given[0]) + self.given[1], 0, LEVELS)
        return steps


def find_wrong(path: Path, weights: Sequence[str], inputs: Sequence[Path]) -> Wrong | None:
    """The first of the layers of these weights whose bytes are wrong for some inputs, if any is.

    `inputs` are files of arrays by the names of the model's inputs. Raises `ValueError` for a
    weight that no such convolution reads.
    """
    from lottoc.backends.onnx.activations import session_with

    layers = list(_layers(path, frozenset(weights)))
    missing = sorted(set(weights) - {layer.name for layer in layers})
    if missing:
        raise ValueError(f'the layer of "{missing[0]}" does not multiply in int8')
    names = sorted({name for layer in layers for name in (layer.source, layer.result)})
    session = session_with(path, names)
    for file in inputs:
        with np.load(file) as arrays:
            values = dict(zip(names, session.run(names, dict(arrays)), strict=True))
        for layer in layers:
            wanted = layer.bytes_of(values[layer.source])
            off = np.abs(values[layer.result].astype(np.float64) - wanted)
            if (off > OFF).any():
                return Wrong(layer.name, int((off > OFF).sum()), off.size, int(off.max()))
    return None


def convolve(values: Floats, weight: NDArray[Any], attributes: Mapping[str, Any]) -> Floats:
    """The convolution of the ONNX standard [batch, channels, places…], in float64."""
    kernel = weight.shape[2:]
    rank = len(kernel)
    strides = attributes.get("strides") or [1] * rank
    dilations = attributes.get("dilations") or [1] * rank
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    pads = _pads(values.shape[2:], spans, strides, attributes)
    values = np.pad(values, [(0, 0), (0, 0), *pads])
    axes = tuple(range(2, 2 + rank))
    windows = np.lib.stride_tricks.sliding_window_view(values, spans, axes)
    places = tuple(slice(None, None, stride) for stride in strides)
    taps = tuple(slice(None, None, dilation) for dilation in dilations)
    windows = windows[(slice(None), slice(None), *places, *taps)]
    groups = int(attributes.get("group", 1))
    batch, count = windows.shape[0], windows.shape[2 : 2 + rank]
    rows = np.moveaxis(windows, 1, 1 + rank)  # [batch, places…, channels, kernel…]
    rows = rows.reshape(batch, *count, groups, -1)
    filters = weight.astype(np.float64).reshape(groups, len(weight) // groups, -1)
    made: Floats = np.einsum("...gk,gok->...go", rows, filters, optimize=True)
    return np.moveaxis(made.reshape(batch, *count, -1), -1, 1)


def _pads(
    sizes: Sequence[int],
    spans: Sequence[int],
    strides: Sequence[int],
    attributes: Mapping[str, Any],
) -> list[tuple[int, int]]:
    """Before and behind, for each axis of places."""
    automatic = attributes.get("auto_pad", b"NOTSET").decode()
    if automatic.startswith("SAME"):
        found = []
        for size, span, stride in zip(sizes, spans, strides, strict=True):
            total = max(0, (-(-size // stride) - 1) * stride + span - size)
            less, more = total // 2, total - total // 2
            found.append((less, more) if automatic == "SAME_UPPER" else (more, less))
        return found
    pads = attributes.get("pads") or [0] * (2 * len(sizes))
    return list(zip(pads[: len(sizes)], pads[len(sizes) :], strict=True))


def _layers(path: Path, weights: frozenset[str]) -> Iterator[_Layer]:
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(path))
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def numbers(name: str) -> NDArray[Any]:
        return numpy_helper.to_array(stored[name])

    def meaning(node: Any) -> tuple[float, int]:
        return float(numbers(node.input[1])), int(numbers(node.input[2]))

    for node in model.graph.node:
        if node.op_type != "Conv" or node.input[1] not in weights:
            continue
        source, weight = makers.get(node.input[0]), makers.get(node.input[1])
        low, high, output = -np.inf, np.inf, node.output[0]
        behind = readers.get(output, [])
        if len(behind) == 1 and behind[0].op_type in ("Relu", "Clip"):
            cut = behind[0]
            ends = [numbers(name) if name else None for name in cut.input[1:]]
            ends = [*ends, None, None] if cut.op_type == "Clip" else [np.array(0), None]
            low = -np.inf if ends[0] is None else float(ends[0])
            high = np.inf if ends[1] is None else float(ends[1])
            output = cut.output[0]
        given = [n for n in readers.get(output, []) if n.op_type == "QuantizeLinear"]
        if source is None or weight is None or not given:
            continue
        if {source.op_type, weight.op_type} != {"DequantizeLinear"}:
            continue
        bias = makers[node.input[2]].input[0] if len(node.input) > 2 and node.input[2] else ""
        yield _Layer(
            node.input[1],
            source.input[0],
            given[0].output[0],
            meaning(source),
            meaning(given[0]),
            numbers(weight.input[0]),
            numbers(weight.input[1]),
            numbers(bias) if bias else None,
            (low, high),
            {item.name: helper.get_attribute_value(item) for item in node.attribute},
        )
