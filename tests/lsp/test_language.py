"""What the server answers: help, completion, definitions, renaming, outline, quick fixes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lsp_client import Client, ServerError, edited, piece, where

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
TRAINED = """model net { source = torch("net.py:net") }
data set { train = npz("data.npz", x = "x_train", y = "y_train") }
training sgd { optimizer = sgd(lr = 0.1)   batch = 10   length = 40 steps }
ticket one { layers = linear   sparsity = 50%   method = imp(rounds = 2, rewind = 1 steps) }
"""


@pytest.fixture
def uri(editor: Client, folder: Path) -> str:
    path = folder / "recipe.lotto"
    found = editor.open(path, RECIPE)
    assert [d["code"] for d in found] == []
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
        ("packed", "how a weight is stored"),
        ("dense", "the unpruned model"),
        ("collapse", "the number of layers that keep nothing"),
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


def labels(editor: Client, folder: Path, text: str) -> dict[str, str]:
    """What is offered at the mark ‸ of a text, and what each offer inserts."""
    path = folder / "typing.lotto"
    before, _, after = text.partition("‸")
    editor.open(path, before + after)
    place = where(before, "", 0, len(before))
    items = editor.at("completion", path.as_uri(), *place)["items"]
    return {item["label"]: item["textEdit"]["newText"] for item in items}


MODEL = """model net { source = onnx("net.onnx") }
param p = 1
ticket a { layers = all   sparsity = 50% }
"""


@pytest.mark.parametrize(
    ("typed", "some", "none"),
    [
        ("‸", "model data training ticket emit param mask require", "stability half"),
        ("tic‸", "ticket", "a"),
        ("ticket b { ‸ }", "layers criterion like mask", "source stability"),
        ("ticket b { layers = linear\n  sp‸\n pattern = 2:4 }", "sparsity scope", "layers pattern"),
        ("ticket b { layers = ‸", 'all linear conv size "fc1" "head" p', "layers a"),
        ("ticket b { layers = linear - ‸\n  sparsity = 50% }", '"fc2" first', "sparsity"),
        ('ticket b { layers = linear - "f‸" }', "fc1 fc2 head", "linear"),
        ("ticket b { criterion = ‸", "magnitude random", "snip"),
        ("ticket b { scope = ‸", "global layerwise uniform erk", "magnitude"),
        ("ticket b { method = ‸", "one_shot imp", "rigl"),
        ("ticket b { method = imp(‸)", "rounds rewind retrain optimizer", "layers"),
        ("ticket b { method = imp(rounds = 2, ‸)", "rewind retrain", "rounds"),
        ("ticket b { method = imp(retrain = ‸)", "rewind learning_rate finetune", "rounds"),
        ("ticket b { method = imp(rewind = 10 ‸)", "steps epochs", "rounds"),
        ("ticket b { like = ‸ }", "a", "b p dense"),
        ("ticket b { mask = ‸ }", "a.mask shuffle", "b.mask dense.mask"),
        ("ticket b { model = ‸ }", "net", "a p"),
        ("training t { optimizer = ‸", "sgd adam adamw", "cosine"),
        ("training t { schedule = ‸", "constant cosine step", "sgd"),
        ("emit ‸", "onnx", "model"),
        ('emit onnx "o" { ticket = ‸', "a dense", "net"),
        ('emit onnx "o" { format = ‸', "auto dense sparse packed", "a"),
        ('emit onnx "o" { target = "‸" }', "onnxruntime-cpu", "a"),
        ("require ‸", "a dense collapse", "net"),
        ("require a.‸ >= 1", "accuracy loss sparsity params", "mask a"),
        ("require collapse(‸", "a", "dense"),
        ("mask m = a.‸", "mask", "accuracy"),
        ('model n { source = onnx("‸") }', "net.onnx", "net.py data.npz"),
        ('data d { train = npz("d‸") }', "data.npz", "net.onnx"),
        ('model n { source = torch("‸") }', "net.py", "net.onnx"),
    ],
)
def test_completion(editor: Client, folder: Path, typed: str, some: str, none: str) -> None:
    offered = labels(editor, folder, MODEL + typed)
    assert set(some.split()) - set(offered) == set()
    assert set(none.split()) & set(offered) == set()


@pytest.mark.parametrize("typed", ["# ‸", "param x = ‸", "ticket ‸", "ticket b { layers = 3‸"])
def test_nothing_is_offered_where_anything_or_nothing_may_stand(
    editor: Client, folder: Path, typed: str
) -> None:
    assert labels(editor, folder, MODEL + typed) == {}


def test_what_is_offered_replaces_what_is_typed(editor: Client, folder: Path) -> None:
    path = folder / "replace.lotto"
    text = MODEL + 'ticket b { like = "θ🎯"   crit }'
    editor.open(path, text)
    items = editor.at("completion", path.as_uri(), *where(text, "crit", 0, 4))["items"]
    (item,) = [i for i in items if i["label"] == "criterion"]
    assert piece(text, item["textEdit"]["range"]) == "crit"
    assert item["textEdit"]["newText"] == "criterion = $0"
    assert "what makes a weight worth keeping" in item["documentation"]["value"]


def test_an_editor_without_snippets_gets_plain_text(folder: Path, environment: None) -> None:
    client = Client(folder, capabilities={})
    offered = labels(client, folder, MODEL + "ticket b { method = ‸")
    assert offered["imp"] == "imp(rounds = 10, rewind = 0 steps)"
    assert client.stop() == (0, "")


def test_a_space_offers_only_after_a_sign(editor: Client, folder: Path) -> None:
    path = folder / "space.lotto"
    text = MODEL + "ticket b { layers = "
    editor.open(path, text)
    context = {"triggerKind": 2, "triggerCharacter": " "}
    line, column = where(text, "", 0, len(text))
    assert editor.at("completion", path.as_uri(), line, column, context=context)["items"]
    assert not editor.at("completion", path.as_uri(), line, 7, context=context)["items"]


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
    assert editor.replace(uri, text) == []
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
    assert editor.replace(path.as_uri(), fixed) == []


def test_what_is_offered_is_known_to_the_checker(folder: Path, environment: None) -> None:
    client = Client(folder, capabilities={})
    refused = {"unknown-name", "unknown-key", "not-yet", "unexpected-token", "missing-value"}
    heads = {
        "model": "model n { ‸ }",
        "data": "data n { ‸ }",
        "training": "training n { ‸ }",
        "ticket": "ticket n { like = one   ‸ }",
        "emit": 'emit onnx "n.onnx" { ‸ }',
    }
    tried = 0
    for head in heads.values():
        for key in labels(client, folder, f"{TRAINED}{head}"):
            offers = labels(client, folder, TRAINED + head.replace("‸", f"{key} = ‸"))
            for word in offers.values():
                text = TRAINED + head.replace("‸", f"{key} = {word}")
                found = {d["code"] for d in client.open(folder / "offer.lotto", text)}
                assert not found & refused, text
                tried += 1
    assert tried > 40
    assert client.stop() == (0, "")
