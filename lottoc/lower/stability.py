"""Checking `stability` blocks: from which step on two trainings end in one basin.

Source: Frankle, Dziugaite, Roy, Carbin 2020, "Linear Mode Connectivity and the Lottery Ticket
Hypothesis".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import TypeVar

from lottoc.diagnostics import Label
from lottoc.grammar import syntax
from lottoc.lower.blocks import entries
from lottoc.lower.program import Data, Model, Stability, Training
from lottoc.lower.read import Reader
from lottoc.methods.lab import Duration

N = TypeVar("N", Model, Data, Training)

COPIES, POINTS, THRESHOLD = 2, 30, Fraction(2, 100)


def check_stability(
    reader: Reader,
    block: syntax.Block,
    models: Mapping[str, Model],
    data: Mapping[str, Data],
    trainings: Mapping[str, Training],
) -> Stability | None:
    """What a block asks for; None after an error."""
    before = len(reader.findings.errors)
    keys = entries(reader, block)
    steps = reader.durations(keys["at"].value) if "at" in keys else []
    copies = reader.integer(keys["copies"].value, least=2) if "copies" in keys else COPIES
    points = reader.integer(keys["points"].value, least=3) if "points" in keys else POINTS
    seed = reader.integer(keys["seed"].value, least=0) if "seed" in keys else 0
    threshold: Fraction | None = THRESHOLD
    if "threshold" in keys:
        threshold = reader.share(keys["threshold"].value, "threshold")
    model = _one(reader, block, keys, "model", models)
    source = _one(reader, block, keys, "data", data)
    training = _one(reader, block, keys, "training", trainings)
    if len(reader.findings.errors) > before:
        return None
    assert None not in (copies, points, seed, threshold)
    assert model is not None
    assert source is not None
    assert training is not None
    found = Stability(
        block.name,
        model.name,
        source.name,
        training.name,
        tuple(steps),
        int(copies or 0),
        int(points or 0),
        threshold or Fraction(0),
        int(seed or 0),
        block.name_span,
    )
    if not _trainable(reader, model, source, keys, block) or not _in_time(
        reader, found, training, keys
    ):
        return None
    return replace(found, at=tuple(dict.fromkeys(steps)))


def _trainable(
    reader: Reader,
    model: Model,
    data: Data,
    keys: Mapping[str, syntax.Entry],
    block: syntax.Block,
) -> bool:
    if model.source != "torch":
        reader.findings.error(
            "needs-torch",
            f'stability "{block.name}" trains copies, which only a torch model can be',
            Label(keys["model"].value.span if "model" in keys else block.name_span),
            Label(model.span, f"of {model.source}"),
            help='take the model from its source: torch("file.py:function")',
        )
        return False
    missing = [split for split in ("train", "test") if split not in data.splits]
    if missing:
        reader.findings.error(
            "missing-key",
            f'data "{data.name}" needs "{missing[0]}": stability "{block.name}" '
            + ("is trained on it" if missing[0] == "train" else "measures errors on it"),
            Label(data.span, f"has no {missing[0]}"),
            help=f"add  {missing[0]} = …",
        )
    return not missing


def _in_time(
    reader: Reader, found: Stability, training: Training, keys: Mapping[str, syntax.Entry]
) -> bool:
    place = keys["at"].value.span
    if not found.at:
        reader.findings.error(
            "wrong-type", "names no step", place, help="as  at = [0, 100, 500] steps"
        )
        return False
    late = [step for step in found.at if not _before(step, training.length)]
    if late:
        reader.findings.error(
            "rewind-past-end",
            f"copies that begin at {late[0]} have nothing to train: the training has "
            f"{training.length}",
            place,
            Label(training.span, "this training"),
            help="compare at early steps, e.g. at = [0, 100, 500] steps",
        )
    return not late


def _before(step: Duration, length: Duration) -> bool:
    """What cannot be told before the data are known is looked at later."""
    return step.unit != length.unit or step.amount < length.amount


def _one(
    reader: Reader,
    block: syntax.Block,
    keys: Mapping[str, syntax.Entry],
    key: str,
    known: Mapping[str, N],
) -> N | None:
    """The one named, else the only one there is."""
    if key in keys:
        value = keys[key].value
        if not isinstance(value, syntax.Name):
            reader.mismatch(value, f"the name of a {key}")
        elif value.value in known:
            return known[value.value]
        else:
            reader.unknown(value.value, known, key, value.span)
        return None
    if len(known) == 1:
        return next(iter(known.values()))
    there = f"which of {', '.join(known)}" if known else f"a {key}, and there is none"
    reader.findings.error(
        "missing-key",
        f'stability "{block.name}" must say {there}',
        Label(block.name_span, f"needs a {key}"),
        help=f"add  {key} = …" if known else f"add a {key} block",
    )
    return None
