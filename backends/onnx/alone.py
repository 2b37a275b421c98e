"""Checks a compiled ONNX file on its own: its form, its stored weights, that it loads and runs.

Unlike `verify`, which compares a file with the model it was made from, this needs nothing but the
file. What lottoc noted in it when it was written says how many weights each layer keeps.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from lottoc.backends.onnx.apart import Ended, call_apart
from lottoc.backends.onnx.integers import find_wrong
from lottoc.backends.onnx.notes import REMOVED, DamagedNotes, LayerNote, read_files, read_notes
from lottoc.backends.onnx.representation import Found
from lottoc.backends.onnx.run import Answer, Job, run_apart
from lottoc.backends.onnx.stored import stored_layers
from lottoc.backends.onnx.structure.grouping import grouped_name
from lottoc.backends.onnx.swap import layout_of, swap_path
from lottoc.backends.onnx.values import NAMES
from lottoc.backends.onnx.verify import STEPS
from lottoc.diagnostics import InputError, input_error
from lottoc.frontends.onnx_file import OnnxFile


@dataclass(frozen=True)
class Soundness:
    """What was checked: layers whose counts agree with the file's notes, and runs.

    Without notes `layers` is None: lottoc did not write the file. Without runs, `not_run` says why.
    `rounding` is the largest relative error that narrower values brought into a layer, as noted.
    """

    layers: int | None
    runs: int
    not_run: str = ""
    rounding: float = 0.0
    swaps: int = 0
    """Files beside it that turn it into other tickets, each run too."""
    integer_layers: int = 0
    """Layers in int8 whose bytes were computed again."""


def check_alone(path: Path) -> Soundness:
    """Check a model file; its weights are decoded one at a time.

    Raises `InputError`: `artefact-invalid`, or what `open_onnx` raises for a damaged file.
    """
    file = OnnxFile(path)
    with tempfile.TemporaryDirectory(prefix="lottoc-verify-") as folder:
        name = str(path.resolve())
        _demand(path, run_apart(Job(name, folder, "checked", "check")))
        with file.damage_is_an_error():
            layers, rounding, small = _check_layers(file)
            swaps = _check_swaps(file)
        answer = run_apart(Job(name, folder, "actual", "make-up"))
        if not answer.failed:
            location = swap_path(path).name
            for swap in swaps:
                job = Job(name, folder, "swapped", "run", location=location, swap=str(swap))
                _demand(path, run_apart(job))
            _check_integers(path, small, sorted(Path(folder).glob("inputs-*.npz")))
    if answer.failed == "inputs":
        return Soundness(layers, 0, answer.reason, rounding, len(swaps))
    _demand(path, answer)
    return Soundness(
        layers,
        answer.trials,
        rounding=rounding,
        swaps=len(swaps),
        integer_layers=len(small),
    )


def _check_integers(path: Path, weights: list[str], inputs: list[Path]) -> None:
    """Compute the layers that multiply in int8 again, on this machine's runtime."""
    if not weights:
        return
    try:
        wrong = call_apart(find_wrong, path.resolve(), weights, inputs)
    except (ValueError, RuntimeError, Ended) as error:
        raise invalid(path, str(error)) from error
    if wrong is not None:
        raise invalid(path, str(wrong))


def _check_swaps(file: OnnxFile) -> list[Path]:
    """The swap files that were written with a model, but for its own; all are as they were."""
    try:
        files = read_files(file)
    except DamagedNotes as error:
        raise invalid(file.path, "what lottoc noted in the file is damaged") from error
    own = swap_path(file.path).name
    for name, digest in files.items():
        path = file.path.with_name(Path(name).name)
        if not path.is_file():
            raise invalid(file.path, f'"{name}" is missing beside it')
        if sha256(path.read_bytes()).hexdigest() != digest:
            raise invalid(file.path, f'"{name}" is not the file that was written with it')
    others = [file.path.with_name(Path(name).name) for name in files if name != own]
    found = layout_of(file)
    if others and found is None:
        raise invalid(file.path, "nothing can be swapped in it")
    return others


def _check_layers(file: OnnxFile) -> tuple[int | None, float, list[str]]:
    """How many layers were compared with the notes, the largest rounding noted, and the weights
    of layers that are noted to multiply in int8."""
    try:
        notes = read_notes(file)
    except DamagedNotes as error:
        raise invalid(file.path, "what lottoc noted in the file is damaged") from error
    if notes is None:
        return None, 0.0, []
    layers = {item.weight.layer.name: item.found for item in stored_layers(file, notes)}
    for note in notes:
        if note.format != REMOVED:
            _check_layer(file, note, layers.get(note.layer))
    small = [grouped_name(n.group.weight) for n in notes if n.activations and n.group]
    return len(notes), max((note.rounding for note in notes), default=0.0), small


def _check_layer(file: OnnxFile, note: LayerNote, found: Found | None) -> None:
    if found is None:
        raise invalid(file.path, f'the weight of layer "{note.layer}" is missing')
    given = (found.representation, NAMES[found.value_type])
    wanted = (note.format, note.values or NAMES[found.stored.data_type])
    if given != wanted:
        what = f"stored as {' '.join(given)}, it was written as {' '.join(wanted)}"
        raise invalid(file.path, f'layer "{note.layer}" is {what}')
    nonzeros = int(np.count_nonzero(found.value()))
    stored = nonzeros if found.kept is None else found.kept
    if nonzeros > note.kept or (found.kept is not None and found.kept != note.kept):
        message = f'layer "{note.layer}" holds {stored} weights, {note.kept} were written'
        raise invalid(file.path, message)


def _demand(path: Path, answer: Answer) -> None:
    if answer.failed:
        raise invalid(path, f"{STEPS[answer.failed]}: {answer.reason}")


def invalid(path: Path, message: str) -> InputError:
    """The file is not what was written; it must not be used."""
    help = ("compile it again, or copy the file again",)
    return input_error("artefact-invalid", message, file=str(path), help=help)
