"""Plain Python data as IR attributes and back: options, training specifications, layer names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    f64,
    i1,
    i64,
)
from xdsl.ir import Attribute

Plain = bool | int | float | str | Sequence["Plain"] | Mapping[str, "Plain"]


def to_attribute(value: Plain) -> Attribute:
    """`{"lr": 0.1}` as an attribute; keys are sorted, so that equal data prints equally."""
    match value:
        case bool():
            return IntegerAttr(int(value), i1)
        case int():
            return IntegerAttr(value, i64)
        case float():
            return FloatAttr(value, f64)
        case str():
            return StringAttr(value)
        case Mapping():
            return to_dictionary(value)
        case _:
            return ArrayAttr([to_attribute(item) for item in value])


def to_dictionary(options: Mapping[str, Plain]) -> DictionaryAttr:
    """A dictionary attribute with sorted keys."""
    return DictionaryAttr({key: to_attribute(options[key]) for key in sorted(options)})


def from_attribute(attribute: Attribute) -> Plain:
    """The data that `to_attribute` wrote."""
    match attribute:
        case IntegerAttr():
            number = int(attribute.value.data)
            return bool(number) if attribute.type == i1 else number
        case FloatAttr():
            return float(attribute.value.data)
        case StringAttr():
            return attribute.data
        case DictionaryAttr():
            return from_dictionary(attribute)
        case ArrayAttr():
            return [from_attribute(item) for item in attribute]
        case _:
            raise TypeError(f"no plain data in {attribute}")


def from_dictionary(attribute: DictionaryAttr | None) -> dict[str, Plain]:
    """The mapping that `to_dictionary` wrote; none is an empty one."""
    return {k: from_attribute(v) for k, v in attribute.data.items()} if attribute else {}


def is_plain(attribute: Attribute) -> bool:
    """Whether `from_attribute` can read it."""
    match attribute:
        case DictionaryAttr():
            return all(map(is_plain, attribute.data.values()))
        case ArrayAttr():
            return all(map(is_plain, attribute))
    return isinstance(attribute, IntegerAttr | FloatAttr | StringAttr)


def strings(attribute: ArrayAttr[StringAttr]) -> list[str]:
    """The Python strings of a list of names."""
    return [item.data for item in attribute]


def string_array(values: Sequence[str]) -> ArrayAttr[StringAttr]:
    """A list of names as an attribute."""
    return ArrayAttr([StringAttr(value) for value in values])
