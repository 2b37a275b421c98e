"""Says what a compiled `.pt2` file holds, layer by layer, and whether that is what was written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import lottoc.runtime  # noqa: F401 - registers the operators
from lottoc.backends.fx.notes import LayerNote, read_notes
from lottoc.backends.fx.representation import name_of
from lottoc.backends.fx.verify import decoded, run_apart, stored_parts
from lottoc.backends.onnx.alone import Soundness, invalid
from lottoc.backends.onnx.contents import InspectedLayer, find_pattern
from lottoc.diagnostics import InputError, input_error
from lottoc.runtime.load import read


def open_program(path: Path) -> tuple[Any, list[LayerNote]]:
    """The program of a file and its notes; raises `InputError` (model-not-found, fx-invalid)."""
    try:
        program, content = read(path)
        return program, read_notes(content)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"cannot read the model: {reason}"
        raise input_error("model-not-found", message, file=str(path)) from error
    except ValueError as error:
        raise fx_invalid(path, str(error)) from error


def fx_invalid(path: Path, message: str) -> InputError:
    """The file cannot be used."""
    help = ("give a file that  emit fx  wrote",)
    return input_error("fx-invalid", message, file=str(path), help=help)


def inspect(path: Path) -> list[InspectedLayer]:
    """The prunable layers of a file, in network order, decoded one at a time.

    Raises `InputError`: model-not-found, fx-invalid.
    """
    return list(_layers(path))


def _layers(path: Path) -> Iterator[InspectedLayer]:
    program, notes = open_program(path)
    for note in notes:
        try:
            weight = decoded(note, program.state_dict)
        except ValueError as error:
            raise fx_invalid(path, str(error)) from error
        nonzero = (weight != 0).numpy()
        kept, values = int(nonzero.sum()), note.values or name_of(weight.dtype)
        pattern = "dense" if kept == nonzero.size else find_pattern(nonzero)
        parts = stored_parts(note, program.state_dict).values()
        nbytes = sum(part.nbytes for part in parts)
        yield InspectedLayer(note.layer, note.format, kept, pattern, nbytes, values, note.rounding)


def check_alone(path: Path) -> Soundness:
    """Check a file by what is noted in it, and that torch runs it on made-up inputs.

    Raises `InputError`: model-not-found, fx-invalid, artefact-invalid.
    """
    program, notes = open_program(path)
    checked = [note for note in notes if note.kept >= 0]
    for note in checked:
        try:
            kept = int((decoded(note, program.state_dict) != 0).sum())
        except ValueError as error:
            raise invalid(path, str(error)) from error
        if kept > note.kept:
            name = note.layer.name
            raise invalid(path, f'layer "{name}" holds {kept} weights, {note.kept} were written')
    with tempfile.TemporaryDirectory(prefix="lottoc-verify-") as folder:
        torch.save(make_input(program, 2), Path(folder) / "inputs-0.pt")
        answer = run_apart(path, Path(folder))
    if answer["failed"]:
        raise invalid(path, f"torch cannot {answer['failed']} it: {answer['reason']}")
    rounding = max((note.rounding for note in checked), default=0.0)
    return Soundness(len(checked), answer["trials"], rounding=rounding)


def make_input(program: Any, batch: int) -> torch.Tensor:
    """An input like the one that the program was exported with, for a batch of some size."""
    (example,), _ = program.example_inputs
    shape = (batch, *example.shape[1:])
    generator = torch.Generator().manual_seed(batch)
    if example.dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(example.dtype)
    return torch.randint(0, 2, shape, generator=generator).to(example.dtype)
