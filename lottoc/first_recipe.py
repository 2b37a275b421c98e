"""A first recipe for a model: commented, with defaults that suit its layers, for people to edit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lottoc.diagnostics import Source
from lottoc.grammar.format import format_recipe
from lottoc.signature import KINDS_CALLED, Layer

SHOWN = 40
"""Layers listed in the comment; a longer list is looked up, not read."""
FEW = 6
"""Names that stand on one line."""


@dataclass(frozen=True)
class Subject:
    """A model: `path` is as the recipe shall write it, `stem` what its artefact is called."""

    source: Literal["onnx", "torch"]
    path: str
    stem: str
    layers: tuple[Layer, ...]

    @property
    def name(self) -> str:
        """The model as an identifier that no other block of the recipe has."""
        word = re.sub(r"\W+", "_", self.stem, flags=re.ASCII).strip("_")
        if not word or word[0].isdigit():
            word = f"model_{word}".rstrip("_")
        return f"{word}_model" if word in _TAKEN else word


_TAKEN = {"dense", "half", "light", "winning", "random_init", "examples", "adam", "target"}


def first_recipe(subject: Subject) -> str:
    """The text of the recipe; it passes `lottoc check` and `lottoc fmt --check`."""
    body = _pruned(subject) if subject.source == "onnx" else _trained(subject)
    model = f"model {subject.name} {{ source = {_source(subject)} }}"
    return format_recipe(Source(subject.name, f"{_head(subject)}\n{model}\n{body}"))


def fits(layer: Layer) -> bool:
    """Whether two of every four inputs can be kept."""
    return layer.shape[1] % 4 == 0


def _source(subject: Subject) -> str:
    return f"{subject.source}({_quoted(subject.path)})"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _head(subject: Subject) -> str:
    count = len(subject.layers)
    weights = sum(layer.size for layer in subject.layers)
    total = f"{count} prunable layer{'' if count == 1 else 's'}, {weights:,} weights"
    rows: list[tuple[str, ...]] = [("layer", "kind", "shape", "weights", "2:4")]
    rows += [_row(layer) for layer in subject.layers[:SHOWN]]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    table = ["   ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
    more = [f"… and {count - SHOWN} more"] if count > SHOWN else []
    lines = [f"{subject.stem}: {total}.", "", *(f"  {line}" for line in [*table, *more])]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _row(layer: Layer) -> tuple[str, ...]:
    shape = "×".join(map(str, layer.shape))
    fit = "fits" if fits(layer) else f"{layer.shape[1]} inputs"
    return _printable(layer.name), layer.kind, shape, f"{layer.size:,}", fit


def _pruned(subject: Subject) -> str:
    chosen = [layer for layer in subject.layers if fits(layer)]
    if not chosen:
        return _LIGHT.format(artefact=_quoted(f"{subject.stem}-light.onnx"))
    layers = selection(subject.layers, chosen)
    return _HALF.format(layers=layers, artefact=_quoted(f"{subject.stem}-half.onnx"))


def _trained(subject: Subject) -> str:
    return _WINNING.format(artefact=_quoted(f"{subject.stem}-winning.onnx"))


def selection(layers: Sequence[Layer], chosen: Sequence[Layer]) -> str:
    """A short expression that selects just the chosen layers."""
    left_out = [layer for layer in layers if layer not in chosen]
    if not left_out:
        return "all"
    for word, kinds in KINDS_CALLED.items():
        if [layer for layer in layers if layer.kind in kinds] == list(chosen):
            return word
    if len(chosen) <= FEW < len(left_out):
        return " | ".join(_glob(layer) for layer in chosen)
    if len(left_out) <= FEW:
        return " - ".join(["all", *(_glob(layer) for layer in left_out)])
    return f"all - [{', '.join(_glob(layer) for layer in left_out)}]"


def _glob(layer: Layer) -> str:
    """A text that matches the name of this layer only."""
    return _quoted(_printable(re.sub(r"([*?[])", r"[\1]", layer.name)))


def _printable(name: str) -> str:
    """The name, with the glob for any character where it has one that no recipe can hold."""
    return "".join(sign if sign.isprintable() else "?" for sign in name)


_HALF = """
# Two of every four inputs of each layer stay: a pattern that hardware knows. It must divide a
# layer's inputs, the second number of its shape.
ticket half {{
  layers    = {layers}
  criterion = magnitude
  pattern   = 2:4
}}

# Or any share of the weights, wherever they are least:
#
#   ticket light {{ layers = all   scope = global   sparsity = 90% }}

emit onnx {artefact} {{ ticket = half }}
"""

_LIGHT = """
# No layer has a number of inputs that 2:4 divides, so half of the weights of each leave wherever
# they are least.
ticket light {{
  layers    = all
  criterion = magnitude
  scope     = layerwise               # or global: ranked together
  sparsity  = 50%
}}

emit onnx {artefact} {{ ticket = light }}
"""

_WINNING = """
param target = 80%                      # lottoc compile … -D target=90%

# Where the examples are: arrays of an npz file, the first axis counts examples.
data examples {{
  train = npz("data.npz", x = "x_train", y = "y_train")
  test  = npz("data.npz", x = "x_test",  y = "y_test")
}}

training adam {{ optimizer = adam(lr = 0.001)   batch = 64   length = 1000 steps }}

# Train, prune the least weights, go back to step 100, and again: iterative magnitude pruning.
ticket winning {{
  layers    = all
  criterion = magnitude
  scope     = global
  sparsity  = target
  method    = imp(rounds = 5, rewind = 100 steps)
}}

# The control: the same mask on new weights. A winning ticket is better.
ticket random_init {{ like = winning   weights = reinit }}

require winning.accuracy >= dense.accuracy - 5%

emit onnx {artefact} {{ ticket = winning }}
"""
