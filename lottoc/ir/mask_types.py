"""The types of per-layer values of the `mask` dialect, and what several of them have in common."""

from __future__ import annotations

from xdsl.ir import SSAValue
from xdsl.utils.exceptions import VerifyException

from lottoc.ir.types import LayerMaskType, LayerScoresType, WeightType
from lottoc.masks.patterns import UNSTRUCTURED


def mask_type(value: SSAValue) -> LayerMaskType:
    """The type of a per-layer mask."""
    assert isinstance(value.type, LayerMaskType)
    return value.type


def weight_type(value: SSAValue) -> WeightType:
    """The type of a layer's weight."""
    assert isinstance(value.type, WeightType)
    return value.type


def scores_type(value: SSAValue) -> LayerScoresType:
    """The type of per-layer scores."""
    assert isinstance(value.type, LayerScoresType)
    return value.type


def same_shape(*values: SSAValue) -> None:
    """Raises `VerifyException` unless the values are of one shape."""
    shapes = []
    for value in values:
        assert isinstance(value.type, LayerMaskType | LayerScoresType | WeightType)
        shapes.append(value.type.dims.data)
    if len(set(shapes)) > 1:
        raise VerifyException(f"shapes differ: {', '.join(shapes)}")


def unstructured(*values: SSAValue) -> None:
    """Raises `VerifyException` for a mask that says more than it can."""
    for value in values:
        if str(mask_type(value).pattern) != UNSTRUCTURED:
            raise VerifyException(
                f"nothing makes the result {mask_type(value).pattern}: it is unstructured"
            )
