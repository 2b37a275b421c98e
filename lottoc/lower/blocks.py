"""What every block may contain: its keys, and which of them it cannot do without."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lottoc.diagnostics import Label, did_you_mean
from lottoc.grammar import syntax
from lottoc.lower.read import Reader


@dataclass(frozen=True)
class Shape:
    """The keys of one kind of block."""

    required: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys."""
        return self.required + self.optional


SHAPES: Mapping[str, Shape] = {
    "model": Shape(("source",), ("seed",)),
    "data": Shape((), ("train", "test", "calibration")),
    "training": Shape(
        ("optimizer", "batch", "length"),
        ("schedule", "warmup", "loss", "seed", "threads", "clip_norm", "augment"),
    ),
    "ticket": Shape(
        (),
        (
            "model",
            "data",
            "training",
            "layers",
            "criterion",
            "scope",
            "sparsity",
            "density",
            "compression",
            "pattern",
            "method",
            "like",
            "weights",
            "mask",
            "on_collapse",
            "exclude",
        ),
    ),
    "sanity": Shape(("tickets",), ("controls",)),
    "split": Shape(("ticket", "partitions"), ()),
    "rank": Shape(("models", "proxies"), ("data",)),
    "stability": Shape(
        ("at",), ("copies", "points", "threshold", "seed", "model", "data", "training")
    ),
    "search": Shape(("source", "space"), ("data", "training", "trials", "proxies", "seed")),
    "emit": Shape(
        ("ticket",),
        ("format", "values", "activations", "data", "target", "batch", "swap", "model"),
    ),
}


def known_blocks() -> Iterable[str]:
    """Every first word of a block."""
    return [*SHAPES, "param", "require", "mask", "import"]


def entries(reader: Reader, block: syntax.Block) -> dict[str, syntax.Entry]:
    """The block's entries by key, after unknown and missing keys have been reported."""
    shape = SHAPES[block.kind]
    result: dict[str, syntax.Entry] = {}
    for entry in block.entries:
        if entry.key in shape.keys:
            result.setdefault(entry.key, entry)
        else:
            reader.findings.error(
                "unknown-key",
                f'{block.kind} has no key "{entry.key}"',
                entry.key_span,
                help=did_you_mean(entry.key, shape.keys),
            )
            for meant in difflib.get_close_matches(entry.key, shape.keys, n=1):
                result.setdefault(meant, entry)  # go on as if it had been spelt right
    present = {entry.key for entry in block.entries} | set(result)
    for key in shape.required:
        if key not in present:
            reader.findings.error(
                "missing-key",
                f'{block.kind} "{block.name}" needs "{key}"',
                Label(block.name_span, f"has no {key}"),
                help=f"add  {key} = …",
            )
    return result
