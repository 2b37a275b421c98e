"""Data sets in npz files: arrays checked before they are believed, headers without arrays."""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
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
class InputsSource:
    """Arrays of an npz file for inputs of a model: (input, array) pairs, examples along axis 0."""

    file: Path
    inputs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Arrays:
    """Examples [n, …] as float32 (or int64, for tokens), and class ids [n] as int64."""

    x: NDArray[Any]
    y: NDArray[np.int64]


def open_npz(source: NpzSource) -> Arrays:
    """Read a split.

    uint8 examples become float32 in [0, 1], other floats float32, other integers int64.
    Raises `InputError`: data-not-found, npz-invalid, npz-key, npz-object-array, data-type,
    data-length, data-labels, data-empty, data-not-finite.
    """
    x = _read(source, source.x)
    y = _read(source, source.y)
    if len(x) != len(y):
        raise _wrong(
            source,
            "data-length",
            f'"{source.x}" has {len(x)} examples and "{source.y}" {len(y)} labels',
            "both need one row an example",
        )
    if x.size == 0:
        raise _wrong(source, "data-empty", f'"{source.x}" has shape {_shape(x)}: no examples')
    return Arrays(_examples(source, x), _labels(source, y))


def npz_shape(source: NpzSource) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of the examples, from the file's header alone.

    Raises `InputError`: data-not-found, npz-invalid, npz-key, data-length.
    """
    with _member(source, source.x) as file:
        read = npy.read_array_header_1_0
        if npy.read_magic(file) != (1, 0):
            read = npy.read_array_header_2_0
        shape, _, dtype = read(file)
    if not shape:
        raise _single(source, source.x)
    return shape, dtype


def open_inputs(source: InputsSource) -> dict[str, NDArray[Any]]:
    """Arrays by the input they are for, in the types of the file.

    Raises `InputError`: data-not-found, npz-invalid, npz-key, npz-object-array, data-type,
    data-length, data-empty, data-not-finite.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, key in source.inputs:
        array = arrays[name] = _read(source, key)
        if array.dtype.kind not in "iubf":
            raise _wrong(source, "data-type", f'"{key}" holds {array.dtype}, not numbers')
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise _wrong(source, "data-not-finite", f'"{key}" holds a number that is not finite')
    counts = {len(array) for array in arrays.values()}
    if len(counts) > 1:
        said = ", ".join(f'"{key}" {len(arrays[name])}' for name, key in source.inputs)
        raise _wrong(source, "data-length", f"arrays differ in their number of examples: {said}")
    if not counts or not counts.pop():
        raise _wrong(source, "data-empty", "there are no examples")
    return arrays


def data_digest(source: NpzSource | InputsSource) -> str:
    """SHA-256 over the file and the names of the arrays that are read from it.

    Raises `InputError` (data-not-found).
    """
    try:
        with source.file.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _not_found(source, error) from error
    if isinstance(source, InputsSource):
        names = repr(source.inputs)
    else:
        names = f"{len(source.x)} {source.x} {source.y}"
    return hashlib.sha256(f"{content}\n{names}".encode()).hexdigest()


AnySource = NpzSource | InputsSource


@contextmanager
def _member(source: AnySource, key: str) -> Iterator[Any]:
    """The open file of one array; whatever is wrong with the bytes read becomes npz-invalid."""
    try:
        file = source.file.open("rb")
    except OSError as error:
        raise _not_found(source, error) from error
    with file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = {name.removesuffix(".npy"): name for name in archive.namelist()}
                if key not in members:
                    raise _no_key(source, key, list(members))
                with archive.open(members[key]) as member:
                    yield member
        except _DAMAGE as error:
            raise _damaged(source, error) from error


_DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # an encrypted member; NotImplementedError for a compression nobody has
    MemoryError,  # a header that claims more than there can be
    OverflowError,
    TypeError,
    SyntaxError,
)
"""What zipfile and numpy raise on damaged bytes."""


def _read(source: AnySource, key: str) -> NDArray[Any]:
    with _member(source, key) as file:
        try:
            array = npy.read_array(file, allow_pickle=False)
        except ValueError as error:
            if "Object arrays" not in str(error):
                raise
            raise _wrong(
                source,
                "npz-object-array",
                f'"{key}" holds Python objects, which could run code when loaded',
                "save it as an array of numbers",
            ) from error
    if array.ndim == 0:
        raise _single(source, key)
    return array


def _examples(source: NpzSource, x: NDArray[Any]) -> NDArray[Any]:
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x, dtype=np.float32) / np.float32(255)
    if x.dtype.kind in "iub":
        return np.ascontiguousarray(_int64(source, source.x, x))
    if x.dtype.kind != "f":
        raise _wrong(source, "data-type", f'"{source.x}" holds {x.dtype}, not numbers')
    with np.errstate(over="ignore"):  # reported below
        x = np.ascontiguousarray(x, dtype=np.float32)
    finite = np.isfinite(x)
    if not finite.all():
        row = int(np.flatnonzero(~finite.reshape(len(x), -1).all(axis=1))[0])
        raise _wrong(
            source,
            "data-not-finite",
            f'"{source.x}" holds a number that is not finite as float32, first in row {row}',
            "clean the data: training on it can only give NaN",
        )
    return x


def _labels(source: NpzSource, y: NDArray[Any]) -> NDArray[np.int64]:
    if y.ndim != 1 or y.dtype.kind not in "iub":
        raise _wrong(
            source,
            "data-labels",
            f'"{source.y}" holds {y.dtype} of shape {_shape(y)}, not one class id an example',
            "save labels as a one-dimensional integer array, not one-hot",
        )
    labels = _int64(source, source.y, y)
    if labels.min() < 0:
        raise _wrong(
            source,
            "data-labels",
            f'"{source.y}" holds the negative label {labels.min()}',
            "class ids count from 0",
        )
    return labels


def _int64(source: NpzSource, key: str, array: NDArray[Any]) -> NDArray[np.int64]:
    if array.dtype == np.uint64 and array.size and int(array.max()) >= 1 << 63:
        raise _wrong(source, "data-type", f'"{key}" holds {array.max()}, too large for int64')
    return array.astype(np.int64)


def _shape(array: NDArray[Any]) -> str:
    return "×".join(map(str, array.shape))


def _single(source: AnySource, key: str) -> InputError:
    return _wrong(source, "data-length", f'"{key}" is a single number, not one row an example')


def _no_key(source: AnySource, key: str, keys: list[str]) -> InputError:
    return _wrong(source, "npz-key", f'there is no array "{key}"', *did_you_mean(key, keys))


def _not_found(source: AnySource, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    help = "paths in a recipe are relative to the recipe's own folder"
    return _wrong(source, "data-not-found", f"cannot read the data: {reason}", help)


def _damaged(source: AnySource, error: BaseException) -> InputError:
    said = str(error).strip().splitlines()
    reason = said[0] if said else type(error).__name__
    help = "save it again with  numpy.savez"
    return _wrong(source, "npz-invalid", f"not an npz file, or damaged: {reason}", help)


def _wrong(source: AnySource, code: str, message: str, *help: str) -> InputError:
    return input_error(code, message, file=str(source.file), help=help)
