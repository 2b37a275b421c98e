"""What a well-formed recipe may not do that its grammar cannot say: repeat a key, nest too deep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lottoc.diagnostics import Findings, Label, Span
from lottoc.grammar.scan import MAX_DEPTH
from lottoc.grammar.stop import shorten
from lottoc.grammar.syntax import Block, Call, Node, walk


def check(tree: Node, findings: Findings) -> None:
    """Record `duplicate-key`, `duplicate-argument` and, once, `nesting-too-deep`."""
    deep = False
    for node, depth in walk(tree):
        if isinstance(node, Block):
            _keys(node, findings)
        elif isinstance(node, Call):
            _arguments(node, findings)
        if depth > MAX_DEPTH and not deep:
            deep = True
            too_deep(_start(node.span, 0), findings)


def too_deep(place: Span, findings: Findings) -> None:
    """Record `nesting-too-deep` at a place."""
    findings.error(
        "nesting-too-deep",
        f"a value is nested more than {MAX_DEPTH} deep",
        place,
        help="name a part of it with `mask` or `param`, or choose layers by a glob",
    )


def _keys(block: Block, findings: Findings) -> None:
    where = f"`{shorten(block.kind)} {shorten(block.name)}`"
    keys = [(entry.key, entry.key_span) for entry in block.entries]
    for key, second, first in _repeated(keys):
        message = f"`{shorten(key)}` is given twice in {where}"
        _twice("duplicate-key", message, second, first, findings)


def _arguments(call: Call, findings: Findings) -> None:
    names = [(a.name, _start(a.span, len(a.name))) for a in call.arguments if a.name]
    for name, second, first in _repeated(names):
        message = f"argument `{shorten(name)}` is given twice"
        _twice("duplicate-argument", message, second, first, findings)


def _start(span: Span, length: int) -> Span:
    return Span(span.source, span.start, span.start + length)


def _repeated(names: Sequence[tuple[str, Span]]) -> Iterator[tuple[str, Span, Span]]:
    """Each name given more than once, with its second place and its first."""
    places: dict[str, list[Span]] = {}
    for name, span in names:
        places.setdefault(name, []).append(span)
    for name, spans in places.items():
        if len(spans) > 1:
            yield name, spans[1], spans[0]


def _twice(code: str, message: str, second: Span, first: Span, findings: Findings) -> None:
    findings.error(
        code, message, second, Label(first, "first given here"), help="keep one of the two"
    )
