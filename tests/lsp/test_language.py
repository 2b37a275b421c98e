"""What the server answers: help, definitions, renaming, outline, quick fixes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lsp_client import TRAINED, Client, ServerError, edited, piece, where

from lottoc.diagnostics import Source
from lottoc.grammar.format import format_recipe

RECIPE = """# winning stands here too, θ🎯
param target = 75%
model net { source = onnx("net.onnx") }
ticket half { layers = "fc1" | "fc2"   pattern = 2:4 }
ticket most { layers = linear - "fc2"   sparsity = target   scope = erk
  criterion = random(seed = 1) }
ticket kept { mask = half.mask & both }
ticket rest { mask = ~half.mask }
mask both = most.mask | (half).mask
require half.sparsity >= dense.sparsity + 1%
require collapse(most) == none
emit onnx "half.onnx" { ticket = half   format = packed }
"""


@pytest.fixture
def uri(editor: Client, folder: Path) -> str:
    path = folder / "recipe.lotto"
    found = editor.open(path, RECIPE)
    assert [d["code"] for d in found] == ["unused-ticket"] * 2  # kept and rest
    return path.as_uri()


def help_at(editor: Client, uri: str, text: str, words: str, nth: int = 0) -> str:
    answer = editor.at("hover", uri, *where(text, words, nth, 1))
    return answer["contents"]["value"] if answer else ""


def row(folder: str, key: str) -> str:
    """The meaning of a key in specs/language.md."""
    text = (Path(__file__).parents[2] / "specs" / "language.md").read_text()
    section = text[text.index(f"\n### `{folder}") :]
    line = next(x for x in section.splitlines() if x.startswith("| `") and f"`{key}`" in x[:60])
    return line.split("|")[4].strip()


@pytest.mark.parametrize(
    ("kind", "key"),
    [("ticket", "layers"), ("ticket", "scope"), ("model", "source"), ("emit", "format")],
)
def test_a_key_is_explained_by_the_specification(
    editor: Client, uri: str, kind: str, key: str
) -> None:
    assert row(kind, key) in help_at(editor, uri, RECIPE, f"{key} =")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("model net", "a network and where it comes from"),
        ("require", "what must hold, or the build fails"),
        ("erk", "density ∝ Σ dims / Π dims"),
        ("random(", "seed = 0"),
        ("seed = 1", "whole number, default: `0`"),
        ("2:4", "2 of every 4 are kept: sparsity 50 %"),
        ("packed", "one bit a weight and the kept values"),
        ("dense", "the unpruned model"),
        ("collapse", "the number of layers that carry no signal"),
    ],
)
def test_words_are_explained(editor: Client, uri: str, words: str, expected: str) -> None:
    assert expected in help_at(editor, uri, RECIPE, words)


def test_comments_are_not_explained(editor: Client, uri: str) -> None:
    assert help_at(editor, uri, RECIPE, "winning") == ""


def test_a_selection_shows_its_layers(editor: Client, uri: str) -> None:
    part = help_at(editor, uri, RECIPE, "linear - ")
    assert "3 layers, 920 weights" in part  # 32·16 + 12·32 + 2·12
    assert "| fc1 | 32 × 16 | 512 |" in part
    whole = help_at(editor, uri, RECIPE, ' - "fc2"')
    assert "2 layers, 536 weights" in whole
    assert "fc2 |" not in whole


def test_a_ticket_shows_what_it_will_keep(editor: Client, uri: str) -> None:
    half = help_at(editor, uri, RECIPE, "half {")
    assert "keeps 448 of 896 selected weights: sparsity 50 %" in half
    assert "| fc1 | 32 × 16 | 512 | 256 |" in half
    assert '- line 12: ticket of emit onnx "half.onnx"' in half
    assert "- line 7: mask of ticket kept" in half
    # erk: 134 of 536 are kept, in proportion to 32 + 16 and 2 + 12, of which head has but 24
    most = help_at(editor, uri, RECIPE, "most {")
    assert "keeps 134 of 536 selected weights: sparsity 75 %" in most
    assert "| head | 2 × 12 | 24 | 24 |" in most
    assert "| fc1 | 32 × 16 | 512 | 110 |" in most
    assert "keeps 448 of 896 selected weights" in help_at(editor, uri, RECIPE, "rest {")


def test_names_are_explained_where_they_are_used(editor: Client, uri: str) -> None:
    assert "`target = 75%`" in help_at(editor, uri, RECIPE, "target   scope")
    assert "keeps 448 of 896" in help_at(editor, uri, RECIPE, "half.sparsity")
    assert "3 layers, 920 weights" in help_at(editor, uri, RECIPE, "net {")


def test_a_torch_model_is_not_loaded(editor: Client, folder: Path) -> None:
    path = folder / "trained.lotto"
    (found,) = editor.open(path, TRAINED)
    assert (found["code"], found["severity"]) == ("layers-unknown", 3)
    assert "not known yet" in help_at(editor, path.as_uri(), TRAINED, "linear")
    assert "train: 40 examples of shape [16]" in help_at(editor, path.as_uri(), TRAINED, "set {")
    assert "T = 40 steps" in help_at(editor, path.as_uri(), TRAINED, "sgd {")
    maps = Path(f"/proc/{editor.process.pid}/maps")
    if maps.exists():
        assert "libtorch" not in maps.read_text()


def places(text: str, found: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(f["range"]["start"]["line"], piece(text, f["range"])) for f in found]


def test_definition_references_and_highlights(editor: Client, uri: str) -> None:
    use = where(RECIPE, "half.sparsity")
    found = editor.at("definition", uri, *use)
    assert (found["uri"], places(RECIPE, [found])) == (uri, [(3, "half")])
    lines = [3, 6, 7, 8, 9, 11]
    references = editor.at("references", uri, *use, context={"includeDeclaration": True})
    assert places(RECIPE, references) == [(line, "half") for line in lines]
    references = editor.at("references", uri, *use, context={"includeDeclaration": False})
    assert places(RECIPE, references) == [(line, "half") for line in lines[1:]]
    shown = editor.at("documentHighlight", uri, *use)
    assert [h["kind"] for h in shown] == [3, 2, 2, 2, 2, 2]
    assert editor.at("definition", uri, *where(RECIPE, "winning")) is None


def test_definition_of_a_torch_model_is_its_function(editor: Client, folder: Path) -> None:
    path = folder / "function.lotto"
    editor.open(path, TRAINED)
    found = editor.at("definition", path.as_uri(), *where(TRAINED, "net.py", 0, 2))
    line = (folder / "net.py").read_text().split("\n").index("def net():")
    assert (found["uri"], found["range"]["start"]["line"]) == ((folder / "net.py").as_uri(), line)


@pytest.mark.parametrize(
    ("words", "count"), [("half", 6), ("net", 1), ("target", 2), ("both", 2), ("most {", 3)]
)
def test_rename(editor: Client, uri: str, words: str, count: int) -> None:
    at = where(RECIPE, words)
    old = piece(RECIPE, editor.at("prepareRename", uri, *at))
    edits = editor.at("rename", uri, *at, newName="anew")["changes"][uri]
    assert {piece(RECIPE, e["range"]) for e in edits} == {old}
    assert len(edits) == count
    text = edited(RECIPE, edits)
    assert {d["code"] for d in editor.replace(uri, text)} == {"unused-ticket"}
    back = editor.at("rename", uri, *where(text, "anew"), newName=old)["changes"][uri]
    assert edited(text, back) == RECIPE


@pytest.mark.parametrize(
    ("words", "new", "why"),
    [
        ("half", "2half", "not a name"),
        ("half", "θ", "not a name"),
        ("half", "", "not a name"),
        ("half", "most", "it is the ticket of line 5"),
        ("half", "both", "it is the mask of line 9"),
        ("half", "dense", "the unpruned model"),
        ("half", "none", "something else"),
        ("target", "erk", "something else"),
        ("target", "linear", "something else"),
        ("dense", "other", "cannot be renamed"),
        ("linear", "other", "not the name of"),
    ],
)
def test_rename_refuses(editor: Client, uri: str, words: str, new: str, why: str) -> None:
    with pytest.raises(ServerError, match=why):
        editor.at("rename", uri, *where(RECIPE, words), newName=new)


def test_nothing_is_renamed_in_a_broken_recipe(editor: Client, folder: Path) -> None:
    path = folder / "broken.lotto"
    editor.open(path, RECIPE + "ticket {")
    with pytest.raises(ServerError, match="errors of form"):
        editor.at("prepareRename", path.as_uri(), *where(RECIPE, "half"))


def test_a_broken_recipe_still_answers(editor: Client, folder: Path) -> None:
    path = folder / "broken.lotto"
    text = RECIPE.replace("scope = erk", "scope = ").replace("require half", "require ) half")
    text += "ticket half2 { like = half   sparsity = target"
    assert editor.open(path, text) != []
    assert "keeps 448 of 896" in help_at(editor, path.as_uri(), text, "half {")
    assert "2 layers, 536 weights" in help_at(editor, path.as_uri(), text, ' - "fc2"')
    at = where(text, "target", 2)
    assert places(text, [editor.at("definition", path.as_uri(), *at)]) == [(1, "target")]


def test_outline_and_folds(editor: Client, folder: Path) -> None:
    path = folder / "outline.lotto"
    text = "# one\n# two\n" + RECIPE.replace("{ layers", "{\n  layers")
    editor.open(path, text)
    document = {"uri": path.as_uri()}
    symbols = editor.request("textDocument/documentSymbol", textDocument=document)
    names = [s["name"] for s in symbols]
    assert names[:6] == ["target", "net", "half", "most", "kept", "rest"]
    assert names[-1] == "half.onnx"
    half = symbols[2]
    assert [c["name"] for c in half["children"]] == ["layers", "pattern"]
    assert piece(text, half["selectionRange"]) == "half"
    folds = editor.request("textDocument/foldingRange", textDocument=document)
    assert sorted((f["startLine"], f["endLine"]) for f in folds) == [(0, 2), (5, 6), (7, 9)]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("scope = erq", "scope = erk"),
        ("sparsty = target", "sparsity = target"),
        ("random(sed = 1)", "random(seed = 1)"),
        ("sparsity = 75", "sparsity = 75%"),
        ("sparsity target", "sparsity = target"),
        ("onnx(net)", 'onnx("net")'),
        ("ticke most", "ticket most"),
    ],
)
def test_quick_fixes(editor: Client, folder: Path, wrong: str, right: str) -> None:
    path = folder / "fix.lotto"
    good = RECIPE.replace("sparsity = target", right) if "75" in right else RECIPE
    good = good.replace("net.onnx", "net") if "net" in right else good
    assert right in good
    text = good.replace(right, wrong)
    found = editor.open(path, text)
    document, fixed = {"uri": path.as_uri()}, []
    for diagnostic in found:
        actions = editor.request(
            "textDocument/codeAction",
            textDocument=document,
            range=diagnostic["range"],
            context={"diagnostics": [diagnostic]},
        )
        fixed += [edited(text, a["edit"]["changes"][path.as_uri()]) for a in actions]
    assert good in fixed


def test_a_layer_that_does_not_fit_can_be_left_out(editor: Client, folder: Path) -> None:
    path = folder / "axis-fix.lotto"
    text = RECIPE.replace('"fc1" | "fc2"', "linear").replace("2:4", "8:16")
    (found,) = editor.open(path, text)
    (action,) = editor.request(
        "textDocument/codeAction",
        textDocument={"uri": path.as_uri()},
        range=found["range"],
        context={"diagnostics": [found]},
    )
    fixed = edited(text, action["edit"]["changes"][path.as_uri()])
    assert 'layers = linear - "head"   pattern' in fixed
    left = [d["code"] for d in editor.replace(path.as_uri(), fixed)]
    assert left == ["unused-ticket"] * 2


def test_formatting_is_that_of_fmt(editor: Client, folder: Path) -> None:
    path = folder / "format.lotto"
    text = RECIPE.replace("ticket half {", "ticket   half {").replace(" = target", "=target")
    editor.open(path, text)
    options = {"tabSize": 4, "insertSpaces": True}
    ask = {"textDocument": {"uri": path.as_uri()}, "options": options}
    edits = editor.request("textDocument/formatting", **ask)
    result = edited(text, edits)
    assert result == format_recipe(Source("recipe", text))
    assert result != text
    editor.replace(path.as_uri(), result)
    assert editor.request("textDocument/formatting", **ask) == []
    editor.replace(path.as_uri(), result + "ticket {")
    assert not editor.request("textDocument/formatting", **ask)
