"""Small networks with linear layers that share inputs, skip over one another and run twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save


def residual_onnx(path: Path, width=16, blocks=3, seed=0, names=("x",)) -> Path:
    """Blocks as in a transformer: a and b read one value, their product goes through c, added."""
    rng = np.random.default_rng(seed)
    nodes, weights, value = [], [], names[0]

    def weight(name, *shape):
        array = (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)
        weights.append(numpy_helper.from_array(array, name))
        return name

    for block in range(blocks):
        n = f"{block}."
        a, b = weight(n + "a.weight", width, 2 * width), weight(n + "b.weight", 2 * width, width)
        c = weight(n + "c.weight", 2 * width, width)
        nodes += [
            helper.make_node("MatMul", [value, a], [n + "ya"], name=n + "a"),
            helper.make_node("Gemm", [value, b], [n + "yb"], name=n + "b", transB=1),
            helper.make_node("Mul", [n + "ya", n + "yb"], [n + "m"]),
            helper.make_node("Tanh", [n + "m"], [n + "t"]),
            helper.make_node("MatMul", [n + "t", c], [n + "yc"], name=n + "c"),
            helper.make_node("Add", [n + "yc", value], [n + "out"]),
        ]
        value = n + "out"
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [info(names[0], TensorProto.FLOAT, ["n", width])],
        [info(value, TensorProto.FLOAT, ["n", width])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save(model, path)
    return path


def inputs_of(weights, x, blocks=3):
    """What every layer of `residual_onnx` is given, in float64; `weights` are [out, in]."""
    given, value = {}, x.astype(np.float64)
    for block in range(blocks):
        a, b, c = (weights[f"{block}.{name}"].astype(np.float64) for name in "abc")
        given[f"{block}.a"] = given[f"{block}.b"] = value
        middle = np.tanh((value @ a.T) * (value @ b.T))
        given[f"{block}.c"] = middle
        value = middle @ c.T + value
    return given


def llama(folder: Path, *, layers=3, tied=False, seed=0, vocabulary=64) -> object:
    """A language model of random weights, saved as transformers saves it, with a tokenizer."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=vocabulary,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        initializer_range=0.2,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    words = {f"w{i}": i for i in range(vocabulary - 1)} | {"[UNK]": vocabulary - 1}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return model


def words(path: Path, count: int, seed=0, vocabulary=64) -> Path:
    """A text of `count` words that a model of `llama` knows."""
    drawn = np.random.default_rng(seed).integers(0, vocabulary - 1, count)
    path.write_text(" ".join(f"w{i}" for i in drawn))
    return path
