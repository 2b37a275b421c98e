"""Checks a compiled ONNX file on its own: its form, its stored weights, that it loads and runs.

Unlike `verify`, which compares a file with the model it was made from, this needs nothing but the
file. What lottoc noted in it when it was written says how many weights each layer keeps.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lottoc.backends.onnx.notes import REMOVED, DamagedNotes, read_notes
from lottoc.backends.onnx.representation import Found
from lottoc.backends.onnx.run import Answer, Job, run_apart
from lottoc.backends.onnx.stored import stored_layers
from lottoc.backends.onnx.verify import STEPS
from lottoc.diagnostics import InputError, input_error
from lottoc.frontends.onnx_file import OnnxFile


@dataclass(frozen=True)
class Soundness:
    """What was checked: layers whose counts agree with the file's notes, and runs.

    Without notes `layers` is None: lottoc did not write the file. Without runs, `not_run` says why.
    """

    layers: int | None
    runs: int
    not_run: str = ""


def check_alone(path: Path) -> Soundness:
    """Check a model file; its weights are decoded one at a time.

    Raises `InputError`: `artefact-invalid`, or what `open_onnx` raises for a damaged file.
    """
    file = OnnxFile(path)
    with tempfile.TemporaryDirectory(prefix="lottoc-verify-") as folder:
        name = str(path.resolve())
        _demand(path, run_apart(Job(name, folder, "checked", "check")))
        with file.damage_is_an_error():
            layers = _check_layers(file)
        answer = run_apart(Job(name, folder, "actual", "make-up"))
    if answer.failed == "inputs":
        return Soundness(layers, 0, answer.reason)
    _demand(path, answer)
    return Soundness(layers, answer.trials)


def _check_layers(file: OnnxFile) -> int | None:
    try:
        notes = read_notes(file)
    except DamagedNotes as error:
        raise invalid(file.path, "what lottoc noted in the file is damaged") from error
    if notes is None:
        return None
    layers = {item.weight.layer.name: item.found for item in stored_layers(file, notes)}
    for note in notes:
        if note.format != REMOVED:
            _check_layer(file, note.layer, layers.get(note.layer), note.format, note.kept)
    return len(notes)


def _check_layer(file: OnnxFile, name: str, found: Found | None, format: str, kept: int) -> None:
    if found is None:
        raise invalid(file.path, f'the weight of layer "{name}" is missing')
    if found.representation != format:
        shape = f"stored as {found.representation}, it was written as {format}"
        raise invalid(file.path, f'layer "{name}" is {shape}')
    nonzeros = int(np.count_nonzero(found.value()))
    stored = nonzeros if found.kept is None else found.kept
    if nonzeros > kept or (found.kept is not None and found.kept != kept):
        raise invalid(file.path, f'layer "{name}" holds {stored} weights, {kept} were written')


def _demand(path: Path, answer: Answer) -> None:
    if answer.failed:
        raise invalid(path, f"{STEPS[answer.failed]}: {answer.reason}")


def invalid(path: Path, message: str) -> InputError:
    """The file is not what was written; it must not be used."""
    help = ("compile it again, or copy the file again",)
    return input_error("artefact-invalid", message, file=str(path), help=help)
