"""The parts of a data set: where each comes from, as a recipe says it and as IR says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lottoc.fields import OptionError, at_least, build

if TYPE_CHECKING:
    from lottoc.frontends.data import InputsSource, NpzSource
    from lottoc.frontends.text import TextSource
    from lottoc.ir.plain import Plain


@dataclass(frozen=True)
class NpzSplit:
    """Two arrays of an npz file: examples and their classes."""

    path: Path
    x: str
    y: str

    def plain(self) -> dict[str, Plain]:
        """As IR holds it."""
        return {"path": str(self.path), "x": self.x, "y": self.y}

    def files(self) -> list[Path]:
        """What is read for it."""
        return [self.path]

    def source(self, name: str) -> NpzSource:
        """What the frontend reads; `name` is that of the split."""
        from lottoc.frontends.data import NpzSource

        return NpzSource(self.path, self.x, self.y)


@dataclass(frozen=True)
class InputsSplit:
    """Arrays of an npz file for inputs of a model, by the inputs' names."""

    path: Path
    inputs: Mapping[str, str]

    def plain(self) -> dict[str, Plain]:
        """As IR holds it."""
        return {"path": str(self.path), "inputs": dict(self.inputs)}

    def files(self) -> list[Path]:
        """What is read for it."""
        return [self.path]

    def source(self, name: str) -> InputsSource:
        """What the frontend reads."""
        from lottoc.frontends.data import InputsSource

        return InputsSource(self.path, tuple(sorted(self.inputs.items())))


@dataclass(frozen=True)
class TextSplit:
    """A text cut into examples of `length` tokens."""

    path: Path
    length: int
    samples: int
    seed: int = 0
    tokenizer: Path | None = None

    def plain(self) -> dict[str, Plain]:
        """As IR holds it."""
        said: dict[str, Plain] = {
            "text": str(self.path),
            "length": self.length,
            "samples": self.samples,
            "seed": self.seed,
        }
        if self.tokenizer is not None:
            said["tokenizer"] = str(self.tokenizer)
        return said

    def files(self) -> list[Path]:
        """What is read for it."""
        return [self.path, *([self.tokenizer] if self.tokenizer else [])]

    def source(self, name: str) -> TextSource:
        """What the frontend reads: a test text is read from its beginning to its end."""
        from lottoc.frontends.text import TextSource

        return TextSource(
            self.path, self.length, self.samples, self.seed, self.tokenizer, name == "test"
        )


Split = NpzSplit | InputsSplit | TextSplit


@dataclass(frozen=True)
class _Npz:
    path: str
    x: str
    y: str


@dataclass(frozen=True)
class _Text:
    text: str
    length: int
    samples: int
    seed: int = 0
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        at_least(self, length=2, samples=0, seed=0)


def split_of(plain: Any) -> Split:
    """The split that IR holds; raises `OptionError` if it is none."""
    if not isinstance(plain, Mapping):
        raise OptionError("it is no dictionary")
    if "text" in plain:
        made = build(_Text, plain)
        tokenizer = Path(made.tokenizer) if made.tokenizer is not None else None
        return TextSplit(Path(made.text), made.length, made.samples, made.seed, tokenizer)
    if "inputs" in plain:
        inputs, path = plain["inputs"], plain.get("path")
        fits = isinstance(inputs, Mapping) and inputs and isinstance(path, str)
        if not fits or not all(isinstance(v, str) for v in inputs.values()) or len(plain) > 2:
            raise OptionError('inputs are {path = "…", inputs = {name = "array"}}')
        return InputsSplit(Path(str(path)), {str(k): str(v) for k, v in inputs.items()})
    npz = build(_Npz, plain)
    return NpzSplit(Path(npz.path), npz.x, npz.y)
