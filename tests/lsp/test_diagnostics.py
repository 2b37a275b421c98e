"""What the server publishes is what `lottoc check` says, at the place where it is seen."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from lsp_client import Client, ServerError, piece, where
from typer.testing import CliRunner

from lottoc.cli import app

GOOD = """# θ_0 and 🎯 stand here
param target = 75%
model net { source = onnx("net.onnx") }
ticket half { layers = "fc1" | "fc2"   pattern = 2:4 }
ticket most { layers = linear   sparsity = target   scope = erk }
emit onnx "half.onnx" { ticket = half   format = packed }
emit onnx "most.onnx" { ticket = most }
"""
SEVERITIES = {"error": 1, "warning": 2, "note": 3}


def test_a_good_recipe_has_none(editor: Client, folder: Path) -> None:
    assert editor.open(folder / "good.lotto", GOOD) == []


def test_the_unsaved_text_is_checked_and_files_are_relative_to_it(
    editor: Client, folder: Path
) -> None:
    path = folder / "below" / "r.lotto"
    path.parent.mkdir()
    found = editor.open(path, GOOD)
    assert [d["code"] for d in found] == ["model-not-found"]
    assert editor.replace(path.as_uri(), GOOD.replace("net.onnx", "../net.onnx")) == []
    assert not path.exists()


def test_an_error_has_place_severity_help_and_relatives(editor: Client, folder: Path) -> None:
    text = GOOD.replace('"fc1" | "fc2"', "linear").replace("2:4", "8:16")
    (found,) = editor.open(folder / "axis.lotto", text)
    assert found["code"] == "nm-axis"
    assert found["severity"] == 1
    assert found["source"] == "lottoc"
    assert piece(text, found["range"]) == "linear"
    assert 'help: leave it dense with  layers = linear - "head"' in found["message"]
    related = {
        r["message"]: piece(text, r["location"]["range"]) for r in found["relatedInformation"]
    }
    assert related == {'selects "head" (12 → 2)': "linear", "asked for here": "8:16"}


def test_warnings_and_notes_are_softer(editor: Client, folder: Path) -> None:
    text = GOOD.replace("2:4", "1:4").replace("sparsity = target", "sparsity = 10%")
    found = editor.open(folder / "soft.lotto", text)
    assert {d["code"]: d["severity"] for d in found} == {"unused-param": 2, "nm-reading": 3}
    faded = [d["code"] for d in found if d.get("tags") == [1]]
    assert faded == ["unused-param"]


def test_closing_takes_them_back(editor: Client, folder: Path) -> None:
    path = folder / "close.lotto"
    assert editor.open(path, "ticket") != []
    editor.notify("textDocument/didClose", textDocument={"uri": path.as_uri()})

    def empty(message: dict[str, Any]) -> bool:
        params = message.get("params") or {}
        return params.get("uri") == path.as_uri() and params.get("diagnostics") == []

    assert editor.wait(empty)


def test_saving_looks_at_the_files_again(editor: Client, folder: Path) -> None:
    path = folder / "save.lotto"
    text = GOOD.replace("net.onnx", "later.onnx")
    assert [d["code"] for d in editor.open(path, text)] == ["model-not-found"]
    shutil.copy(folder / "net.onnx", folder / "later.onnx")
    editor.notify("textDocument/didSave", textDocument={"uri": path.as_uri()})
    assert editor.diagnostics(path.as_uri()) == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_the_protocol_says(editor: Client, folder: Path, end: str) -> None:
    text = "# one\u2028two\x0cthree\x85four\nmodel net { source = onnx('x') }\n"
    (found,) = editor.open(folder / "lines.lotto", text.replace("\n", end))
    assert found["range"]["start"] == {"line": 1, "character": 26}


# UTF-16, the default, is what the test of random edits counts in.
@pytest.mark.parametrize(("encoding", "column"), [("utf-8", 30 + 2 + 4), ("utf-32", 30 + 1 + 1)])
def test_columns_are_in_the_encoding_agreed_on(
    folder: Path, environment: None, encoding: str, column: int
) -> None:
    client = Client(folder, capabilities={"general": {"positionEncodings": [encoding]}})
    assert client.hello["capabilities"]["positionEncoding"] == encoding
    line = 'ticket half { layers = "θ🎯" |   linaer   pattern = 2:4 }'
    bad = GOOD.replace(GOOD.split("\n")[3], line)
    path = folder / f"{encoding}.lotto"
    found = [d for d in client.open(path, bad) if "linaer" in d["message"]]
    assert found[0]["range"]["start"] == {"line": 3, "character": column}
    place = {"line": 3, "character": column}
    end = {"line": 3, "character": column + 6}
    client.change(path.as_uri(), {"range": {"start": place, "end": end}, "text": "linear"})
    assert all("linaer" not in d["message"] for d in client.diagnostics(path.as_uri()))
    assert client.stop() == (0, "")


def test_many_changes_in_one_message_apply_in_order(editor: Client, folder: Path) -> None:
    path = folder / "many.lotto"
    editor.open(path, "")
    start = {"line": 0, "character": 0}
    pieces = [GOOD[i : i + 40] for i in range(0, len(GOOD), 40)]
    changes = [{"range": {"start": start, "end": start}, "text": p} for p in reversed(pieces)]
    editor.change(path.as_uri(), *changes)
    assert editor.diagnostics(path.as_uri()) == []


def checked(path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Counter[Any]:
    """What `lottoc check` says of a file with this text."""
    path.write_bytes(text.encode())
    monkeypatch.chdir(path.parent)
    answer = CliRunner().invoke(app, ["check", "--format", "json", path.name])
    found: Counter[Any] = Counter()
    for d in json.loads(answer.stdout)["diagnostics"]:
        label = d["labels"][0]
        place = (label["line"], label["column"], label["end_line"], label["end_column"])
        found[d["code"], SEVERITIES[d["severity"]], d["message"], *place] += 1
    return found


def shown(text: str, diagnostics: list[dict[str, Any]]) -> Counter[Any]:
    """The same of what was published, columns in characters."""
    lines = text.split("\n")

    def column(place: dict[str, int]) -> tuple[int, int]:
        units = lines[place["line"]].encode("utf-16-le")[: 2 * place["character"]]
        return place["line"] + 1, len(units.decode("utf-16-le")) + 1

    found: Counter[Any] = Counter()
    for d in diagnostics:
        message = d["message"].split("\n")[0]
        place = (*column(d["range"]["start"]), *column(d["range"]["end"]))
        found[d["code"], d["severity"], message, *place] += 1
    return found


SCRAPS = (
    *'{}()[]="#,.|&-~ \nθ🎯',
    *("layers", "linear", "ticket x {", "= ", "half", "target", "2:4", "90%", "imp(rounds = 3)"),
    *("sparsity = 50%", "like = most", 'emit onnx "a.onnx" { ticket = half }', "100 steps"),
    *("require half.sparsity >= 50%\n", "mask m = half.mask & most.mask\n", "param p = 3\n"),
)


def ask_everything(editor: Client, uri: str, line: int, column: int) -> None:
    """Ask whatever can be asked at a place; the fixture looks for faults in the log."""
    place, document = {"line": line, "character": column}, {"uri": uri}
    for method in ("hover", "completion", "definition", "documentHighlight"):
        editor.at(method, uri, line, column)
    for method in ("documentSymbol", "foldingRange", "semanticTokens/full"):
        editor.request(f"textDocument/{method}", textDocument=document)
    everything = {"start": {"line": 0, "character": 0}, "end": place}
    editor.request(
        "textDocument/codeAction",
        textDocument=document,
        range=everything,
        context={"diagnostics": []},
    )
    with contextlib.suppress(ServerError):  # it may refuse, with a reason
        editor.at("rename", uri, line, column, newName="anew")


def test_random_edits_leave_what_a_check_says(
    editor: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(7)
    path = folder / "random.lotto"
    uri, text = path.as_uri(), GOOD
    editor.open(path, text)
    seen: Counter[str] = Counter()
    for number in range(200):
        if number % 40 == 39:
            editor.change(uri, {"text": GOOD})
            text = GOOD
        start = draw.randrange(len(text) + 1)
        end = min(len(text), start + draw.choice([0, 0, 0, 1, 1, 5, 20]))
        scrap = draw.choice([*SCRAPS, ""])
        places = [dict(zip(("line", "character"), where(text, "", 0, start), strict=True))]
        places.append(dict(zip(("line", "character"), where(text, "", 0, end), strict=True)))
        span = {"start": places[0], "end": places[1]}
        editor.change(uri, {"range": span, "text": scrap})
        text = text[:start] + scrap + text[end:]
        found = shown(text, editor.diagnostics(uri))
        assert found == checked(folder / "random-check.lotto", text, monkeypatch), text
        seen.update(code for code, *_ in found.elements())
        if number % 2:
            ask_everything(editor, uri, *where(text, "", 0, draw.randrange(len(text) + 1)))
    assert len(seen) > 10  # the edits did reach many kinds of mistakes
