"""Checking `model`, `data` and `training` blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from lottoc.diagnostics import InputError
from lottoc.grammar import syntax
from lottoc.lower.blocks import entries
from lottoc.lower.program import Data, Model, NpzSplit, Training
from lottoc.lower.read import Reader
from lottoc.methods.lab import Duration
from lottoc.signature import Signature

PLANNED_MODELS = ("hf", "gguf", "export")
PLANNED_DATA = ("text",)


class Catalog(Protocol):
    """Where signatures come from; a check may know less than a compile."""

    def signature(
        self, source: Literal["onnx", "torch"], path: Path, function: str
    ) -> tuple[Signature | None, str]:
        """The signature, or None if it is not known without loading the model, and the digest.

        Raises `InputError` where the file is missing or damaged.
        """


def check_model(
    reader: Reader, block: syntax.Block, folder: Path, catalog: Catalog
) -> Model | None:
    """A model block; its file is opened as far as the catalog goes."""
    keys = entries(reader, block)
    if "source" not in keys:
        return None
    seed = reader.integer(keys["seed"].value, least=0) if "seed" in keys else 0
    value = keys["source"].value
    located = _model_source(reader, value, folder)
    if located is None or seed is None:
        return None
    source, path, function = located
    try:
        signature, digest = catalog.signature(source, path, function)
    except InputError as error:
        reader.findings.absorb(error, value.span)
        return None
    return Model(block.name, source, path, function, seed, signature, digest, block.name_span)


def _model_source(
    reader: Reader, value: syntax.Value, folder: Path
) -> tuple[Literal["onnx", "torch"], Path, str] | None:
    head = reader.head(value, 'a model source such as onnx("model.onnx")')
    if head is None:
        return None
    name, arguments = head
    if name in PLANNED_MODELS:
        reader.not_yet(f"{name}(…)", value.span)
        return None
    if name not in ("onnx", "torch"):
        reader.unknown(name, ("onnx", "torch", *PLANNED_MODELS), "model source", value.span)
        return None
    text = reader.text(arguments[0].value) if len(arguments) == 1 else None
    if text is None:
        if len(arguments) != 1:
            example = '"model.onnx"' if name == "onnx" else '"lenet.py:lenet_300_100"'
            reader.findings.error(
                "wrong-type", f"{name} takes one text", value.span, help=f"write {name}({example})"
            )
        return None
    if name == "onnx":
        return "onnx", folder / text, ""
    file, colon, function = text.rpartition(":")
    if not colon or not function.isidentifier():
        reader.findings.error(
            "torch-source",
            f'"{text}" names no function',
            arguments[0].value.span,
            help='write torch("file.py:function"), a function that returns an nn.Module',
        )
        return None
    return "torch", folder / file, function


def check_data(reader: Reader, block: syntax.Block, folder: Path) -> Data | None:
    """A data block; no file is opened."""
    keys = entries(reader, block)
    splits: dict[str, NpzSplit] = {}
    for key, entry in keys.items():
        split = _npz(reader, entry.value, folder)
        if split is None:
            return None
        splits[key] = split
    return Data(block.name, splits, block.name_span) if "train" in splits else None


@dataclass(frozen=True)
class _Npz:
    file: str
    x: str = "x"
    y: str = "y"


def _npz(reader: Reader, value: syntax.Value, folder: Path) -> NpzSplit | None:
    head = reader.head(value, 'a data source such as npz("data.npz", x = "x", y = "y")')
    if head is None:
        return None
    name, arguments = head
    if name in PLANNED_DATA:
        reader.not_yet(f"{name}(…)", value.span)
        return None
    if name != "npz":
        reader.unknown(name, ("npz", *PLANNED_DATA), "data source", value.span)
        return None
    options = reader.options(arguments, _Npz, "npz")
    if options is None:
        return None
    if "file" not in options:
        reader.findings.error("missing-argument", "npz needs a file", value.span)
        return None
    found = _Npz(**options)
    return NpzSplit(folder / found.file, found.x, found.y)


@dataclass(frozen=True)
class _Sgd:
    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False


@dataclass(frozen=True)
class _Adam:
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0


@dataclass(frozen=True)
class _AdamW(_Adam):
    weight_decay: float = 0.01


@dataclass(frozen=True)
class _StepSchedule:
    milestones: tuple[Duration, ...] = ()
    gamma: float = 0.1


@dataclass(frozen=True)
class _Plain:
    pass


OPTIMIZERS: Mapping[str, type] = {"sgd": _Sgd, "adam": _Adam, "adamw": _AdamW}
SCHEDULES: Mapping[str, type] = {"constant": _Plain, "cosine": _Plain, "step": _StepSchedule}
LOSSES = ("cross_entropy", "mse")


@dataclass
class _Collected:
    options: dict[str, Any] = field(default_factory=dict)
    clean: bool = True

    def set(self, key: str, value: Any) -> None:
        self.clean = self.clean and value is not None
        self.options[key] = value


def check_training(reader: Reader, block: syntax.Block) -> Training | None:
    """A training block."""
    keys = entries(reader, block)
    found = _Collected()
    length, warmup = Duration(0, "steps"), Duration(0, "steps")
    milestones: tuple[Duration, ...] = ()
    for key, entry in keys.items():
        value = entry.value
        match key:
            case "optimizer":
                named = _named(reader, value, OPTIMIZERS, "optimizer")
                found.clean = found.clean and named is not None
                if named:
                    found.options |= {"optimizer": named[0], **named[1]}
            case "schedule":
                named = _named(reader, value, SCHEDULES, "schedule")
                found.clean = found.clean and named is not None
                if named:
                    milestones = named[1].pop("milestones", ())
                    found.options |= {"schedule": named[0], **named[1]}
            case "length" | "warmup":
                duration = reader.duration(value)
                found.clean = found.clean and duration is not None
                if key == "length" and duration is not None and duration.amount == 0:
                    reader.findings.error("out-of-range", "a training needs a length", value.span)
                length = duration or length if key == "length" else length
                warmup = duration or warmup if key == "warmup" else warmup
            case "loss":
                found.set(key, reader.choice(value, LOSSES, "loss"))
            case "clip_norm":
                found.set(key, reader.number(value))
            case _:
                found.set(key, reader.integer(value, least=0 if key == "seed" else 1))
    if not found.clean or not {"optimizer", "batch", "length"} <= set(keys):
        return None
    return Training(block.name, found.options, length, milestones, warmup, block.name_span)


def _named(
    reader: Reader, value: syntax.Value, known: Mapping[str, type], what: str
) -> tuple[str, dict[str, Any]] | None:
    head = reader.head(value, f"{what}: {' or '.join(known)}")
    if head is None:
        return None
    name, arguments = head
    if name not in known:
        reader.unknown(name, known, what, value.span)
        return None
    options = reader.options(arguments, known[name], name)
    if options is None:
        return None
    if name == "sgd" and "lr" not in options:
        reader.findings.error(
            "missing-argument", "sgd needs a learning rate", value.span, help="write sgd(lr = 0.1)"
        )
        return None
    for key, number in options.items():
        if isinstance(number, float) and number < 0:
            reader.findings.error("out-of-range", f"{key} cannot be negative", value.span)
            return None
    if name in OPTIMIZERS:
        return name, vars(known[name](**options))
    return name, options
