"""What masks may look like: one file a pattern, one line here, imported when first asked for."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module

from lottoc.fields import OptionError, build
from lottoc.masks.patterns.pattern import Pattern as Pattern

PATTERNS = {
    "unstructured": "lottoc.masks.patterns.unstructured:Unstructured",
    "N:M": "lottoc.masks.patterns.nm:NofM",
    "block": "lottoc.masks.patterns.block:Block",
    "channels": "lottoc.masks.patterns.rows:Rows",
    "fanin": "lottoc.masks.patterns.fanin:FanIn",
    "groups": "lottoc.masks.patterns.groups:Groups",
    "permuted": "lottoc.masks.patterns.permuted:Permuted",
    "rows": "lottoc.masks.patterns.rows:Rows",
}
"""By the name that a recipe writes; `N:M` is written with two numbers, `channels` prints `rows`."""

UNSTRUCTURED = "unstructured"

_NUMBER = "[1-9][0-9]{0,8}|0"
_RATIO = re.compile(f"({_NUMBER}):({_NUMBER})")
_CALL = re.compile(r"([a-z]+)(?:\(([^()]+)\))?")
_ARGUMENT = re.compile(f"(?:([a-z]+) = )?({_NUMBER}|true|false)")


def pattern_class(name: str) -> type[Pattern]:
    """The class of a pattern; `KeyError` if there is none of that name."""
    module, _, attribute = PATTERNS[name].partition(":")
    found: type[Pattern] = getattr(import_module(module), attribute)
    return found


def examples() -> list[str]:
    """What a recipe may write, pattern by pattern."""
    return list(dict.fromkeys(e for name in PATTERNS for e in pattern_class(name).examples))


@lru_cache(maxsize=256)
def parse(text: str) -> Pattern:
    """The pattern that prints as `text`, such as `groups(64, permute = false)`.

    Raises `ValueError` for anything else, a pattern written in another way included.
    """
    try:
        pattern = _parse(text)
    except OptionError as error:
        raise ValueError(f'pattern "{text}": {error}') from error
    if pattern is None or str(pattern) != text:
        raise ValueError(f'pattern "{text}" is not such as {", ".join(examples())}')
    return pattern


def _parse(text: str) -> Pattern | None:
    if ratio := _RATIO.fullmatch(text):
        return build(pattern_class("N:M"), {"n": int(ratio[1]), "m": int(ratio[2])})
    call = _CALL.fullmatch(text)
    if call is None or call[1] not in PATTERNS:
        return None
    shape = pattern_class(call[1])
    names, options = shape.options(), dict[str, int | bool]()
    for position, said in enumerate(call[2].split(", ") if call[2] else ()):
        argument = _ARGUMENT.fullmatch(said)
        if argument is None or position >= len(names):
            return None
        word = argument[2]
        options[argument[1] or names[position]] = int(word) if word.isdigit() else word == "true"
    return build(shape, options)
