"""The models and data sets of a recipe, opened when first used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from xdsl.ir import Operation, SSAValue

from lottoc.diagnostics import input_error
from lottoc.engine.store import Store
from lottoc.ir import lotto
from lottoc.partition import Part
from lottoc.signature import Layer


def model_op(value: SSAValue) -> lotto.ModelOp:
    """The model operation that a whole-network value comes from."""
    owner = value.owner
    if isinstance(owner, lotto.ModelOp):
        return owner
    assert isinstance(owner, Operation)
    name = lotto.model_of(value)
    block = owner.parent_block()
    assert block is not None
    return next(o for o in block.ops if isinstance(o, lotto.ModelOp) and o.model.data == name)


def layer_of(value: SSAValue, name: str) -> Layer:
    """A layer of the model that a whole-network value belongs to."""
    return next(a.layer for a in model_op(value).layers if a.layer.name == name)


def open_model(op: lotto.ModelOp, store: Store) -> Any:
    """The model behind a model operation, opened once a process as long as its file stays.

    What a file is imported into is kept in the store.
    """
    source, path = op.source.data, op.path.data
    function = op.function.data if op.function else ""
    return _open_model(source, os.path.abspath(path), function, _edition(path), store.root)


def _edition(path: str | Path) -> tuple[int, int]:
    """What changes when a file does."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _open_model(
    source: str, path: str, function: str, edition: tuple[int, int], store: Path
) -> Any:
    if source == "onnx":
        from lottoc.frontends.onnx_model import open_onnx

        return open_onnx(Path(path))
    if source in ("hf", "gguf"):
        from lottoc.frontends.hf_model import open_hf

        return open_hf(source, Path(path), Store(store))
    from lottoc.frontends.torch_model import open_torch

    return open_torch(Path(path), function)


@lru_cache(maxsize=4)
def _open_npz(source: Any, folder: str, edition: tuple[int, int]) -> Any:
    from lottoc.frontends.data import open_npz

    return open_npz(source)


@dataclass(frozen=True)
class DataPart:
    """Some of the examples of a data set, taken out when they are used."""

    whole: Any
    part: Part

    def split(self, name: str) -> Any:
        """The arrays of a split; raises `InputError` (part-unsuited, part-empty)."""
        from lottoc.frontends.data import Arrays

        arrays = self.whole.split(name)
        if not isinstance(arrays, Arrays):
            message = f"{name} has no class for each example, and is not taken apart"
            help = ('take it from  npz("data.npz", x = "x", y = "y")',)
            raise input_error("part-unsuited", message, help=help)
        rows = self.part.rows(arrays.y, name)
        return Arrays(arrays.x[rows], arrays.y[rows])


@dataclass(frozen=True)
class DataSet:
    """A data set whose splits are read when first used."""

    splits: Mapping[str, Any]

    def split(self, name: str) -> Any:
        """The arrays of a split of an npz file; of others, where they come from."""
        from lottoc.lower.splits import NpzSplit, split_of

        split = split_of(self.splits[name])
        source = split.source(name)
        if not isinstance(split, NpzSplit):
            return source
        return _open_npz(source, os.getcwd(), _edition(split.path))
