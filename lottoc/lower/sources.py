"""Checking `model`, `data` and `training` blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from lottoc.diagnostics import InputError, Label
from lottoc.grammar import syntax
from lottoc.lower.blocks import entries
from lottoc.lower.program import SOURCES, Data, Model, Rank, Search, SourceKind, Training
from lottoc.lower.read import Reader
from lottoc.lower.splits import InputsSplit, NpzSplit, Split, TextSplit
from lottoc.methods.lab import Duration
from lottoc.signature import Signature
from lottoc.training.augment import AUGMENTS, spelt

PLANNED_MODELS = ("export",)

EXAMPLES = {
    "onnx": "model.onnx",
    "torch": "lenet.py:lenet_300_100",
    "hf": "smollm2-135m",
    "gguf": "smollm2-135m.gguf",
}


class Catalog(Protocol):
    """Where signatures come from; a check may know less than a compile."""

    def signature(
        self, source: SourceKind, path: Path, function: str
    ) -> tuple[Signature | None, str]:
        """The signature, or None if it is not known without loading the model, and the digest.

        Raises `InputError` where the file is missing or damaged.
        """

    def open_inputs(self, path: Path) -> list[str]:
        """Inputs of an ONNX file whose shape only an example tells; raises `InputError`."""

    def best(self, rank: Rank, models: Mapping[str, Model], data: Data) -> str:
        """The model that a rank puts first; a check that measures nothing takes any."""

    def explore(self, search: Search, data: Data, training: Training) -> Search:
        """The search with models that were trained for it; a check takes any one untrained."""


def check_model(
    reader: Reader, block: syntax.Block, folder: Path, catalog: Catalog
) -> Model | None:
    """A model block; its file is opened as far as the catalog goes."""
    keys = entries(reader, block)
    if "source" not in keys:
        return None
    seed = reader.integer(keys["seed"].value, least=0) if "seed" in keys else 0
    value = keys["source"].value
    located = model_source(reader, value, folder)
    if located is None or seed is None:
        return None
    source, path, function = located
    try:
        signature, digest = catalog.signature(source, path, function)
    except InputError as error:
        reader.findings.absorb(error, value.span)
        return None
    return Model(block.name, source, path, function, seed, signature, digest, block.name_span)


def model_source(
    reader: Reader, value: syntax.Value, folder: Path
) -> tuple[SourceKind, Path, str] | None:
    """Where a model comes from: the kind of source, a path, and a torch model's function."""
    head = reader.head(value, 'a model source such as onnx("model.onnx")')
    if head is None:
        return None
    name, arguments = head
    if name in PLANNED_MODELS:
        reader.not_yet(f"{name}(…)", value.span)
        return None
    if name not in SOURCES:
        reader.unknown(name, SOURCES, "model source", value.span)
        return None
    text = reader.text(arguments[0].value) if len(arguments) == 1 else None
    if text is None:
        if len(arguments) != 1:
            reader.findings.error(
                "wrong-type",
                f"{name} takes one text",
                value.span,
                help=f'write {name}("{EXAMPLES[name]}")',
            )
        return None
    if name != "torch":
        return cast(SourceKind, name), folder / text, ""
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
    splits: dict[str, Split] = {}
    for key, entry in keys.items():
        split = _split(reader, entry.value, folder)
        if split is None:
            return None
        splits[key] = split
    if not {"train", "calibration"} & set(keys):
        if not any(entry.key not in keys for entry in block.entries):
            reader.findings.error(
                "missing-key",
                f'data "{block.name}" needs "train"',
                Label(block.name_span, "has no train"),
                help="add  train = …, or  calibration = …  for criteria that look at activations",
            )
        return None
    return Data(block.name, splits, block.name_span)


@dataclass(frozen=True)
class _Npz:
    file: str
    x: str = "x"
    y: str = "y"


@dataclass(frozen=True)
class _Text:
    file: str
    length: int = 2048
    samples: int = 0
    seed: int = 0
    tokenizer: str | None = None


def _split(reader: Reader, value: syntax.Value, folder: Path) -> Split | None:
    head = reader.head(value, 'a data source such as npz("data.npz", x = "x", y = "y")')
    if head is None:
        return None
    name, arguments = head
    if name == "text":
        return _text(reader, value, arguments, folder)
    if name != "npz":
        reader.unknown(name, ("npz", "text"), "data source", value.span)
        return None
    named = {argument.name for argument in arguments if argument.name}
    if named - {"file", "x", "y"}:
        return _inputs(reader, value, arguments, folder)
    options = reader.options(arguments, _Npz, "npz")
    if options is None or not _has_file(reader, value, options, "npz"):
        return None
    found = _Npz(**options)
    return NpzSplit(folder / found.file, found.x, found.y)


def _has_file(reader: Reader, value: syntax.Value, options: Mapping[str, Any], name: str) -> bool:
    if "file" not in options:
        reader.findings.error("missing-argument", f"{name} needs a file", value.span)
    return "file" in options


def _inputs(
    reader: Reader, value: syntax.Value, arguments: tuple[syntax.Argument, ...], folder: Path
) -> Split | None:
    """`npz("data.npz", input_ids = "ids", …)`: arrays by the names of the model's inputs."""
    inputs: dict[str, str] = {}
    file: str | None = None
    for position, argument in enumerate(arguments):
        said = reader.text(argument.value)
        name = argument.name or ("file" if position == 0 else None)
        if name is None:
            reader.findings.error(
                "too-many-arguments",
                "only the file stands without a name",
                argument.span,
                help='write  npz("data.npz", input_ids = "input_ids")',
            )
        if said is None or name is None:
            return None
        if name == "file":
            file = said
        else:
            inputs[name] = said
    if not _has_file(reader, value, {} if file is None else {"file": file}, "npz"):
        return None
    return InputsSplit(folder / str(file), inputs)


def _text(
    reader: Reader, value: syntax.Value, arguments: tuple[syntax.Argument, ...], folder: Path
) -> Split | None:
    options = reader.options(arguments, _Text, "text")
    if options is None or not _has_file(reader, value, options, "text"):
        return None
    made = _Text(**options)
    for name, bound in (("length", 2), ("samples", 0), ("seed", 0)):
        if getattr(made, name) < bound:
            message = f"text: {name} is {getattr(made, name)}, not at least {bound}"
            reader.findings.error("out-of-range", message, value.span)
            return None
    tokenizer = folder / made.tokenizer if made.tokenizer is not None else None
    return TextSplit(folder / made.file, made.length, made.samples, made.seed, tokenizer)


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
            case "augment":
                changes = _augment(reader, value)
                found.clean = found.clean and changes is not None
                if changes:
                    found.options[key] = changes
            case "clip_norm":
                found.set(key, reader.number(value))
            case _:
                found.set(key, reader.integer(value, least=0 if key == "seed" else 1))
    if not found.clean or not {"optimizer", "batch", "length"} <= set(keys):
        return None
    return Training(block.name, found.options, length, milestones, warmup, block.name_span)


def _augment(reader: Reader, value: syntax.Value) -> tuple[str, ...] | None:
    """`[flip, crop(4)]`, or one of them alone, as IR has them."""

    def read(item: syntax.Value) -> str | None:
        head = reader.head(item, "a change of images, such as flip or crop(4)")
        if head is None:
            return None
        name, arguments = head
        if name not in AUGMENTS:
            reader.unknown(name, AUGMENTS, "change of images", item.span)
            return None
        options = reader.options(arguments, AUGMENTS[name], name)
        try:
            return None if options is None else spelt(AUGMENTS[name](**options))
        except TypeError:
            reader.findings.error(
                "missing-argument", f"{name} needs a number", item.span, help=f"write {name}(4)"
            )
        except ValueError as error:
            reader.findings.error("out-of-range", f"{name}: {error}", item.span)
        return None

    value = reader.resolve(value)
    before = len(reader.findings.errors)
    if isinstance(value, syntax.ListValue):
        changes = reader.items(value, read)
    else:
        changes = [text for text in (read(value),) if text is not None]
    return tuple(changes) if len(reader.findings.errors) == before else None


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
