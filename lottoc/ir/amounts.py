"""How much to keep, as IR writes it: exact fractions, patterns, scopes; and plain options."""

from __future__ import annotations

import re
from fractions import Fraction

from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, StringAttr
from xdsl.utils.exceptions import VerifyException

from lottoc.ir.plain import is_plain
from lottoc.masks.allocate import BY_SCORES, SCOPES
from lottoc.masks.patterns import parse

_FRACTION = re.compile(r"([0-9]{1,1000})(?:/([0-9]{1,1000}))?")

GLOBAL = "global"


def check_density(density: StringAttr) -> None:
    """An exact fraction from 0 to 1, such as `1/20`."""
    match = _FRACTION.fullmatch(density.data)
    if match is None or int(match[2] or 1) == 0 or Fraction(density.data) > 1:
        raise VerifyException(f'density "{density.data}" is not a fraction from 0 to 1, as 1/20')


def check_pattern(pattern: StringAttr) -> None:
    """A pattern as it prints, such as `2:4`."""
    try:
        parse(pattern.data)
    except ValueError as error:
        raise VerifyException(str(error)) from error


def check_scope(scope: StringAttr) -> None:
    """`global`, or one of those that fix each layer's count."""
    known = (GLOBAL, *SCOPES, *BY_SCORES)
    if scope.data not in known:
        raise VerifyException(f'scope "{scope.data}" is not one of {", ".join(known)}')


def check_plain(**options: DictionaryAttr | None) -> None:
    """Options hold booleans, numbers, strings, lists and dictionaries of them."""
    for name, attribute in options.items():
        if attribute is not None and not is_plain(attribute):
            raise VerifyException(f"{name} holds something other than plain data")


def check_seed(seed: IntegerAttr) -> None:
    """Random streams are numbered from 0."""
    if seed.value.data < 0:
        raise VerifyException(f"seed {seed.value.data} is negative")
