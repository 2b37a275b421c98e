"""Recipes of language models, compiled whole: perplexity, folders, torch programs."""

import json

import numpy as np
import pytest
from small_networks import llama, residual_onnx, words

from lottoc.diagnostics import Findings, LottoError
from lottoc.driver import compile_recipe
from lottoc.engine.store import Store
from lottoc.front import Request
from lottoc.progress import Silent


def compile_(folder, text, store="store"):
    (folder / "r.lotto").write_text(text)
    request = Request(folder / "r.lotto", Store(folder / store), {}, Silent())
    return compile_recipe(request, folder / "out", Findings())


def refusal(folder, text):
    with pytest.raises(LottoError) as caught:
        compile_(folder, text)
    return caught.value.diagnostics[0].code


def test_language_models_from_recipe_to_perplexity(tmp_path):
    pytest.importorskip("transformers")
    llama(tmp_path / "llama")
    words(tmp_path / "valid.txt", 900, seed=1)
    words(tmp_path / "test.txt", 300, seed=2)
    text = """
model llm { source = hf("llama") }
data d { calibration = text("valid.txt", length = 32, samples = 12)
         test = text("test.txt", length = 32, samples = 4) }
ticket wanda { layers = linear - "lm_head"   criterion = wanda   pattern = 2:4 }
ticket gpt   { layers = linear - "lm_head"   criterion = sparsegpt   pattern = 2:4 }
require gpt.perplexity <= dense.perplexity * 1000
"""
    compile_(tmp_path, text)
    rows = json.loads((tmp_path / "out" / "report.json").read_text())["tickets"]
    found = {name: row["metrics"] for name, row in rows.items()}
    assert found["dense"]["perplexity"] > 1
    assert (
        found["wanda"]["perplexity"] != found["gpt"]["perplexity"] != found["dense"]["perplexity"]
    )
    assert found["gpt"]["sparsity"] == 0.5


@pytest.mark.parametrize("layers", ['linear - "lm_head"', "linear"])
@pytest.mark.parametrize("tied", [False, True])
def test_folders_load_in_transformers_with_masks_beside(tmp_path, layers, tied):
    transformers = pytest.importorskip("transformers")
    from lottoc.frontends.tensor_file import TensorFile

    llama(tmp_path / "llama", tied=tied)
    words(tmp_path / "valid.txt", 900, seed=1)
    text = f"""
model llm {{ source = hf("llama") }}
data d {{ calibration = text("valid.txt", length = 32, samples = 12) }}
ticket t {{ layers = {layers}   criterion = sparsegpt   pattern = 2:4 }}
emit hf "pruned" {{ ticket = t }}
"""
    compile_(tmp_path, text)
    folder = tmp_path / "out" / "pruned"
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokens = transformers.AutoTokenizer.from_pretrained(folder)("w1 w2")["input_ids"]
    assert tokens == [1, 2]
    masks = TensorFile(folder / "masks.safetensors")
    assert len(masks.tensors) == 21 + (layers == "linear")
    for name in masks.tensors:
        weight = model.get_submodule(name).weight.detach().numpy()
        shape = tuple(map(int, masks.metadata[name].split("x")))
        mask = np.unpackbits(masks.get(name), count=weight.size).reshape(shape).astype(bool)
        assert (weight[~mask] == 0).all()
        assert (mask.reshape(shape[0], -1, 4).sum(axis=2) == 2).all()
        assert np.count_nonzero(weight) == mask.sum()
    embedding = model.get_input_embeddings().weight
    assert (embedding != 0).all()
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    compile_(tmp_path, text.replace('"pruned"', '"again"'), "other")
    assert {f.name: f.read_bytes() for f in (tmp_path / "out" / "again").iterdir()} == before
    compile_(tmp_path, text)  # over the old one


def test_a_damaged_folder_does_not_pass(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    from lottoc.backends.hf import emit

    llama(tmp_path / "llama")
    words(tmp_path / "valid.txt", 900)
    text = """
model llm { source = hf("llama") }
ticket t { layers = linear   pattern = 2:4 }
emit hf "pruned" { ticket = t }
"""
    write = emit.write_tensors

    def damaged(path, *arguments):
        write(path, *arguments)
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)

    monkeypatch.setattr(emit, "write_tensors", damaged)
    assert refusal(tmp_path, text) == "verify-failed"
    assert not (tmp_path / "out" / "pruned").exists()


def test_kinds_of_artefacts_and_sources(tmp_path):
    pytest.importorskip("transformers")
    residual_onnx(tmp_path / "net.onnx")
    text = 'model net { source = onnx("net.onnx") }\n'
    text += 'ticket t { layers = linear   pattern = 2:4 }\nemit hf "x" { ticket = t }\n'
    assert refusal(tmp_path, text) == "emit-source"
    llama(tmp_path / "llama")
    text = text.replace('onnx("net.onnx")', 'hf("llama")').replace("emit hf", "emit adapter")
    assert refusal(tmp_path, text) == "emit-source"


def test_a_gguf_file_is_imported_once_into_the_store_of_the_build(tmp_path, monkeypatch):
    """What transformers makes of the file stands in here: the number of imports counts."""
    pytest.importorskip("transformers")
    from lottoc.frontends import hf_model
    from lottoc.frontends.hf_files import open_folder
    from lottoc.frontends.tensor_file import write_tensors

    llama(tmp_path / "llama")
    words(tmp_path / "test.txt", 300, seed=2)
    (tmp_path / "m.gguf").write_bytes(b"any bytes")
    monkeypatch.setenv("LOTTOC_STORE", str(tmp_path / "another"))
    imported = []

    def import_(path, target):
        imported.append(path)
        found = open_folder(tmp_path / "llama")
        metadata = {"config": json.dumps(dict(found.config)), "tokenizer": found.tokenizer}
        write_tensors(target, list(found.tensors.items()), found.get, metadata)

    monkeypatch.setattr(hf_model, "_import", import_)
    text = """
model llm { source = gguf("m.gguf") }
data d { calibration = text("test.txt", length = 32)   test = text("test.txt", length = 32) }
ticket t { layers = linear - "lm_head"   criterion = wanda   pattern = 2:4 }
"""
    compile_(tmp_path, text)
    compile_(tmp_path, text.replace("2:4", "4:8"))
    assert len(imported) == 1
    assert not (tmp_path / "another").exists()


@pytest.mark.parametrize(
    ("options", "tied"),
    [("", True), ("format = semi_structured", False), ("format = masked", False)],
)
def test_language_models_as_torch_programs(tmp_path, options, tied):
    torch, _ = pytest.importorskip("torch"), pytest.importorskip("transformers")
    import lottoc

    llama(tmp_path / "llama", tied=tied)
    words(tmp_path / "valid.txt", 900, seed=1)
    text = f"""
model llm {{ source = hf("llama") }}
data d {{ calibration = text("valid.txt", length = 32, samples = 12) }}
ticket t {{ layers = linear   criterion = sparsegpt   pattern = 2:4 }}
emit fx "t.pt2" {{ ticket = t   {options} }}
emit hf "pruned" {{ ticket = t }}
"""
    compile_(tmp_path, text)
    program = lottoc.load(tmp_path / "out" / "t.pt2")
    import transformers

    pruned = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "pruned")
    for shape in ((1, 5), (3, 40)):
        ids = torch.randint(0, 64, shape)
        with torch.no_grad():
            expected = pruned(input_ids=ids).logits
            torch.testing.assert_close(program(ids), expected, rtol=1e-4, atol=1e-4)
    if options == "format = semi_structured":
        from lottoc.backends.fx.contents import inspect

        assert {layer.format for layer in inspect(tmp_path / "out" / "t.pt2")} == {
            "semi_structured"
        }
