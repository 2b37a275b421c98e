"""Walking through language models of transformers against transformers itself."""

import json
import math

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from small_networks import llama, words

from lottoc.diagnostics import InputError
from lottoc.frontends.hf_files import open_folder
from lottoc.frontends.hf_model import HfModel
from lottoc.frontends.text import TextSource, windows
from lottoc.layerwise.moments import Gram, measure_all


@pytest.fixture(scope="module", params=[False, True], ids=["own head", "tied head"])
def saved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    return llama(folder, tied=request.param), folder


@pytest.fixture(scope="module")
def model(saved):
    return HfModel(open_folder(saved[1]))


IDS = np.random.default_rng(0).integers(0, 63, (5, 24))
BATCHES = [{"input_ids": IDS[i : i + 2]} for i in range(0, 5, 2)]


def names(model):
    return [layer.name for layer in model.signature]


def test_layers_are_the_linear_ones_in_order(model):
    assert len(names(model)) == 3 * 7 + 1
    assert names(model)[0] == "model.layers.0.self_attn.q_proj"
    assert names(model)[-1] == "lm_head"
    assert model.signature["model.layers.1.mlp.down_proj"].shape == (32, 64)


def test_perplexity_is_that_of_transformers(saved, model):
    import torch

    total = 0.0
    with torch.no_grad():
        for row in IDS:
            logits = saved[0](torch.tensor(row[None])).logits[0, :-1]
            total += float(torch.nn.functional.cross_entropy(logits, torch.tensor(row[1:])))
    found = model.walk(lambda layer: None).nll(BATCHES, lambda n: None)
    assert found == pytest.approx(total / len(IDS), rel=1e-5)


def test_every_layer_is_seen_with_all_it_is_given(saved, model):
    import torch

    expected, handles = {}, []
    for name in names(model):

        def hook(module, given, name=name):
            expected.setdefault(name, []).append(given[0].reshape(-1, given[0].shape[-1]).numpy())

        handles.append(saved[0].get_submodule(name).register_forward_pre_hook(hook))
    with torch.no_grad():
        for batch in BATCHES:
            saved[0](torch.tensor(batch["input_ids"]))
    for handle in handles:
        handle.remove()
    found = measure_all(model.walk(lambda layer: None), names(model), BATCHES, Gram, lambda n: None)
    for name, rows in expected.items():
        x = np.concatenate(rows).astype(np.float64)
        np.testing.assert_allclose(found[name], x.T @ x / len(x), rtol=1e-3, atol=1e-5)
    assert found["model.layers.0.mlp.gate_proj"] is found["model.layers.0.mlp.up_proj"]


def test_what_follows_runs_with_the_new_weights(saved, model):
    layer = "model.layers.0.mlp.down_proj"
    walk = model.walk(lambda name: None)
    for number, stage in enumerate(walk.stages(names(model)[:14], BATCHES)):
        if number == 0:
            stage.replace(layer, lambda: np.zeros((32, 64), np.float32))
        else:
            seen = []
            stage.observe(lambda name, rows, seen=seen: seen.append((name, rows)))
    changed = model.walk(lambda name: np.zeros((32, 64), np.float32) if name == layer else None)
    again = []
    for number, stage in enumerate(changed.stages(names(model)[:14], BATCHES)):
        if number == 1:
            stage.observe(lambda name, rows: again.append((name, rows)))
    assert len(seen) == len(again) > 0
    for (name, rows), (other, expected) in zip(seen, again, strict=True):
        assert name == other
        np.testing.assert_array_equal(rows, expected)


def test_numbers_leave_memory_behind_a_block(model):
    list(model.walk(lambda name: None).stages(names(model), BATCHES))
    assert all(parameter.is_meta for parameter in model.module.parameters())


def test_windows_of_a_text(tmp_path, saved):
    text = words(tmp_path / "t.txt", 100)
    tokenizer = (saved[1] / "tokenizer.json").read_text()
    following = windows(TextSource(text, 30, 0, consecutive=True), tokenizer)
    said = [int(word[1:]) for word in text.read_text().split()]
    assert following.tolist() == [said[0:30], said[30:60], said[60:90]]
    drawn = windows(TextSource(text, 30, 7, seed=3), tokenizer)
    assert drawn.shape == (7, 30)
    assert all(any(said[i : i + 30] == row for i in range(71)) for row in drawn.tolist())
    np.testing.assert_array_equal(drawn, windows(TextSource(text, 30, 7, seed=3), tokenizer))
    assert (drawn != windows(TextSource(text, 30, 7, seed=4), tokenizer)).any()


def code(call):
    with pytest.raises(InputError) as caught:
        call()
    return caught.value.diagnostics[0].code


def test_texts_that_do_not_do(tmp_path, saved, model):
    short = words(tmp_path / "short.txt", 10)
    assert code(lambda: model.batches(TextSource(short, 11, 0))) == "text-too-short"
    assert code(lambda: model.batches(TextSource(tmp_path / "no.txt", 5, 0))) == "data-not-found"
    assert code(lambda: windows(TextSource(short, 5, 0), None)) == "tokenizer-missing"
    assert code(lambda: windows(TextSource(short, 5, 0), "{}")) == "tokenizer-invalid"
    assert code(lambda: model.batches("something else")) == "hf-data"


def test_folders_that_do_not_do(tmp_path, saved):
    import shutil

    assert code(lambda: open_folder(tmp_path / "none")) == "model-not-found"
    copy = tmp_path / "copy"
    shutil.copytree(saved[1], copy)
    weights = copy / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    assert code(lambda: open_folder(copy)) == "safetensors-invalid"
    weights.write_bytes(b"\xff" * 20)
    assert code(lambda: open_folder(copy)) == "safetensors-invalid"
    weights.write_bytes(content)
    config = json.loads((copy / "config.json").read_text())
    for broken in ({}, {**config, "model_type": "nothing"}, {**config, "num_attention_heads": "x"}):
        (copy / "config.json").write_text(json.dumps(broken))
        assert code(lambda: HfModel(open_folder(copy))) == "hf-invalid"
    (copy / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    larger = HfModel(open_folder(copy))
    assert code(lambda: larger.signature) == "hf-invalid"
    (copy / "config.json").unlink()
    assert code(lambda: open_folder(copy)) == "model-not-found"


def test_tokens_the_model_does_not_know(model):
    from lottoc.frontends.data import InputsSource

    assert code(lambda: model._check(np.array([[64]]))) == "hf-data"
    assert code(lambda: model.batches(InputsSource(None, (("ids", "ids"),)))) == "hf-data"


def test_perplexity_of_a_uniform_guess(model):
    """Logits that say nothing give the number of words."""
    zero = model.walk(lambda name: np.zeros((64, 32), np.float32) if name == "lm_head" else None)
    assert math.exp(zero.nll(BATCHES, lambda n: None)) == pytest.approx(64, rel=1e-5)


def test_places_of_weights_are_tokens_and_nothing_is_read(saved, model, monkeypatch):
    from lottoc.frontends.hf_places import hf_places

    def seen(name):
        def hook(module, given, output):
            assert output.numel() == counted[name] * module.out_features

        return hook

    source = TextSource("text.txt", length=24, samples=0)
    with monkeypatch.context() as patch:
        patch.setattr(model.checkpoint, "get", lambda name: pytest.fail(f"{name} was read"))
        counted = {name: float(found) for name, found in hf_places(model, source).items()}
    assert counted == dict.fromkeys(names(model), 24)
    handles = [
        saved[0].get_submodule(name).register_forward_hook(seen(name)) for name in names(model)
    ]
    with torch.no_grad():
        saved[0](input_ids=torch.from_numpy(IDS[:1]))
    for handle in handles:
        handle.remove()


def test_a_text_that_decides_how_the_network_runs_has_no_places(model, monkeypatch):
    from lottoc.frontends.hf_places import hf_places

    def forward(input_ids, use_cache):
        return model.module.lm_head(torch.ones(int(input_ids.sum()), 32))

    monkeypatch.setattr(type(model.module), "forward", lambda self, **given: forward(**given))
    error = code(lambda: hf_places(model, TextSource("text.txt", length=24, samples=0)))
    assert error == "flops-unknown"
