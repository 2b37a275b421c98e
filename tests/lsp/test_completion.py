"""What is offered while something is typed: as much as fits, and nothing that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsp_client import TRAINED, Client, piece, where

from lottoc import criteria


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
split parts { ticket = a   partitions = random(2) }
rank nets { models = [net]   proxies = [synflow] }
"""


@pytest.mark.parametrize(
    ("typed", "some", "none"),
    [
        (
            "‸",
            "model data training ticket sanity split rank search emit param mask require",
            "stability half",
        ),
        ("tic‸", "ticket", "a"),
        ("ticket b { ‸ }", "layers criterion like mask", "source stability"),
        ("ticket b { layers = linear\n  sp‸\n pattern = 2:4 }", "sparsity scope", "layers pattern"),
        ("ticket b { layers = ‸", 'all linear conv size "fc1" "head" p', "layers a"),
        ("ticket b { layers = linear - ‸\n  sparsity = 50% }", '"fc2" first', "sparsity"),
        ('ticket b { layers = linear - "f‸" }', "fc1 fc2 head", "linear"),
        ("ticket b { criterion = ‸", "magnitude random snip sparsegpt", "imp"),
        ("ticket b { criterion = grasp(‸)", "samples seed norm temperature", "layers"),
        ("ticket b { criterion = snip(norm = ‸)", "batch running", "seed"),
        ("sanity s { tickets = [‸", "a", "net shuffle"),
        ("sanity s { controls = [‸", "shuffle reinit invert", "a"),
        ("split s { ticket = ‸", "a", "net by_class"),
        ("split s { partitions = ‸", "by_class random", "a net"),
        ('emit onnx "o" { ticket = parts.‸', "core specialist", "mask accuracy"),
        ('emit onnx "o" { ticket = a   swap = parts.‸', "specialists", "mask"),
        ("ticket b { model = nets.‸ }", "best", "mask"),
        ("search s { proxies = [‸", "synflow naswot", "a"),
        ("rank s { models = [‸", "net", "a"),
        ("rank s { proxies = [snip, ‸", "synflow naswot", "a"),
        ("ticket b { scope = ‸", "global layerwise uniform erk", "magnitude"),
        ("ticket b { method = ‸", "one_shot imp rigl edge_popup subset_sum", "magnitude"),
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
        ("require a.‸ >= 1", "accuracy loss sparsity params flops", "mask a"),
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


def test_one_batch_size_is_offered_where_models_have_one(editor: Client, folder: Path) -> None:
    head = MODEL + "ticket b { layers = all   sparsity = 50% }\nemit "
    assert "fixed(1)" in labels(editor, folder, head + 'onnx "b.onnx" { batch = ‸ }')
    assert "fixed(1)" not in labels(editor, folder, head + 'fx "b.pt2" { batch = ‸ }')


def test_what_is_offered_is_known_to_the_checker(folder: Path, environment: None) -> None:
    client = Client(folder, capabilities={})
    refused = {"unknown-name", "unknown-key", "not-yet", "unexpected-token", "missing-value"}
    heads = {
        "model": "model n { ‸ }",
        "data": "data n { ‸ }",
        "training": "training n { ‸ }",
        "ticket": "ticket n { like = one   ‸ }",
        "emit": 'emit onnx "n.onnx" { ‸ }',
        "emit fx": 'emit fx "n.pt2" { ‸ }',
    }
    tried = 0
    for head in heads.values():
        for key in labels(client, folder, f"{TRAINED}{head}"):
            offers = labels(client, folder, TRAINED + head.replace("‸", f"{key} = ‸"))
            for word in offers.values():
                if key == "criterion" and "activations" in criteria.needs(word.split("(")[0]):
                    continue  # for models of other sources than this one
                text = TRAINED + head.replace("‸", f"{key} = {word}")
                found = {d["code"] for d in client.open(folder / "offer.lotto", text)}
                assert not found & refused, text
                tried += 1
    assert tried > 40
    assert client.stop() == (0, "")
