"""What a pruned model shall hold: a model, masks, and weights that may be new."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.representation import MaskedWeight
from lottoc.diagnostics import input_error
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_layers import Weight
from lottoc.frontends.onnx_model import OnnxModel

Masks = Mapping[str, NDArray[np.bool_]] | Callable[[str], NDArray[np.bool_] | None]
Weights = Mapping[str, NDArray[np.generic]] | Callable[[str], NDArray[np.generic] | None]


@dataclass(frozen=True)
class Content:
    """What a model shall hold: masks and new weights, both canonical, by layer.

    Either may be a function; it is called once or more for each layer, and returns None for a layer
    without a mask, or with the weights of the file. Weights of the layers in `narrow` are rounded
    to the element type it gives.
    """

    model: OnnxModel
    masks: Masks
    weights: Weights | None = None
    narrow: Mapping[str, int] = field(default_factory=dict)

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
        if name in self.narrow:
            value = value.astype(schema.numpy_type(self.narrow[name]))
        return value.astype(schema.numpy_type(weight.stored.data_type), copy=False)

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

    def values() -> NDArray[np.generic]:
        flat = storage(content.weight(name))
        if value_type != weight.stored.data_type:
            _check_range(flat[mask()], value_type, name)
        return flat

    opset = content.model.file.opset
    return MaskedWeight(weight.stored, kept, opset, value_type, mask, values)


def _check_range(kept: NDArray[np.generic], value_type: int, name: str) -> None:
    with np.errstate(over="ignore"):
        narrow = kept.astype(schema.numpy_type(value_type))
    lost = np.isfinite(kept.astype(np.float64)) & ~np.isfinite(narrow.astype(np.float64))
    if lost.any():
        worst = float(np.abs(kept[lost].astype(np.float64)).max())
        raise input_error(
            "onnx-range",
            f'layer "{name}" has a weight of {worst:g}, too large for '
            f"{schema.FLOATING[schema.DataType(value_type)]}",
            help=["keep the values in their own type"],
        )
