"""A recipe that lacks nothing but one word has no other mistakes than those of syntax."""

from __future__ import annotations

from pathlib import Path

import pytest

from lottoc.diagnostics import Diagnostic, Findings, LottoError, RecipeError, Source
from lottoc.engine.store import Store
from lottoc.front import Request, front
from lottoc.grammar.parser import parse
from lottoc.grammar.tokens import tokens
from lottoc.lower import partly


def found(path: Path, text: str) -> list[Diagnostic]:
    """What `lottoc check` says of a text."""
    path.write_text(text)
    try:
        front(Request(path, Store(path.parent / "store")), Findings(), deep=False)
    except LottoError as error:
        return list(error.diagnostics)
    return []


def syntax_errors(text: str) -> list[Diagnostic]:
    try:
        parse(Source("recipe.lotto", text))
    except RecipeError as error:
        return list(error.diagnostics)
    return []


@pytest.mark.parametrize("name", ["trained.lotto", "pruned.lotto"])
def test_a_lost_word_has_no_echo(project: Path, name: str) -> None:
    text = (project / name).read_text()
    assert found(project / name, text) == []
    lost = 0
    for word in tokens(text):
        damaged = text[: word.start] + text[word.end :]
        said = syntax_errors(damaged)
        if said:
            lost += 1
            told = found(project / "damaged.lotto", damaged)
            assert [(d.code, d.message) for d in told] == [(d.code, d.message) for d in said]
    assert lost > 40


def test_mistakes_elsewhere_are_told_whichever_word_is_lost(project: Path) -> None:
    """Only where an item begins may not be seen any more, or its kind."""
    text = (project / "pruned.lotto").read_text()
    model = text.index("}") + 1
    wrong = 'ticket wrong { layers = "fc1"   sparsity = 200% }\n'
    for word in tokens(text, model):
        damaged = text[: word.start] + text[word.end :]
        if syntax_errors(damaged):
            told = [d.code for d in found(project / "damaged.lotto", wrong + damaged)]
            unseen = word.text in ("ticket", "emit", "half", "{")
            assert "out-of-range" in told or unseen, word.text


def test_long_recipes_are_not_looked_through(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'model net { source = onnx("net-dense.onnx") }\nticket a { layers = x }\nparam b\n'
    assert len(found(project / "a.lotto", text)) == 3
    monkeypatch.setattr(partly, "LONGEST", 20)
    assert [d.code for d in found(project / "a.lotto", text)] == ["missing-equals"]
