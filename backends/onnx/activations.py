"""Finds what the bytes of activations mean, by running a model on examples, and puts it to use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.apart import Ended, call_apart
from lottoc.backends.onnx.quantized import Scale, scale_of
from lottoc.backends.onnx.structure.stage import APART, Stage
from lottoc.diagnostics import input_error
from lottoc.frontends.onnx_model import OnnxModel, open_onnx

if TYPE_CHECKING:
    from lottoc.backends.onnx.structure.cost import Rule
    from lottoc.backends.onnx.structure.quantize import Point

Batch = Mapping[str, NDArray[Any]]

COMPARED = 4
"""Batches of examples on which a file is compared with the model in floats."""

MOST_CHANGED = 0.5
"""Of an output's size. What is further off is another model."""

Result = TypeVar("Result")


@dataclass
class Activations:
    """The examples by which activations are quantized; `batches` gives them as a model wants them.

    Ranges are from the least to the largest number that any example gives. They are found once
    for equal models: `emit` asks for them, and `verify` again.
    """

    batches: Callable[[OnnxModel], Sequence[Batch]]
    _known: dict[tuple[Point, ...], dict[str, Scale]] = field(default_factory=dict)

    def scales(self, model: OnnxModel, points: Sequence[Point]) -> dict[str, Scale]:
        """By name, of the values at these points of a model.

        Raises `InputError`: `activations-not-finite`, `onnx-run`, `data-empty`.
        """
        key = tuple(points)
        if key not in self._known:
            names = sorted({name for point in points for name in (point.source, point.result)})
            self._known[key] = self._measure(model, names)
        return self._known[key]

    def _measure(self, model: OnnxModel, names: Sequence[str]) -> dict[str, Scale]:
        batches = self.batches(model)
        if not batches:
            raise input_error("data-empty", "there is no example to take ranges from")
        try:
            ranges = call_apart(find_ranges, model.path, names, batches)
        except Ended as error:
            raise _not_run(model.path, str(error)) from error
        return {name: scale_of(*found) for name, found in ranges.items()}


def find_ranges(
    path: Path, names: Sequence[str], batches: Sequence[Batch]
) -> dict[str, tuple[float, float]]:
    """The least and the largest number of some values of a model.

    One thread, so that the numbers do not depend on the machine's cores. Raises `InputError`:
    `activations-not-finite`, `onnx-run`.
    """
    session = session_with(path, names)
    found = dict.fromkeys(names, (np.inf, -np.inf))
    for batch in batches:
        try:
            values = session.run(list(names), dict(batch))
        except Exception as error:  # onnxruntime's errors share no other base
            raise _not_run(path, str(error).strip().splitlines()[0][:300]) from error
        for name, value in zip(names, values, strict=True):
            low, high = found[name]
            least, most = float(value.min(initial=np.inf)), float(value.max(initial=-np.inf))
            if np.isnan(least) or np.isinf(value).any():
                raise _not_finite(path, name)
            found[name] = min(low, least), max(high, most)
    return {name: (min(low, 0.0), max(high, 0.0)) for name, (low, high) in found.items()}


def session_with(path: Path, names: Sequence[str], *, optimized: bool = True) -> Any:
    """A session of the model at `path` that gives out these values too."""
    import onnx
    import onnxruntime

    model = onnx.load(str(path), load_external_data=False)
    known = {output.name for output in model.graph.output}
    for name in names:
        if name not in known:
            model.graph.output.add(name=name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(path.parent.resolve())
    )
    if not optimized:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


IN_FLOATS = "convolutions gain nothing by int8: auto leaves them in floats"
"""EfficientNet-Lite0 runs as fast in floats, as its depthwise convolutions stay there anyway."""


def quantize_stage(
    stage: Stage, activations: Activations, folder: Path, rule: Rule | None
) -> Stage:
    """The rewritten model with its grouped layers in int8; `folder` takes the file.

    A rule that groups only what is faster takes linear layers only. Raises `InputError`: what
    `Activations.scales` raises.
    """
    from lottoc.backends.onnx.structure.quantize import find_points, quantize

    call = call_apart if stage.model.file_bytes >= APART else _call
    owns = [own for own in stage.groups if _gains(stage, own, rule)]
    refused = {stage.stored_name(own): IN_FLOATS for own in stage.groups if own not in owns}
    names = frozenset(map(stage.stored_name, owns))
    points = call(find_points, stage.model.path, names)
    if not points:
        return replace(stage, small_refused=refused)
    scales = activations.scales(stage.model, points)
    path = folder / "quantized.onnx"
    done = call(quantize, stage.model.path, names, scales, path)
    refused |= done.refused
    if not done.weights:
        return replace(stage, small_refused=refused)
    return replace(stage, model=open_onnx(path), small=done.weights, small_refused=refused)


def _gains(stage: Stage, own: str, rule: Rule | None) -> bool:
    """Whether a grouped layer may be faster in int8, or is to be whether it is or not."""
    known = stage.sites.get(own)
    return rule is None or rule.always or known is None or not known[0].is_conv


def _call(function: Callable[..., Result], *arguments: object) -> Result:
    return function(*arguments)


def find_change(floats: Path, path: Path, model: OnnxModel, activations: Activations) -> float:
    """How far the outputs of the file at `path` are from those of the model at `floats`.

    |given - exact| / |exact| in the Euclidean norm, over the first examples, of the output for
    which that is most. Raises `InputError` (activations-lossy) if it is more than `MOST_CHANGED`.
    """
    batches = activations.batches(model)[:COMPARED]
    try:
        found = call_apart(_changes, floats.resolve(), path.resolve(), batches)
    except Ended as error:
        raise _not_run(path, str(error)) from error
    for name, change in found.items():
        if not change <= MOST_CHANGED:
            raise input_error(
                "activations-lossy",
                f'int8 activations change output "{name}" by {change:.2g} of its size',
                file=str(path),
                help=[
                    "leave activations out, or leave layers out of the ticket that have outliers"
                ],
            )
    return float(f"{max(found.values(), default=0.0):.3g}")


def _changes(floats: Path, path: Path, batches: Sequence[Batch]) -> dict[str, float]:
    sessions = [session_with(each, ()) for each in (floats, path)]
    names = [output.name for output in sessions[0].get_outputs() if "float" in output.type]
    errors, sizes = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for batch in batches:
        pair = [session.run(names, dict(batch)) for session in sessions]
        for name, exact, given in zip(names, *pair, strict=True):
            wide = exact.astype(np.float64)
            errors[name] += float(np.square(given.astype(np.float64) - wide).sum())
            sizes[name] += float(np.square(wide).sum())
    return {
        name: float(np.sqrt(error / sizes[name])) if sizes[name] else float(np.sqrt(error))
        for name, error in errors.items()
    }


def _not_finite(path: Path, name: str) -> Exception:
    return input_error(
        "activations-not-finite",
        f'"{name}" holds NaN or infinite numbers when the model runs on the examples',
        file=str(path),
        help=["look for NaN or infinite numbers in the model's weights, or in the examples"],
    )


def _not_run(path: Path, reason: str) -> Exception:
    return input_error(
        "onnx-run",
        f"onnxruntime cannot run the model on these examples: {reason}",
        file=str(path),
        help=["names, types and shapes of the data must be those of the model's inputs"],
    )
