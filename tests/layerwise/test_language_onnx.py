"""Language models of transformers as ONNX, beside the same model pruned in transformers."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("transformers")
import onnx
import onnxruntime
import torch
from small_networks import llama, words
from test_layerwise_recipes import compile_

from lottoc.backends.onnx import inspect
from lottoc.diagnostics import InputError

SHAPES = ((1, 1), (1, 5), (3, 40), (2, 100))


def prune(tmp_path, ticket, *artefacts, tied=False, dtype="float32"):
    """Compile a ticket; gives what transformers loads of it, and the report's rows."""
    import transformers

    model = llama(tmp_path / "llama", layers=2, tied=tied)
    if dtype != "float32":
        model.to(getattr(torch, dtype)).save_pretrained(tmp_path / "llama")
    words(tmp_path / "valid.txt", 900, seed=1)
    text = f"""
model llm {{ source = hf("llama") }}
data d {{ calibration = text("valid.txt", length = 32, samples = 12) }}
ticket t {{ {ticket} }}
emit hf "pruned" {{ ticket = t }}
"""
    compile_(tmp_path, text + "\n".join(artefacts))
    load = transformers.AutoModelForCausalLM.from_pretrained
    pruned = load(tmp_path / "out" / "pruned", dtype="float32")
    rows = json.loads((tmp_path / "out" / "report.json").read_text())["artefacts"]
    return pruned, {row["path"]: row for row in rows}


def logits(path, ids):
    """What onnxruntime makes of tokens."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"input_ids": ids.numpy()})[0]


def check_same(path, pruned, tolerance=1e-5):
    """Logits of batches of any size and length, over the largest of them."""
    for seed, shape in enumerate(SHAPES):
        ids = torch.randint(0, 64, shape, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            expected = pruned(input_ids=ids).logits.numpy()
        found = logits(path, ids)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("tied", [False, True])
def test_every_layer_pruned(tmp_path, tied):
    artefact = 'emit onnx "t.onnx" { ticket = t }'
    ticket = "layers = linear   criterion = sparsegpt   pattern = 2:4"
    pruned, rows = prune(tmp_path, ticket, artefact, tied=tied)
    path = tmp_path / "out" / "t.onnx"
    check_same(path, pruned)
    assert rows["t.onnx"]["verified"]["layers"] == 15
    assert len(rows["t.onnx"]["verified"]["trials"]) == 2
    names = {name for name, part in pruned.named_modules() if isinstance(part, torch.nn.Linear)}
    found = {layer.layer.name: layer for layer in inspect(path)}
    assert names <= found.keys()
    assert {found[name].sparsity for name in names} == {0.5}
    assert "packed" in {found[name].format for name in names}
    (embedding,) = [t for t in onnx.load(path).graph.initializer if "embed_tokens" in t.name]
    expected = pruned.get_input_embeddings().weight.detach().numpy()
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(embedding), expected)
    ends = onnx.load(path).graph
    for end, last in ((ends.input[0], []), (ends.output[0], [64])):
        dims = end.type.tensor_type.shape.dim
        assert [d.dim_param or d.dim_value for d in dims] == ["batch", "length", *last]


def test_tied_embeddings_are_stored_once(tmp_path):
    artefact = 'emit onnx "t.onnx" { ticket = t   format = dense }'
    ticket = 'layers = linear - "lm_head"   pattern = 2:4'
    pruned, _ = prune(tmp_path, ticket, artefact, tied=True)
    path = tmp_path / "out" / "t.onnx"
    check_same(path, pruned)
    shapes = [sorted(tensor.dims) for tensor in onnx.load(path).graph.initializer]
    assert shapes.count([32, 64]) == 1 + 2 * 3  # with the three of each block's MLP


def test_groups_and_narrow_values(tmp_path):
    artefacts = [
        'emit onnx "g.onnx" { ticket = t   format = groups }',
        'emit onnx "n.onnx" { ticket = t   format = packed   values = float16 }',
    ]
    ticket = 'layers = linear - "lm_head"   pattern = groups(8)   sparsity = 50%'
    pruned, rows = prune(tmp_path, ticket, *artefacts)
    check_same(tmp_path / "out" / "g.onnx", pruned)
    check_same(tmp_path / "out" / "n.onnx", pruned, 1e-2)
    assert {layer["format"] for layer in rows["g.onnx"]["layers"]} == {"groups"}
    assert {layer["values"] for layer in rows["n.onnx"]["layers"]} == {"float16"}
    assert rows["n.onnx"]["bytes"] < rows["n.onnx"]["dense_bytes"]


def test_what_is_stored_as_bfloat16_computes_in_float32(tmp_path):
    artefact = 'emit onnx "t.onnx" { ticket = t }'
    ticket = "layers = linear   criterion = sparsegpt   pattern = 2:4"
    pruned, rows = prune(tmp_path, ticket, artefact, dtype="bfloat16")
    check_same(tmp_path / "out" / "t.onnx", pruned)
    assert rows["t.onnx"]["verified"]["not_run"] == ""


def test_models_that_fix_their_length_are_refused(tmp_path, monkeypatch):
    from lottoc.backends.fx import language

    def fixed(self, input_ids):
        found = type(self).forward(self, input_ids=input_ids.reshape(-1, 8), use_cache=False)
        return found.logits

    monkeypatch.setattr(language, "_logits", fixed)
    for kind, name in (("onnx", "t.onnx"), ("fx", "t.pt2")):
        with pytest.raises(InputError, match="takes 8 tokens at a time only") as caught:
            prune(
                tmp_path,
                "layers = linear   pattern = 2:4",
                f'emit {kind} "{name}" {{ ticket = t }}',
            )
        assert caught.value.diagnostics[0].code == "export-batch"
