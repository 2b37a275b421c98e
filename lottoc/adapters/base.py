"""Bases on disk: safetensors files and folders of them, rewritten with adapters applied.

A file is copied and changed in place, so that all else in it stays as it is; taking the adapters
back gives the same file, byte by byte. One tensor at a time is in memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lottoc.adapters.applied import Plan, plan
from lottoc.diagnostics import InputError, input_error
from lottoc.frontends.tensor_file import TensorFile
from lottoc.staging import put_in_place, staging

SUFFIX = ".safetensors"
_STAGED = ".lottoc-*"
"""What is being written, which may lie inside the base."""


@dataclass(frozen=True)
class Outcome:
    """What was written: how many tensors and weights are other than in the base."""

    tensors: int
    moved: int


def rewrite(
    base: str, adapters: Sequence[Path], output: Path, *, back: bool = False, seed: int = 0
) -> Outcome:
    """Write a base with adapters applied, or taken `back`, whole or not at all.

    `base` is a safetensors file, a folder with such files, or `file.py:function`, whose network is
    written as one file, as it starts with `seed`. Raises `InputError`: adapter-base,
    adapter-invalid, adapter-mismatch, model-not-found, safetensors-invalid, output-not-writable,
    and those of torch models.
    """
    file, _, function = base.rpartition(":")
    if function.isidentifier() and file.endswith(".py"):
        return _network(Path(file), function, adapters, output, back, seed)
    path = Path(base)
    if path.is_dir():
        return _folder(path, adapters, output, back)
    if path.suffix != SUFFIX:
        raise _not_a_base(base)
    files = [TensorFile(path)]
    steps = plan(adapters, files[0].tensors, back=back)
    with staging(output.parent) as folder:
        shutil.copyfile(path, folder / output.name)
        _patch(folder / output.name, files[0], steps)
        put_in_place(folder, output.parent, [output.name])
    return Outcome(len(steps.steps), steps.moved)


def _folder(path: Path, adapters: Sequence[Path], output: Path, back: bool) -> Outcome:
    found = sorted(part for part in path.iterdir() if not part.name.startswith(_STAGED[:-1]))
    files = {
        part.name: TensorFile(part) for part in found if part.suffix == SUFFIX and part.is_file()
    }
    if not files:
        raise _not_a_base(str(path))
    names = {name for file in files.values() for name in file.tensors}
    steps = plan(adapters, names, back=back)
    with staging(output) as folder:
        for part in found:
            if part.is_dir():
                left_out = shutil.ignore_patterns(_STAGED)
                shutil.copytree(part, folder / part.name, ignore=left_out)
            else:
                shutil.copyfile(part, folder / part.name)
            if part.name in files:
                _patch(folder / part.name, files[part.name], steps)
        put_in_place(folder, output, [part.name for part in found])
    return Outcome(len(steps.steps), steps.moved)


def _network(
    file: Path, function: str, adapters: Sequence[Path], output: Path, back: bool, seed: int
) -> Outcome:
    """The weights that a torch model starts with."""
    from lottoc.frontends.tensor_file import Described, write_tensors
    from lottoc.frontends.torch_model import open_torch
    from lottoc.training.state import MODEL

    arrays = open_torch(file, function).initial_state(seed).part(MODEL)
    steps = plan(adapters, arrays, back=back)
    described = [(n, Described(a.dtype.name, a.shape)) for n, a in sorted(arrays.items())]
    described.sort(key=lambda item: -arrays[item[0]].dtype.itemsize)

    def tensor(name: str) -> np.ndarray:
        return steps.tensor(name, arrays[name]) if name in steps.steps else arrays[name]

    with staging(output.parent) as folder:
        write_tensors(folder / output.name, described, tensor, {"format": "pt"})
        put_in_place(folder, output.parent, [output.name])
    return Outcome(len(steps.steps), steps.moved)


def _patch(copy: Path, base: TensorFile, steps: Plan) -> None:
    """Change the tensors of a copy of a base, where they stand."""
    with copy.open("r+b") as stream:
        for name in steps.steps:
            if name in base and base.tensors[name].nbytes:
                changed = np.ascontiguousarray(steps.tensor(name, base.get(name)))
                stream.seek(base.start(name))
                stream.write(changed.reshape(-1).view(np.uint8).data)


def _not_a_base(base: str) -> InputError:
    help = ["save the weights as safetensors, or name the code that makes them: net.py:function"]
    if not Path(base).exists():
        help = ["a base is a .safetensors file, a folder with such files, or  net.py:function"]
        return input_error(
            "model-not-found", "there is no such file or folder", file=base, help=help
        )
    return input_error(
        "adapter-base", "not a safetensors file, or a folder with one", file=base, help=help
    )
