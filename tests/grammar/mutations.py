"""Recipes damaged byte by byte and word by word, and what must hold of every answer to them."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from random_recipes import RECIPES, WORDS

from lottoc.diagnostics import Findings, LottoError, Source, render, to_json
from lottoc.engine.store import Store
from lottoc.front import Request, front, note_unknown_layers
from lottoc.grammar.format import format_recipe
from lottoc.grammar.parser import parse
from lottoc.grammar.recover import parse_partial
from lottoc.grammar.tokens import tokens

SECONDS = 1.0
"""No answer to one recipe may take longer."""

_FILES = re.compile(r'"([\w-]+\.(?:onnx|py|npz))[":]')
_POOL = sorted({token.text for text in RECIPES for token in tokens(text)} | set(WORDS))


def make_folder(folder: Path, onnx: Callable[[Path], object]) -> None:
    """A file for every one that the recipes name."""
    for name in sorted({name for text in RECIPES for name in _FILES.findall(text)}):
        if name.endswith(".onnx"):
            onnx(folder / name)
        else:
            (folder / name).write_text("def lenet_300_100():\n    return 1\n")


def mutants(seed: int, count: int) -> Iterator[bytes]:
    """Damaged recipes, the same ones for the same seed."""
    draw = random.Random(seed)
    for _ in range(count):
        text = draw.choice(RECIPES)
        damage = draw.choice((_bytes, _words, _lines))
        content = text.encode()
        for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
            content = damage(content, draw)
        yield content


def _bytes(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content) + 1)
    end = min(len(content), start + draw.choice((0, 1, 1, 2, 10, 100)))
    piece = content[start:end]
    new = draw.choice(
        (
            b"",
            piece * 2,
            piece[::-1],
            bytes([draw.randrange(256)]),
            bytes(draw.randrange(32, 127) for _ in range(draw.randrange(4))),
            draw.choice(_POOL).encode(),
        )
    )
    return content[:start] + new + content[end:]


def _words(content: bytes, draw: random.Random) -> bytes:
    text = content.decode("utf-8", "replace")
    words = list(tokens(text))
    if not words:
        return draw.choice(_POOL).encode()
    one, other = draw.choice(words), draw.choice(words)
    new = draw.choice(("", one.text + " " + one.text, other.text, draw.choice(_POOL), "\n#"))
    return (text[: one.start] + new + text[one.end :]).encode()


def _lines(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    at, to = draw.randrange(len(lines)), draw.randrange(len(lines))
    moved = lines.pop(at) if draw.random() < 0.5 else lines[at]
    lines.insert(to, moved)
    return b"\n".join(lines)


def answer(content: bytes, folder: Path) -> None:
    """Read, check and format a damaged recipe; every mistake found must be well told."""
    path = folder / "mutant.lotto"
    path.write_bytes(content)
    checked = _timed(lambda: _check(path, folder), content)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        assert checked.startswith("error[recipe-not-readable]")
        return
    source = Source("mutant.lotto", text)
    parsed = _timed(lambda: parse(source), content)
    _timed(lambda: parse_partial(source), content)
    formatted = _timed(lambda: _format(source), content)
    assert formatted == parsed, content


def _check(path: Path, folder: Path) -> None:
    findings = Findings()
    try:
        _, program = front(Request(path, Store(folder / "store")), findings, deep=False)
        note_unknown_layers(program, findings)
    finally:
        for found in findings.diagnostics:
            assert render(found)
            assert to_json(found)["message"]


def _format(source: Source) -> None:
    """Format, and hold the formatter to its laws where it formats."""
    result = format_recipe(source)
    after = Source("formatted.lotto", result)
    assert parse(after) == parse(source)
    assert format_recipe(after) == result


def _timed(work: Callable[[], object], content: bytes) -> str:
    """What a person is told, in time; empty if there is nothing to tell."""
    began = time.process_time()
    told: LottoError | None = None
    try:
        work()
    except LottoError as error:
        told = error
    except Exception as error:
        raise AssertionError(f"a fault at {content!r}") from error
    assert time.process_time() - began < SECONDS, content
    if told is None:
        return ""
    assert told.exit_code in (2, 3), content
    assert told.diagnostics, content
    for found in told.diagnostics:
        assert to_json(found)["code"] == found.code, content
        for label in found.labels:
            assert 0 <= label.span.start <= label.span.end <= len(label.span.source.text), content
    return str(told)
