"""Reading `pattern = …`: its options, and whether it fits the layers it is meant for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from lottoc.diagnostics import Label
from lottoc.grammar import syntax
from lottoc.lower.read import Reader
from lottoc.masks.patterns import (
    PATTERNS,
    UNSTRUCTURED,
    Pattern,
    examples,
    parse,
    pattern_class,
)
from lottoc.masks.patterns.nm import NofM
from lottoc.signature import Layer

Keys = Mapping[str, syntax.Entry]


def read_pattern(
    reader: Reader, keys: Keys, inherited: Pattern | None, layers: Sequence[Layer]
) -> Pattern | None:
    """The pattern a ticket says or inherits; None, or layers it does not fit, after an error."""
    pattern = inherited or parse(UNSTRUCTURED)
    if "pattern" in keys:
        said = _said(reader, reader.resolve(keys["pattern"].value))
        if said is None:
            return None
        pattern = said
    if "pattern" in keys or "layers" in keys:
        misfits = [layer for layer in layers if pattern.unfit(layer)]
        if misfits:
            _say_misfit(reader, keys, pattern, misfits)
    return pattern


def _said(reader: Reader, value: syntax.Value) -> Pattern | None:
    if isinstance(value, syntax.Ratio):
        return _ratio(reader, value)
    wanted = f"a pattern such as {', '.join(examples())}"
    if isinstance(value, syntax.String):
        reader.mismatch(value, wanted, help=f"write  {value.value}  without quotes")
        return None
    head = reader.head(value, wanted)
    if head is None:
        return None
    name, arguments = head
    if name not in PATTERNS:
        reader.unknown(name, PATTERNS, "pattern", value.span)
        return None
    shape = pattern_class(name)
    options = reader.options(arguments, shape, name)
    if options is None:
        return None
    required = [f.name for f in dataclasses.fields(shape) if f.default is dataclasses.MISSING]
    if not options.keys() >= set(required):
        reader.findings.error(
            "missing-argument",
            f"{name} needs {shape.needs}",
            value.span,
            help=f"write  {shape.examples[0]}",
        )
        return None
    try:
        return shape(**options)
    except ValueError as error:
        reader.findings.error("out-of-range", str(error), value.span)
        return None


def _ratio(reader: Reader, value: syntax.Ratio) -> Pattern | None:
    n, m = value.kept, value.group
    try:
        pattern = NofM(n, m)
    except ValueError as error:
        reader.findings.error("nm-ratio", str(error), value.span)
        return None
    if 2 * n != m:
        reader.findings.note(
            "nm-reading",
            f"{pattern} is read as: {n} of every {m} weights are kept "
            f"(sparsity {float(1 - pattern.density):.4g})",
            value.span,
            help=f"if {n} of every {m} should be pruned, write {m - n}:{m}" if n < m else (),
        )
    return pattern


def _say_misfit(reader: Reader, keys: Keys, pattern: Pattern, misfits: Sequence[Layer]) -> None:
    layer, more = misfits[0], len(misfits) - 1
    shape = f"{layer.shape[1]} → {layer.shape[0]}"
    asked = (
        Label(keys["pattern"].value.span, "asked for here")
        if "pattern" in keys
        else Label(keys["like"].value.span, f"{pattern} comes with this")
    )
    labels, selection = [asked], "…"
    if "layers" in keys:
        span = keys["layers"].value.span
        selection = span.text
        others = f" and {more} more like it" if more else ""
        labels.insert(0, Label(span, f'selects "{layer.name}" ({shape}){others}'))
    unfit = pattern.unfit(layer)
    assert unfit is not None
    code, reason = unfit
    without = " - ".join(f'"{x.name}"' for x in misfits[:3])
    reader.findings.error(
        code,
        f'pattern {pattern} does not fit layer "{layer.name}": {reason}',
        *labels,
        help=f"leave it dense with  layers = {selection} - {without}{' - …' * (more > 2)}",
    )
