"""What every way of storing a masked weight has in common.

A representation is one file: it turns a `MaskedWeight` into `Parts` of a graph that give the same
value under the same name, and finds weights that are stored its way in an existing file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.parts import NewExternal, NewNode, NewSparse, NewTensor
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_layers import Stored

Flat = NDArray[np.generic]


class Unsuitable(Exception):
    """A representation cannot hold this weight in this model; the text says why."""


@dataclass(frozen=True)
class MaskedWeight:
    """A weight to be stored, in storage order.

    `kept` is the number of weights the mask keeps. `mask()` and `values()` give flat arrays of
    `size` elements, bool and `value_type`: the weight's own type or a narrower one. `scales()`
    gives what int8 values are multiplied by, of shape `scale_dims`; `out_axis` is the axis of the
    stored weight along which they differ. All are computed at each call. The layers of a weight in
    `small` read int8 values as they are, if the runtime can: nothing must be folded into them.
    """

    stored: Stored
    kept: int
    opset: int
    value_type: int
    mask: Callable[[], NDArray[np.bool_]]
    values: Callable[[], Flat]
    scales: Callable[[], Flat]
    out_axis: int
    small: bool = False

    @property
    def scale_dims(self) -> tuple[int, ...]:
        """One scale for each output, to be broadcast."""
        dims = enumerate(self.stored.dims)
        return tuple(dim if axis == self.out_axis else 1 for axis, dim in dims)

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.stored.dims)


@dataclass(frozen=True)
class Parts:
    """What replaces an initializer. `shared` parts are written once for all layers."""

    tensors: tuple[NewTensor, ...] = ()
    sparse: tuple[NewSparse, ...] = ()
    nodes: tuple[NewNode, ...] = ()
    shared: tuple[NewTensor, ...] = ()
    external: tuple[NewExternal, ...] = ()
    payload: int = field(init=False)

    def __post_init__(self) -> None:
        sparse = [t for s in self.sparse for t in (s.values, s.indices)]
        total = sum(t.nbytes + len(t.name) + 16 for t in (*self.tensors, *sparse))
        total += sum(e.length + len(e.name) + 16 for e in self.external)
        object.__setattr__(self, "payload", total + sum(len(n.encode()) for n in self.nodes))


@dataclass(frozen=True)
class Found:
    """A weight as a file stores it: `value` decodes it, of shape `stored.dims`.

    `value_type` is the element type its kept numbers are stored in; `nbytes` is without decoders.
    `kept` is how many numbers there are, kept zeros included, or None where zeros are written out.
    """

    stored: Stored
    representation: str
    value_type: int
    nbytes: int
    value: Callable[[], Flat]
    kept: int | None = None


class Representation(Protocol):
    """One way to store masked weights."""

    def encode(self, weight: MaskedWeight) -> Parts:
        """The parts that hold the weight; raises `Unsuitable`."""

    def find(self, file: OnnxFile) -> Iterator[Found]:
        """The weights of a file that are stored this way."""
