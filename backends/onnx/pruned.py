"""What a pruned model shall hold: a model, masks, and weights that may be new."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.representation import MaskedWeight
from lottoc.backends.onnx.values import LARGEST, NAMES, Narrow, narrow, rounded
from lottoc.diagnostics import input_error
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_layers import Weight
from lottoc.frontends.onnx_model import OnnxModel
from lottoc.frontends.onnx_schema import DataType

Masks = Mapping[str, NDArray[np.bool_]] | Callable[[str], NDArray[np.bool_] | None]
Orders = Mapping[str, NDArray[np.int64] | None]
"""For layers that keep N of every M: the order that the channels they read are to come in, position
j saying which comes there, or None for the order they have. None of these channels may leave."""
Weights = Mapping[str, NDArray[np.generic]] | Callable[[str], NDArray[np.generic] | None]


@dataclass(frozen=True)
class Content:
    """What a model shall hold: masks and new weights, both canonical, by layer.

    Either may be a function; it is called once or more for each layer, and returns None for a layer
    without a mask, or with the weights of the file. Kept weights of the layers in `narrow` are
    rounded to the element type it gives.
    """

    model: OnnxModel
    masks: Masks
    weights: Weights | None = None
    narrow: Mapping[str, int] = field(default_factory=dict)
    orders: Orders = field(default_factory=dict)
    small: frozenset[str] = frozenset()
    """Stored weights whose layers multiply in int8."""

    @property
    def ordered(self) -> bool:
        """Whether channels are to come in another order."""
        return any(order is not None for order in self.orders.values())

    def mask(self, name: str) -> NDArray[np.bool_] | None:
        """The mask of a layer, or None if it stays dense."""
        mask = self.masks(name) if callable(self.masks) else self.masks.get(name)
        shape = self.model.weights[name].layer.shape
        if mask is not None and (mask.shape != shape or mask.dtype != np.bool_):
            raise ValueError(f"mask of {name} is {mask.dtype}{mask.shape}, not bool{shape}")
        return mask

    def weight(self, name: str) -> NDArray[np.generic]:
        """The dense weight of a layer, in the layer's own type."""
        new = self.weights
        value = new(name) if callable(new) else (new or {}).get(name)
        weight = self.model.weights[name]
        if value is None:
            value = self.model.layer(name)
        if value.shape != weight.layer.shape:
            raise ValueError(f"weight of {name} is {value.shape}, not {weight.layer.shape}")
        own = weight.stored.data_type
        value = value.astype(schema.numpy_type(own), copy=False)
        if name in self.narrow:
            value = rounded(self._masked(name, value), own, self.narrow[name])
        return value

    def masked(self, name: str) -> NDArray[np.generic]:
        """The weight of a layer, zero where it is pruned."""
        return self._masked(name, self.weight(name))

    def _masked(self, name: str, value: NDArray[np.generic]) -> NDArray[np.generic]:
        mask = self.mask(name)
        return value if mask is None else np.where(mask, value, np.zeros((), value.dtype))

    def has_new(self, name: str) -> bool:
        """Whether a layer's weight may differ from the file's."""
        return callable(self.weights) or name in (self.weights or {})


def masked_weight(content: Content, weight: Weight, kept: int, value_type: int) -> MaskedWeight:
    """What a representation is given of a layer: lazily computed, in storage order."""
    name = weight.layer.name

    def storage(canonical: NDArray[np.generic]) -> NDArray[np.generic]:
        return (canonical.T if weight.transposed else canonical).reshape(-1)

    def mask() -> NDArray[np.bool_]:
        canonical = content.mask(name)
        if canonical is None:
            return np.ones(weight.layer.size, np.bool_)
        return storage(canonical).astype(np.bool_, copy=False)

    own = weight.stored.data_type

    def narrowed() -> Narrow:
        masked = content.masked(name)
        stored = narrow(masked, own, value_type)
        _check_range(masked, stored, value_type, name)
        return stored

    def values() -> NDArray[np.generic]:
        exact = value_type == own
        return storage(content.weight(name) if exact else narrowed().numbers)

    def scales() -> NDArray[np.generic]:
        given = narrowed().scales
        assert given is not None
        return given

    opset, axis = content.model.file.opset, 1 if weight.transposed else 0
    small = weight.stored.name in content.small and value_type == DataType.INT8
    return MaskedWeight(weight.stored, kept, opset, value_type, mask, values, scales, axis, small)


def _check_range(masked: NDArray[np.generic], stored: Narrow, value_type: int, name: str) -> None:
    """Raise `InputError` (onnx-range) for a weight that the narrower type does not have."""
    if stored.scales is None:
        lost = np.isfinite(masked) & ~np.isfinite(stored.numbers)
    else:
        with np.errstate(over="ignore"):
            fits = np.isfinite(stored.scales * stored.scales.dtype.type(LARGEST))
        lost = ~np.isfinite(masked) | ~fits.reshape(-1, *(1,) * (masked.ndim - 1))
    if lost.any():
        worst = float(np.abs(masked[lost].astype(np.float64)).max())
        raise input_error(
            "onnx-range",
            f'layer "{name}" has a weight of {worst:g}, too large for {NAMES[value_type]}',
            help=["keep the values in their own type"],
        )
