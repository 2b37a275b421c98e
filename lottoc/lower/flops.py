"""Checking `flops`: whether an example of a ticket's model can be had, whose work is counted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lottoc.lower.program import Data, Model, Ticket

SPLITS = ("test", "train", "calibration")
"""Where the example comes from: the first of these that the data set has."""


class Inputs(Protocol):
    """What is asked of an ONNX file."""

    def open_inputs(self, path: Path) -> list[str]:
        """Inputs whose shape only an example tells; raises `InputError`."""


def example_of(ticket: Ticket, data: Mapping[str, Data]) -> tuple[str, str] | None:
    """The data set and the split that have the example: the ticket's own, or the only one."""
    whole = [one.name for one in data.values() if one.part is None]
    name = ticket.data or (whole[0] if len(whole) == 1 else None)
    if name is None:
        return None
    name = data[name].whole or name  # parts have examples of one shape
    return name, next(split for split in SPLITS if split in data[name].splits)


def hindrance(ticket: Ticket, model: Model, data: Mapping[str, Data], inputs: Inputs) -> str:
    """Why the multiply-adds of an example cannot be counted; nothing if they can."""
    if example_of(ticket, data) is not None:
        return ""
    if model.source != "onnx":
        return f'the shape of an example of "{model.name}" is not known'
    found = inputs.open_inputs(model.path)
    return f'of "{model.name}", input {found[0]} is open' if found else ""
