"""Proves that a written program holds what it should, by reading it back and running it.

Each pruned weight is decoded and compared bit by bit with mask times weight, every other tensor
with the network's own; then a process of its own, which has the runtime but not the compiler, runs
the file beside the masked dense network.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils import _pytree

from lottoc.backends.fx import FORMATS
from lottoc.backends.fx.network import WHOLE, Network
from lottoc.backends.fx.notes import LayerNote, changed_tensors, read_notes
from lottoc.backends.fx.representation import dtype_of, name_of, rounded
from lottoc.diagnostics import Diagnostic, LottoError
from lottoc.runtime.load import read
from lottoc.training.settings import fixed_threads

TOLERANCE = {"float16": 1e-2, "bfloat16": 5e-2, "int8": 2e-1}
"""Largest difference of outputs, relative to the largest output, by the type of narrowed values."""

EXACT = 1e-5
"""The same where no value was narrowed: only sums may be taken in another order."""


@dataclass(frozen=True)
class Trial:
    """One run beside the masked dense network; `relative` is the error over the largest output."""

    shape: tuple[int, ...]
    error: float
    relative: float


@dataclass
class VerifyReport:
    """What was proved."""

    layers: int = 0
    zeros: int = 0
    trials: list[Trial] = field(default_factory=list)

    @property
    def max_error(self) -> float:
        """Largest absolute difference of an output."""
        return max((trial.error for trial in self.trials), default=0.0)


def verify(path: Path, network: Network, sample: NDArray[np.generic]) -> VerifyReport:
    """Check the file that `emit` wrote of `network`, on the examples of `sample`.

    Raises `LottoError` (verify-failed) that names the layer or output, with the numbers.
    """
    report = VerifyReport()
    try:
        program, content = read(path)
        notes = read_notes(content)
    except ValueError as error:
        raise failure(path, str(error)) from error
    state = {**program.state_dict, **program.constants}
    narrow = _check_weights(path, network, notes, state, report)
    _check_rest(path, network, state, changed_tensors(content))
    _check_runs(path, network, sample, max([EXACT, *(TOLERANCE[n] for n in narrow)]), report)
    return report


def failure(path: Path, message: str) -> LottoError:
    """A fault of the writer's."""
    return LottoError([Diagnostic("verify-failed", message, file=str(path))])


def stored_parts(note: LayerNote, state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """What is stored of a layer, by the ending of its name."""
    name = note.stored
    return {
        key.removeprefix(name): value.detach()
        for key, value in state.items()
        if key == name or key.startswith(f"{name}_")
    }


def decoded(note: LayerNote, state: dict[str, Any]) -> torch.Tensor:
    """A layer's dense weight, in the type its values are stored in; raises `ValueError`."""
    try:
        return FORMATS[note.format]().decode(stored_parts(note, state), note.layer.shape)
    except (KeyError, RuntimeError, IndexError) as error:
        raise ValueError(f'what is stored of layer "{note.layer.name}" is damaged') from error


def _check_weights(
    path: Path,
    network: Network,
    notes: Sequence[LayerNote],
    state: dict[str, Any],
    report: VerifyReport,
) -> set[str]:
    """Compare each masked weight; gives the types that some were narrowed to."""
    narrow: set[str] = set()
    for note in notes:
        if note.kept < 0 and note.cut == WHOLE:
            continue
        expected = note.cut.of(network.weight(network.signature[note.layer.name]))
        try:
            actual = decoded(note, state)
        except ValueError as error:
            raise failure(path, str(error)) from error
        if note.values:
            narrow.add(note.values)
            expected = rounded(expected, dtype_of(note.values))
        if (actual.shape, actual.dtype) != (expected.shape, expected.dtype):
            raise failure(path, f'layer "{note.layer.name}" has another shape or type than noted')
        wrong = _bits(actual) != _bits(expected)
        if bool(wrong.any()):
            at = tuple(int(i) for i in wrong.nonzero()[0])
            raise failure(
                path,
                f'layer "{note.layer.name}": {int(wrong.sum())} of {wrong.numel()} weights differ '
                f"from mask times weight; at {list(at)} it has {actual[at]}, "
                f"expected {expected[at]}",
            )
        if note.kept < 0:
            continue
        report.layers += 1
        report.zeros += int((actual == 0).sum())
    return narrow


_INTEGER = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The numbers as bit patterns: -0.0 differs from 0.0, and NaN equals itself."""
    return tensor.detach().contiguous().view(_INTEGER[tensor.element_size()])


def _check_rest(
    path: Path, network: Network, state: dict[str, Any], changed: frozenset[str]
) -> None:
    """Compare what is no weight; tensors that dead units left are proved by running alone."""
    own: dict[str, Any] = network.module.state_dict(keep_vars=True)
    for name, tensor in state.items():
        if name in own and torch.is_tensor(tensor) and name not in changed:
            same = tensor.shape == own[name].shape and tensor.dtype == own[name].dtype
            if not same or not torch.equal(tensor, own[name]):
                raise failure(path, f'"{name}" is not what it is in the model')


def _check_runs(
    path: Path,
    network: Network,
    sample: NDArray[np.generic],
    tolerance: float,
    report: VerifyReport,
) -> None:
    with tempfile.TemporaryDirectory(prefix="lottoc-verify-") as name:
        folder = Path(name)
        trials = [torch.from_numpy(np.resize(sample, (n, *sample.shape[1:]))) for n in (2, 3)]
        for number, x in enumerate(trials):
            torch.save(x, folder / f"inputs-{number}.pt")
        answer = run_apart(path, folder)
        if answer["failed"]:
            steps = {"load": "torch cannot load the file", "run": "torch cannot run the file"}
            said = steps.get(answer["failed"], "the process that ran the file crashed")
            raise failure(path, f"{said}: {answer['reason']}")
        if answer["loaded"]:
            raise failure(path, f"running it loads {', '.join(answer['loaded'])}")
        for number, x in enumerate(trials):
            with fixed_threads(1), torch.no_grad():
                expected = _pytree.tree_leaves(network.module(x.clone()))
            actual = torch.load(folder / f"outputs-{number}.pt", weights_only=True)
            if len(actual) != len(expected):
                raise failure(path, f"it gives {len(actual)} outputs, expected {len(expected)}")
            errors = [
                _compare(path, index, *pair, tolerance)
                for index, pair in enumerate(zip(actual, expected, strict=True))
            ]
            worst = max(errors, default=(0.0, 0.0))
            report.trials.append(Trial(tuple(x.shape), worst[0], max(e[1] for e in errors)))


def run_apart(path: Path, folder: Path) -> dict[str, Any]:
    """Run a file on the inputs in a folder, in a process without the compiler."""
    command = [sys.executable, "-m", "lottoc.runtime.run", str(path.resolve()), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return {"failed": "process", "reason": f"status {done.returncode}: {last}", "loaded": []}


def _compare(
    path: Path, index: int, actual: Any, expected: Any, tolerance: float
) -> tuple[float, float]:
    """(absolute, relative) error of an output; raises if it is beyond the tolerance."""
    if not torch.is_tensor(expected):
        if actual != expected:
            raise failure(path, f"output {index} is {actual}, expected {expected}")
        return 0.0, 0.0
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise failure(
            path,
            f"output {index} is {name_of(actual.dtype)}{list(actual.shape)}, "
            f"expected {name_of(expected.dtype)}{list(expected.shape)}",
        )
    if torch.equal(actual, expected):
        return 0.0, 0.0
    wide, wanted = actual.double(), expected.double()
    if bool(wide.isnan().any()) or bool(wanted.isnan().any()):
        raise failure(path, f"output {index} holds NaN")
    error = float((wide - wanted).abs().max())
    scale = float(wanted.abs().max())
    relative = error / scale if scale else float("inf")
    own = torch.finfo(expected.dtype).eps if expected.dtype.is_floating_point else 0.0
    if not relative <= max(tolerance, 2 * own):
        raise failure(
            path,
            f"output {index} is off by {error:.3g} where the largest number is {scale:.3g}, "
            f"relative {relative:.3g}, allowed {tolerance:g}",
        )
    return error, relative
