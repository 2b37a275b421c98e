"""Which two layers can be pruned to compute a third."""

from __future__ import annotations

from lottoc.signature import Layer


def misfit(first: Layer, second: Layer, target: Layer) -> str | None:
    """Why two layers cannot be pruned to a third; None if they can."""
    if any(len(layer.shape) != 2 for layer in (first, second, target)):
        return f'"{first.name}" and "{second.name}" for "{target.name}" must be linear layers'
    wanted = (second.shape[0], first.shape[0], first.shape[1])
    out, given = target.shape
    if (wanted[0], wanted[2]) == (out, given) and second.shape[1] == wanted[1]:
        return None
    shapes = " and ".join(f"{layer.shape[1]} → {layer.shape[0]}" for layer in (first, second))
    return f'layers of {shapes} cannot be pruned to "{target.name}", {given} → {out}'
