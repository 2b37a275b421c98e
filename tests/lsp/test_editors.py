"""The TextMate grammar colours every word as the compiler reads it, and the extension is whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lotto_words import KEYS, RECIPES, ROOT, words
from lsp_client import Client

from lottoc.grammar.scan import BLOCK_KINDS, STATEMENTS

HERE = ROOT / "grammar" / "editors"
GRAMMAR = json.loads((HERE / "lotto.tmLanguage.json").read_text())
SCOPES = {
    "comment": "comment.line.number-sign.lotto",
    "string": "string.quoted.double.lotto",
    "number": "constant.numeric.lotto",
    "keyword": "keyword.declaration.lotto",
    "type": "entity.name.type.lotto",
    "unit": "keyword.other.unit.lotto",
    "operator": "keyword.operator.lotto",
    "key": "support.type.property-name.lotto",
    "other key": "variable.parameter.lotto",
    "argument": ("variable.parameter.lotto", "support.type.property-name.lotto"),
    "attribute": "variable.other.property.lotto",
    "function": "support.function.lotto",
}
TOKENS = {
    "key": "property",
    "other key": "property",
    "argument": "parameter",
    "attribute": "property",
    "unit": "keyword",
}


def rules(patterns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The patterns, with includes resolved."""
    return [GRAMMAR["repository"][p["include"][1:]] if "include" in p else p for p in patterns]


def colours(line: str) -> Iterator[tuple[int, int, str]]:
    """What a TextMate engine makes of a line: start, end and scope of every match."""
    at, top = 0, rules(GRAMMAR["patterns"])
    while at < len(line):
        found = [
            (m.start(), number, m)
            for number, rule in enumerate(top)
            if (m := re.compile(rule.get("match") or rule["begin"]).search(line, at))
        ]
        if not found:
            return
        _, number, match = min(found, key=lambda f: f[:2])
        rule = top[number]
        end = match.end()
        if "begin" in rule:
            end = string_end(rule, line, end)
        if "name" in rule:
            yield match.start(), end, rule["name"]
        for group, capture in rule.get("captures", {}).items():
            yield *match.span(int(group)), capture["name"]
        at = max(end, at + 1)


def string_end(rule: dict[str, Any], line: str, at: int) -> int:
    """Where a begin-end rule ends, past what matches inside it."""
    while True:
        end = re.compile(rule["end"]).search(line, at)
        inside = [
            m for r in rules(rule["patterns"]) if (m := re.compile(r["match"]).search(line, at))
        ]
        first = min(inside, key=lambda m: m.start(), default=None)
        if end is None or first is None or end.start() <= first.start():
            return end.end() if end else len(line)
        at = first.end()


def expressions(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (node[k] for k in ("match", "begin", "end") if isinstance(node.get(k), str))
        for value in node.values():
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def alternatives(rule: str) -> set[str]:
    """The words of the longest list `(a|b|c)` in a rule."""
    lists = re.findall(r"\(([a-z_]+(?:\|[a-z_]+)+)\)", GRAMMAR["repository"][rule]["match"])
    return set(max(lists, key=len).split("|"))


def test_every_expression_means_the_same_to_oniguruma_and_to_python() -> None:
    found = list(expressions(GRAMMAR))
    assert len(found) > 12
    for expression in found:
        re.compile(expression)
        # \h is a hex digit there, \Z and \A anchor otherwise, \w and \d take other alphabets in.
        assert not re.search(r"\\[hHAZzGKRXwdbs]|\(\?P|\[\[:|[*+?]\+", expression), expression
        for behind in re.findall(r"\(\?<[!=]([^()]*)\)", expression):
            assert re.fullmatch(r"\[[^]]*\]|\\?.", behind), "one character wide, for every engine"


def test_its_words_are_the_compilers() -> None:
    assert alternatives("head") == set(BLOCK_KINDS)
    assert alternatives("statement") == set(STATEMENTS)
    missing, extra = KEYS - alternatives("key"), alternatives("key") - KEYS
    assert (missing, extra) == (set(), set()), "correct the list in lotto.tmLanguage.json"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_word_of_a_recipe_gets_its_scope(path: Path) -> None:
    text = path.read_text()
    scopes: dict[int, set[tuple[str, str]]] = {}
    at = 0
    for line in text.split("\n"):
        for start, end, scope in colours(line):
            scopes.setdefault(at + start, set()).add((line[start:end], scope))
        at += len(line) + 1
    seen = 0
    for word in words(text):
        wanted = SCOPES[word.kind]
        choices = (wanted,) if isinstance(wanted, str) else wanted
        given = scopes.get(word.start, set())
        assert any((word.text, scope) in given for scope in choices), (word, given)
        seen += 1
    assert seen > 4


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_server_colours_every_word_alike(path: Path, editor: Client) -> None:
    text = path.read_text()
    legend = editor.hello["capabilities"]["semanticTokensProvider"]["legend"]["tokenTypes"]
    editor.open(path, text)
    document = {"uri": path.as_uri()}
    data = editor.request("textDocument/semanticTokens/full", textDocument=document)["data"]
    given, line, column = {}, 0, 0
    lines = [row.encode("utf-16-le") for row in text.split("\n")]
    for down, right, length, kind, _ in zip(*[iter(data)] * 5, strict=True):
        line, column = line + down, right if down else column + right
        start = sum(len(row.decode("utf-16-le")) + 1 for row in lines[:line])
        start += len(lines[line][: 2 * column].decode("utf-16-le"))
        shown = lines[line][2 * column : 2 * (column + length)].decode("utf-16-le")
        given[start] = (shown, legend[kind])
    for word in words(text):
        assert given.get(word.start) == (word.text, TOKENS.get(word.kind, word.kind)), word


def test_the_extension_is_whole() -> None:
    package = json.loads((HERE / "package.json").read_text())
    contributed = package["contributes"]
    files = [package["main"], contributed["languages"][0]["configuration"]]
    files += [grammar["path"] for grammar in contributed["grammars"]]
    assert all((HERE / file).is_file() for file in files)
    assert contributed["grammars"][0]["scopeName"] == GRAMMAR["scopeName"]
    assert contributed["languages"][0]["extensions"] == [".lotto"]
    configuration = json.loads((HERE / "language-configuration.json").read_text())
    for rule in configuration["indentationRules"].values():
        re.compile(rule)
    assert 'args: ["lsp"]' in (HERE / "extension.js").read_text()
    assert set(package["dependencies"]) == {"vscode-languageclient"}
