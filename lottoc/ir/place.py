"""Where an operation was written: passes carry it along, so that they can point at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.dialects.builtin import LocationAttr
from xdsl.ir import Data, Operation
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer

from lottoc.diagnostics import Diagnostic, Label, RecipeError, Span


@irdl_attr_definition
class Place(Data[Span]):
    """The location of an operation: a span of the recipe or IR text that it comes from."""

    name = "lotto.place"

    def print_parameter(self, printer: Printer) -> None:
        """Print `<"lenet.mlir:3:7">`; only debugging shows locations."""
        with printer.in_angle_brackets():
            printer.print_string_literal(str(self.data))

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Span:
        """Text has no places: it is one."""
        parser.raise_error("a place cannot be written down")


def at(span: Span) -> LocationAttr:
    """A location for an operation that stands at `span`."""
    return cast(LocationAttr, Place(span))


def labels(op: Operation, message: str = "") -> tuple[Label, ...]:
    """A label at the place of an operation; none if it was written nowhere."""
    place = cast(object, op.location)
    return (Label(place.data, message),) if isinstance(place, Place) else ()


def pass_failed(op: Operation, message: str, help: Sequence[str] = ()) -> RecipeError:
    """What a pass raises when it cannot rewrite an operation."""
    return RecipeError([Diagnostic("pass-failed", message, labels(op), tuple(help))])
