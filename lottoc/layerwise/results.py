"""What reconstruction leaves behind: new weights and masks of some layers, in one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lottoc.frontends.tensor_file import Described, TensorFile, write_tensors
from lottoc.layerwise.reconstruct import Solved
from lottoc.masks.mask import Mask

_WEIGHT, _MASK = "weight/", "mask/"


class SolvedFile:
    """Layers as `save` wrote them; weights are read when asked for."""

    def __init__(self, path: Path) -> None:
        self._file = TensorFile(path)
        tensors = self._file.tensors
        self.layers = [n.removeprefix(_WEIGHT) for n in tensors if n.startswith(_WEIGHT)]

    def weight(self, layer: str) -> NDArray[Any]:
        """[out, in], mapped."""
        return self._file.get(_WEIGHT + layer)

    def mask(self, layer: str) -> Mask:
        """True where kept."""
        shape = self._file.tensors[_WEIGHT + layer].shape
        return Mask(shape, np.array(self._file.get(_MASK + layer)))

    def described(self, layer: str) -> Described:
        """Shape and type of a weight."""
        return self._file.tensors[_WEIGHT + layer]


class SolvedLayers(Protocol):
    """Where layers come from that are to be saved."""

    @property
    def layers(self) -> Sequence[str]:
        """Names in the order they are written."""

    def weight(self, layer: str) -> NDArray[Any]:
        """[out, in]."""

    def mask(self, layer: str) -> Mask:
        """True where kept."""

    def described(self, layer: str) -> Described:
        """Shape and type of a weight."""


def save(path: Path, solved: SolvedLayers) -> None:
    """Write weights and masks, layer by layer."""
    tensors: list[tuple[str, Described]] = []
    for layer in solved.layers:
        weight = solved.described(layer)
        size = int(np.prod(weight.shape))
        tensors += [
            (_WEIGHT + layer, weight),
            (_MASK + layer, Described("uint8", (-(-size // 8),))),
        ]

    def get(name: str) -> NDArray[Any]:
        if name.startswith(_WEIGHT):
            return solved.weight(name.removeprefix(_WEIGHT))
        return solved.mask(name.removeprefix(_MASK)).bits

    write_tensors(path, tensors, get)


class JustSolved:
    """The layers of one stage, in memory."""

    def __init__(self, solved: Mapping[str, Solved]) -> None:
        self.solved, self.layers = solved, list(solved)

    def weight(self, layer: str) -> NDArray[Any]:
        """[out, in]."""
        return self.solved[layer].weight

    def mask(self, layer: str) -> Mask:
        """True where kept."""
        return Mask.from_bool(self.solved[layer].mask)

    def described(self, layer: str) -> Described:
        """Shape and type of a weight."""
        weight = self.solved[layer].weight
        return Described(weight.dtype.name, weight.shape)


class Joined:
    """Several files as one, their layers in a given order."""

    def __init__(self, files: Sequence[Path], order: Sequence[str]) -> None:
        self._of: dict[str, SolvedFile] = {}
        for path in files:
            file = SolvedFile(path)
            self._of |= dict.fromkeys(file.layers, file)
        self.layers = [layer for layer in order if layer in self._of]

    def weight(self, layer: str) -> NDArray[Any]:
        """[out, in], mapped."""
        return self._of[layer].weight(layer)

    def mask(self, layer: str) -> Mask:
        """True where kept."""
        return self._of[layer].mask(layer)

    def described(self, layer: str) -> Described:
        """Shape and type of a weight."""
        return self._of[layer].described(layer)


class StoredMasks(Mapping[str, Mask]):
    """The masks of a file."""

    def __init__(self, file: SolvedFile) -> None:
        self._file = file

    def __getitem__(self, layer: str) -> Mask:
        if layer not in self._file.layers:
            raise KeyError(layer)
        return self._file.mask(layer)

    def __iter__(self) -> Iterator[str]:
        return iter(self._file.layers)

    def __len__(self) -> int:
        return len(self._file.layers)


class NewWeights:
    """A network's weights, those of some layers replaced."""

    def __init__(self, base: Any, file: SolvedFile) -> None:
        self.base, self.file = base, file

    def layer(self, name: str) -> NDArray[Any]:
        """The weight of a layer in canonical layout."""
        changed = self.changed(name)
        weight: NDArray[Any] = self.base.layer(name) if changed is None else changed
        return weight

    def changed(self, name: str) -> NDArray[Any] | None:
        """The weight of a layer that was replaced."""
        if name in self.file.layers:
            return self.file.weight(name)
        return changed_layer(self.base, name)


def with_solved(base: Any, file: SolvedFile) -> Any:
    """A network's weights with what was solved: of a torch model a state again."""
    from lottoc.training.state import State

    if not isinstance(base, State):
        return NewWeights(base, file)
    solved = {base.key(layer): layer for layer in file.layers}
    return State(_Solved(base.arrays, solved, file), base.step)


class _Solved(Mapping[str, NDArray[Any]]):
    """The arrays of a state, weights of solved layers in the place of its own."""

    def __init__(
        self, base: Mapping[str, NDArray[Any]], solved: Mapping[str, str], file: SolvedFile
    ) -> None:
        self._base, self._solved, self._file = base, solved, file

    def __getitem__(self, name: str) -> NDArray[Any]:
        layer = self._solved.get(name)
        return self._base[name] if layer is None else self._file.weight(layer)

    def __iter__(self) -> Iterator[str]:
        return iter(self._base)

    def __len__(self) -> int:
        return len(self._base)


def changed_layer(weights: Any, name: str) -> NDArray[Any] | None:
    """The weight that took the place of the model's own, if one did."""
    return weights.changed(name) if isinstance(weights, NewWeights) else None
