"""Statistics as safetensors files: written whole, read one layer at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def save(path: Path, statistic: Mapping[str, NDArray[Any]]) -> None:
    """Write one array a layer; equal arrays give equal bytes."""
    from safetensors.numpy import save_file

    save_file({name: np.asarray(statistic[name], order="C") for name in sorted(statistic)}, path)


class StoredStatistic(Mapping[str, NDArray[Any]]):
    """An open file of `save`, which stays mapped even if it is deleted."""

    def __init__(self, path: Path) -> None:
        from safetensors import safe_open

        self._file: Any = safe_open(path, framework="np")

    def __getitem__(self, layer: str) -> NDArray[Any]:
        if layer not in self._file.keys():  # noqa: SIM118 - it is no mapping
            raise KeyError(layer)
        array: NDArray[Any] = self._file.get_tensor(layer)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._file.keys())

    def __len__(self) -> int:
        return len(self._file.keys())
