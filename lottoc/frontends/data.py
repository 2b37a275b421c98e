"""Data sets in npz files: arrays checked before they are believed, headers without arrays."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lottoc.diagnostics import InputError, did_you_mean, input_error


@dataclass(frozen=True)
class NpzSource:
    """Two arrays of an npz file: examples `x` along axis 0, labels `y`."""

    file: Path
    x: str
    y: str


@dataclass(frozen=True)
class Arrays:
    """Examples [n, …] as float32 (or int64, for tokens), and class ids [n] as int64."""

    x: NDArray[Any]
    y: NDArray[np.int64]


def open_npz(source: NpzSource) -> Arrays:
    """Read a split.

    uint8 examples become float32 in [0, 1], other floats float32, other integers int64.
    Raises `InputError`: data-not-found, npz-invalid, npz-key, npz-object-array, data-length,
    data-labels, data-empty, data-not-finite.
    """
    x = _examples(source, _read(source, source.x))
    y = _labels(source, _read(source, source.y))
    if len(x) != len(y):
        raise _wrong(
            source,
            "data-length",
            f'"{source.x}" has {len(x)} examples and "{source.y}" {len(y)} labels',
            "both need one row an example",
        )
    if len(x) == 0:
        raise _wrong(source, "data-empty", f'"{source.x}" has no examples')
    return Arrays(x, y)


def npz_shape(source: NpzSource) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of the examples, from the file's header alone."""
    with _opened(source) as archive, archive.open(_member(source, archive, source.x)) as file:
        try:
            header = npy.read_magic(file)
            read = npy.read_array_header_1_0 if header == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(file)
        except ValueError as error:
            raise _damaged(source, error) from error
    if not shape:
        raise _wrong(source, "data-length", f'"{source.x}" is a single number')
    return shape, dtype


def data_digest(source: NpzSource) -> str:
    """SHA-256 over the file and the names of the arrays that are read from it."""
    try:
        with source.file.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _not_found(source, error) from error
    return hashlib.sha256(f"{content}\n{source.x}\n{source.y}".encode()).hexdigest()


def _opened(source: NpzSource) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source.file)
    except OSError as error:
        raise _not_found(source, error) from error
    except zipfile.BadZipFile as error:
        raise _damaged(source, error) from error


def _member(source: NpzSource, archive: zipfile.ZipFile, key: str) -> str:
    keys = [name.removesuffix(".npy") for name in archive.namelist()]
    if key not in keys:
        raise _wrong(source, "npz-key", f'there is no array "{key}"', *did_you_mean(key, keys))
    return f"{key}.npy" if f"{key}.npy" in archive.namelist() else key


def _read(source: NpzSource, key: str) -> NDArray[Any]:
    with _opened(source) as archive:
        member = _member(source, archive, key)
        try:
            with archive.open(member) as file:
                array = npy.read_array(file, allow_pickle=False)
        except ValueError as error:
            if "Object arrays" in str(error):
                raise _wrong(
                    source,
                    "npz-object-array",
                    f'"{key}" holds Python objects, which could run code when loaded',
                    "save it as an array of numbers",
                ) from error
            raise _damaged(source, error) from error
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
            raise _damaged(source, error) from error
    if array.ndim == 0:
        raise _wrong(source, "data-length", f'"{key}" is a single number, not one row an example')
    return array


def _examples(source: NpzSource, x: NDArray[Any]) -> NDArray[Any]:
    if x.dtype == np.uint8:
        return x.astype(np.float32) / np.float32(255)
    if x.dtype.kind in "iub":
        return x.astype(np.int64)
    if x.dtype.kind != "f":
        raise _wrong(source, "data-type", f'"{source.x}" holds {x.dtype}, not numbers')
    x = x.astype(np.float32, copy=False)
    if not np.isfinite(x).all():
        row = int(np.argwhere(~np.isfinite(x))[0][0])
        raise _wrong(
            source,
            "data-not-finite",
            f'"{source.x}" holds NaN or infinity, first in row {row}',
            "clean the data: training on it can only give NaN",
        )
    return x


def _labels(source: NpzSource, y: NDArray[Any]) -> NDArray[np.int64]:
    if y.ndim != 1 or y.dtype.kind not in "iub":
        shape = "×".join(map(str, y.shape))
        raise _wrong(
            source,
            "data-labels",
            f'"{source.y}" holds {y.dtype} of shape {shape}, not one class id an example',
            "save labels as a one-dimensional integer array, not one-hot",
        )
    if y.size and y.min() < 0:
        raise _wrong(source, "data-labels", f'"{source.y}" holds the negative label {y.min()}')
    return y.astype(np.int64)


def _not_found(source: NpzSource, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    help = "paths in a recipe are relative to the recipe's own folder"
    return _wrong(source, "data-not-found", f"cannot read the data: {reason}", help)


def _damaged(source: NpzSource, error: Exception) -> InputError:
    return _wrong(source, "npz-invalid", f"not an npz file, or damaged: {error}", "save it again")


def _wrong(source: NpzSource, code: str, message: str, *help: str) -> InputError:
    return input_error(code, message, file=str(source.file), help=help)
