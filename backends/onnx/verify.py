"""Proves that a written ONNX file holds what it should, by reading it back and running it.

Nothing the writer had in memory is used: the file is opened anew, each pruned weight is decoded
and compared bit by bit with mask times weight, rounded to the type of its values; all else is
compared with the source model, the checker of the ONNX project reads the file, and onnxruntime
runs it beside the masked dense model, which holds the same rounded weights.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.activations import Activations, find_change, quantize_stage
from lottoc.backends.onnx.apart import Ended, call_apart
from lottoc.backends.onnx.compare import check_same_rest
from lottoc.backends.onnx.failure import failure
from lottoc.backends.onnx.integers import find_wrong
from lottoc.backends.onnx.notes import DamagedNotes, LayerNote, read_notes
from lottoc.backends.onnx.pruned import Content, Masks, Orders, Weights
from lottoc.backends.onnx.reference import write_reference
from lottoc.backends.onnx.representation import Found
from lottoc.backends.onnx.run import Answer, Job, has_nan, run_apart
from lottoc.backends.onnx.stored import found_weights, stored_layers
from lottoc.backends.onnx.structure.cost import WORKLOAD, Workload
from lottoc.backends.onnx.structure.moved import Moved
from lottoc.backends.onnx.structure.stage import Stage, restructure
from lottoc.backends.onnx.swap import layout_of, swap_path, written
from lottoc.diagnostics import InputError
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_layers import Weight
from lottoc.frontends.onnx_model import OnnxModel


@dataclass(frozen=True)
class Trial:
    """One run beside the masked dense model; `relative` is the error over the largest output.

    Where the graph was rewritten and values are narrower, it is the larger of two errors: of the
    rewriting before it was rounded, and of the file against the rewriting rounded.
    """

    shapes: dict[str, tuple[int, ...]]
    error: float
    relative: float


@dataclass
class VerifyReport:
    """What was proved. Without trials, `not_run` says why the model was not run."""

    layers: int = 0
    zeros: int = 0
    trials: list[Trial] = field(default_factory=list)
    not_run: str = ""
    integer_layers: int = 0
    """Layers in int8 whose bytes were computed again."""
    changed: float = 0.0
    """What int8 activations changed: |given - exact| / |exact| of an output for the examples."""

    @property
    def max_error(self) -> float:
        """Largest absolute difference of an output."""
        return max((trial.error for trial in self.trials), default=0.0)


def verify(
    path: Path,
    model: OnnxModel,
    masks: Masks,
    weights: Weights | None = None,
    *,
    format: str = "auto",
    tolerance: float = 1e-5,
    workload: Workload = WORKLOAD,
    orders: Orders | None = None,
    activations: Activations | None = None,
) -> VerifyReport:
    """Check the file that `emit` wrote to `path`, in the same `format` for the same `workload`.

    Where emit rewrites the graph, the rewriting is done once more: the file is compared bit by bit
    with what comes out, and its outputs with those of the masked dense model as it was. If values
    are narrower too, that is two steps: before and after rounding. Weights that were reordered are
    put back by what is noted in the file, and compared with mask times weight.

    With `activations`, the same as `emit` was given, layers in int8 are in both models that are
    compared; besides, each is computed again in integers from what it is given, and the whole file
    is compared with the model in floats on the examples.

    Raises `LottoError` (`verify-failed`) that names the layer or output, with the numbers, and
    `InputError` (`activations-lossy`) if int8 activations leave nothing of an output.
    """
    content = Content(model, masks, weights, {}, orders or {})
    rule = None if content.ordered else workload.rule(format)
    with tempfile.TemporaryDirectory(prefix="lottoc-structure-") as folder:
        stage = restructure(content, Path(folder), rule, small=activations is not None)
        if stage is None:
            report = _read_back(path, content)
            _run_both(path, content, None, report, tolerance)
        else:
            floats = stage.model.path
            if activations is not None:
                stage = quantize_stage(stage, activations, Path(folder), rule)
            rewritten = Content(stage.model, stage.mask, None, {}, small=stage.small)
            report = _read_back(path, rewritten)
            _check_groups(path, content, stage)
            _check_orders(path, content, stage)
            _run_both(path, content, rewritten, report, tolerance, floats=floats)
            if activations is not None and stage.small:
                report.changed = find_change(floats, path, stage.model, activations)
    return report


def verify_core(
    path: Path, model: OnnxModel, masks: Masks, swap: Path | None = None, tolerance: float = 1e-5
) -> VerifyReport:
    """Check the file that `emit_core` wrote to `path`, or with a `swap` file what that makes of it.

    `model` and `masks` are then those of the swapped ticket: its weights are read from both files
    and compared with mask times weight bit by bit, and onnxruntime runs the file with the swapped
    weights, loaded as is documented, beside the masked dense model.
    """
    content = Content(model, masks, None, {})
    report = _read_back(path, content, swap)
    _run_both(path, content, None, report, tolerance, swap)
    return report


def _read_back(path: Path, content: Content, swap: Path | None = None) -> VerifyReport:
    """Compare every weight with mask times weight, and all the rest with the model, bit by bit."""
    narrow, report = cast(dict[str, int], content.narrow), VerifyReport()
    try:
        file = OnnxFile(path)
        with file.damage_is_an_error():
            for weight, found in _with_swap(file, swap, _pruned(file, content)):
                if found.value_type != weight.stored.data_type:
                    narrow[weight.layer.name] = found.value_type
                _check_layer(weight, found, content)
                report.layers += 1
                report.zeros += weight.layer.size - int(np.count_nonzero(found.value()))
            check_same_rest(file, content)
    except InputError as error:
        raise failure(path, error.diagnostics[0].message) from error
    return report


def _with_swap(
    file: OnnxFile, swap: Path | None, pruned: Iterator[tuple[Weight, Found]]
) -> Iterator[tuple[Weight, Found]]:
    """The weights with those of a swap file written into them."""
    if swap is None:
        yield from pruned
        return
    found = layout_of(file)
    if found is None:
        raise failure(file.path, "nothing can be swapped in it")
    data, layout = swap.read_bytes(), found[1]
    for weight, item in pruned:
        if weight.stored.name not in layout.rooms:
            yield weight, item
            continue
        places, values = layout.read(data, weight.stored.name)
        whole = written(item.value(), places, values)
        yield weight, replace(item, value=lambda whole=whole: whole)  # type: ignore[misc]


def _check_groups(path: Path, content: Content, stage: Stage) -> None:
    """Rebuild each grouped weight from its convolution alone; compare with mask times weight.

    Weights that lost dead units are compared by the runs only.
    """
    try:
        file = OnnxFile(path)
        with file.damage_is_an_error():
            layers = stored_layers(file, _notes(file))
            found = {item.weight.stored.name: item.found for item in layers}
            for name, weight in content.model.weights.items():
                own = weight.stored.name
                if own not in stage.groups or own in stage.shapes:
                    continue
                if own not in found:
                    raise failure(path, f'nothing is noted of the groups of layer "{name}"')
                _check_layer(weight, found[own], _narrowed(content, name, found[own]))
    except InputError as error:
        raise failure(path, error.diagnostics[0].message) from error


def _check_orders(path: Path, content: Content, stage: Stage) -> None:
    """Compare each weight with mask times weight in the order noted, which has to be the one asked.

    Weights that lost dead units are compared by the runs only; what N:M layers read loses none.
    """
    try:
        file = OnnxFile(path)
        with file.damage_is_an_error():
            found, notes = found_weights(file), {note.layer: note for note in _notes(file)}
            for name, weight in content.model.weights.items():
                own, order = weight.stored.name, content.orders.get(name)
                if content.mask(name) is None or own in stage.shapes or own not in found:
                    continue
                moved = notes[name].moved or Moved(None, None)
                if order is not None and not _is_order(moved.columns, order):
                    raise failure(path, f'the channels of layer "{name}" are in another order')
                if notes[name].moved is not None:
                    _check_layer(weight, found[own], _narrowed(content, name, found[own]), moved)
    except InputError as error:
        raise failure(path, error.diagnostics[0].message) from error


def _is_order(noted: NDArray[np.int64] | None, asked: NDArray[np.int64]) -> bool:
    return np.array_equal(np.arange(asked.size) if noted is None else noted, asked)


def _narrowed(content: Content, name: str, found: Found) -> Content:
    """The content with one layer in the type that it is stored in."""
    own = content.model.weights[name].stored.data_type
    return content if found.value_type == own else replace(content, narrow={name: found.value_type})


def _notes(file: OnnxFile) -> list[LayerNote]:
    try:
        return read_notes(file) or []
    except DamagedNotes as error:
        raise failure(file.path, "what was noted in the file is damaged") from error


def _pruned(file: OnnxFile, content: Content) -> Iterator[tuple[Weight, Found]]:
    stored = found_weights(file)
    for name, weight in content.model.weights.items():
        if content.mask(name) is None and not content.has_new(name):
            continue
        found = stored.get(weight.stored.name)
        if found is None:
            raise failure(file.path, f'the weight of layer "{name}" is missing')
        yield weight, found


def _check_layer(
    weight: Weight, found: Found, content: Content, moved: Moved | None = None
) -> None:
    name = weight.layer.name
    if found.stored != weight.stored:
        raise failure(
            content.model.path, f'layer "{name}" is {found.stored}, expected {weight.stored}'
        )
    expected = content.masked(name)
    actual = found.value().T if weight.transposed else found.value()
    if moved is not None:  # a kept -0.0 was written as pruned, and is 0.0
        expected = _in_order(expected, moved) + np.zeros((), expected.dtype)
        actual = actual + np.zeros((), actual.dtype)
    wrong = _bits(actual) != _bits(expected)
    if wrong.any():
        at = tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
        raise failure(
            content.model.path,
            f'layer "{name}": {int(wrong.sum())} of {wrong.size} weights differ from '
            f"mask times weight; at {list(at)} it has {actual[at]}, expected {expected[at]}",
        )


def _in_order(weight: NDArray[np.generic], moved: Moved) -> NDArray[Any]:
    weight = weight if moved.rows is None else weight[moved.rows]
    return weight if moved.columns is None else weight[:, moved.columns]


def _bits(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The numbers as bit patterns: -0.0 differs from 0.0, and NaN equals itself."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def _run_both(
    path: Path,
    content: Content,
    rewritten: Content | None,
    report: VerifyReport,
    tolerance: float,
    swap: Path | None = None,
    floats: Path | None = None,
) -> None:
    """Run the file beside the masked dense model.

    `rewritten` is the rewritten model with the narrower weights of the file and its int8 layers. If
    there are any, that is what the file is compared with, and the model in `floats`, which is as it
    was rewritten first, with the masked one.
    """
    with tempfile.TemporaryDirectory(prefix="lottoc-verify-") as name:
        folder, file = Path(name), str(path.resolve())
        _demand(path, run_apart(Job(file, name, "checked", "check")))
        expected = run_apart(write_reference(content, folder))
        if expected.failed:
            report.not_run = f"the masked dense model does not run: {expected.reason}"
            return
        location = swap_path(path).name if swap else ""
        job = Job(file, name, "actual", "run", location=location, swap=str(swap or ""))
        _demand(path, run_apart(job))
        pairs = [("actual", "expected")]
        if rewritten is not None and (rewritten.narrow or rewritten.small):
            _demand(path, run_apart(Job(str(floats), name, "rewritten", "run")))
            job = write_reference(rewritten, folder)
            _demand(path, run_apart(replace(job, outputs="rounded", step="run")))
            pairs = [("rewritten", "expected"), ("actual", "rounded")]
        for number in range(expected.trials):
            trials = [_compare_trial(path, folder, *pair, number, tolerance) for pair in pairs]
            report.trials.append(max(trials, key=lambda trial: trial.relative))
        if rewritten is not None and rewritten.small:
            _check_integers(path, rewritten.small, sorted(folder.glob("inputs-*.npz")))
            report.integer_layers = len(rewritten.small)


def _check_integers(path: Path, weights: frozenset[str], inputs: list[Path]) -> None:
    """Compute layers in int8 again."""
    try:
        wrong = call_apart(find_wrong, path.resolve(), sorted(weights), inputs)
    except (ValueError, RuntimeError, Ended) as error:
        raise failure(path, str(error)) from error
    if wrong is not None:
        raise failure(path, str(wrong))


def _demand(path: Path, answer: Answer) -> None:
    if answer.failed:
        raise failure(path, f"{STEPS[answer.failed]}: {answer.reason}")


STEPS = {
    "check": "onnx.checker rejects the file",
    "load": "onnxruntime cannot load the file",
    "run": "onnxruntime cannot run the file",
    "process": "the process that read the file crashed",
}


def _compare_trial(
    path: Path, folder: Path, actual: str, expected: str, number: int, tolerance: float
) -> Trial:
    with (
        np.load(folder / f"inputs-{number}.npz") as inputs,
        np.load(folder / f"{expected}-{number}.npz") as wanted,
        np.load(folder / f"{actual}-{number}.npz") as given,
    ):
        shapes = {name: inputs[name].shape for name in inputs.files}
        errors = [
            _compare(path, name, given[name], wanted[name], tolerance) for name in wanted.files
        ]
    error, relative = (max((e[at] for e in errors), default=0.0) for at in (0, 1))
    return Trial(shapes, error, relative)


def _compare(
    path: Path,
    name: str,
    actual: NDArray[np.generic],
    expected: NDArray[np.generic],
    tolerance: float,
) -> tuple[float, float]:
    """(absolute, relative) error of an output; raises if it is beyond the tolerance."""
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise failure(
            path,
            f'output "{name}" is {actual.dtype}{list(actual.shape)}, '
            f"expected {expected.dtype}{list(expected.shape)}",
        )
    if has_nan(actual) or has_nan(expected):
        raise failure(path, f'output "{name}" holds NaN')
    differs = actual != expected
    if not differs.any():
        return 0.0, 0.0
    if actual.dtype.kind not in "fc":
        raise failure(path, f'output "{name}" differs in {int(differs.sum())} places')
    error = float(np.max(np.abs(actual[differs].astype(float) - expected[differs].astype(float))))
    finite = np.abs(expected[np.isfinite(expected)].astype(float))
    scale = float(finite.max(initial=0.0))
    relative = error / scale if scale else float("inf")
    if not relative <= max(tolerance, 2 * float(np.finfo(str(actual.dtype)).eps)):
        raise failure(
            path,
            f'output "{name}" is off by {error:.3g} where the largest number is {scale:.3g}, '
            f"relative {relative:.3g}, allowed {tolerance:g}",
        )
    return error, relative
