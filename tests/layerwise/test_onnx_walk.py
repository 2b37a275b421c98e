"""Walking through ONNX networks: what layers are given, with weights changed on the way."""

from functools import partial

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save
from small_networks import inputs_of, residual_onnx

from lottoc.diagnostics import InputError
from lottoc.frontends.onnx_model import open_onnx
from lottoc.layerwise import scratch
from lottoc.layerwise.moments import Gram, Squares, measure_all


@pytest.fixture
def model(tmp_path):
    return open_onnx(residual_onnx(tmp_path / "net.onnx"))


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((50, 16)).astype(np.float32)


def names(model):
    return [layer.name for layer in model.signature]


def batches(x, size=16):
    return [{"x": x[i : i + size]} for i in range(0, len(x), size)]


def test_every_layer_is_seen_with_all_it_is_given(model, x):
    expected = inputs_of({n: model.layer(n) for n in names(model)}, x)
    seen = {}
    walk = model.walk(lambda layer: None)
    stages = list(names(model))
    for stage in walk.stages(stages, batches(x)):
        rows = []
        stage.observe(lambda group, given, rows=rows: rows.append(given))
        for layers in stage.groups.values():
            seen |= {layer: np.concatenate(rows) for layer in layers}
    assert seen.keys() == expected.keys()
    for name, rows in seen.items():
        np.testing.assert_allclose(rows, expected[name], rtol=1e-4, atol=1e-5)
    assert walk.count(stages) == 6  # a and b share their input


def test_what_follows_runs_with_the_new_weights(model, x):
    weights = {n: np.array(model.layer(n)) for n in names(model)}
    rng = np.random.default_rng(2)
    for stage in model.walk(lambda layer: None).stages(names(model), batches(x)):
        rows = []
        stage.observe(lambda group, given, rows=rows: rows.append(given))
        for layers in stage.groups.values():
            for layer in layers:
                expected = inputs_of(weights, x)[layer]
                np.testing.assert_allclose(np.concatenate(rows), expected, rtol=1e-3, atol=1e-4)
                weights[layer] = weights[layer] * (rng.random(weights[layer].shape) < 0.5)
                stage.replace(layer, partial(weights.get, layer))


def test_changed_weights_are_those_of_a_walk_from_its_beginning(model, x):
    weights = {n: np.array(model.layer(n)) for n in names(model)}
    weights["0.a"] = weights["0.a"] * 0
    walk = model.walk(lambda layer: weights["0.a"] if layer == "0.a" else None)
    found = measure_all(walk, ["0.c", "1.a"], batches(x), Squares, lambda n: None)
    for layer in ("0.c", "1.a"):
        expected = (inputs_of(weights, x)[layer] ** 2).mean(axis=0)
        np.testing.assert_allclose(found[layer], expected, rtol=1e-4, atol=1e-9)


def test_moments_do_not_depend_on_batches_or_on_where_values_are_kept(model, x, monkeypatch):
    walk = partial(model.walk, lambda layer: None)
    whole = measure_all(walk(), names(model), batches(x, 50), Gram, lambda n: None)
    parts = measure_all(walk(), names(model), batches(x, 7), Gram, lambda n: None)
    monkeypatch.setattr(scratch, "ROOM", 0)
    on_disk = measure_all(walk(), names(model), batches(x, 7), Gram, lambda n: None)
    given = inputs_of({n: model.layer(n) for n in names(model)}, x)
    for name in names(model):
        expected = given[name].T @ given[name] / len(x)
        np.testing.assert_allclose(whole[name], expected, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(on_disk[name], parts[name])


def test_outputs_are_those_of_onnxruntime(model, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model.path))
    expected = np.concatenate([session.run(None, b)[0] for b in batches(x)])
    walk = model.walk(lambda layer: None)
    found = np.concatenate([next(iter(out.values())) for out in walk.outputs(batches(x))])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_large_weights_are_lent_not_copied(model, x, monkeypatch):
    from lottoc.layerwise import onnx_walk

    walk = partial(model.walk, lambda layer: None)
    plain = measure_all(walk(), names(model), batches(x), Squares, lambda n: None)
    monkeypatch.setattr(onnx_walk, "_FED", 0)
    fed = measure_all(walk(), names(model), batches(x), Squares, lambda n: None)
    for name in names(model):
        np.testing.assert_allclose(fed[name], plain[name], rtol=1e-5)


def other_forms(path):
    """W @ x, Gemm with its data on the right or transposed, a shared weight, one as Constant."""
    rng = np.random.default_rng(0)
    weights = {
        "left": rng.standard_normal((4, 4)),
        "right": rng.standard_normal((4, 4)),
        "twice": rng.standard_normal((4, 4)),
    }
    held = [numpy_helper.from_array(w.astype(np.float32), n) for n, w in weights.items()]
    constant = numpy_helper.from_array(rng.standard_normal((4, 4)).astype(np.float32), "k")
    nodes = [
        helper.make_node("MatMul", ["left", "x"], ["a"]),
        helper.make_node("Gemm", ["right", "a"], ["b"], transB=1),
        helper.make_node("MatMul", ["b", "twice"], ["c"]),
        helper.make_node("Tanh", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "twice"], ["e"]),
        helper.make_node("Constant", [], ["k"], value=constant),
        helper.make_node("Gemm", ["e", "k"], ["f"], transA=1),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", TensorProto.FLOAT, [4, 4])],
        [info("f", TensorProto.FLOAT, [4, 4])],
        held,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return open_onnx(path)


def test_every_way_to_multiply(tmp_path):
    model = other_forms(tmp_path / "o.onnx")
    x = np.random.default_rng(3).standard_normal((4, 4)).astype(np.float32)
    walk = model.walk(lambda layer: None)
    found = measure_all(walk, names(model), [{"x": x}], Squares, lambda n: None)
    left, right, twice = (
        np.asarray(model.file.initializers[n].read(), np.float64)
        for n in ("left", "right", "twice")
    )
    a = left @ x
    b = right @ a.T
    d = np.tanh(b @ twice)
    e = d @ twice
    np.testing.assert_allclose(found["left"], (x.T**2).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found["right"], (a**2).mean(axis=0), rtol=1e-5)
    both = ((b**2).mean(axis=0) + (d**2).mean(axis=0)) / 2
    np.testing.assert_allclose(found["twice"], both, rtol=1e-5)
    (constant,) = [n for n in names(model) if n not in ("left", "right", "twice")]
    np.testing.assert_allclose(found[constant], (e.T**2).mean(axis=0), rtol=1e-5)
    assert walk.runs("twice") == 2


def test_activations_that_are_not_finite_are_refused(model, x):
    x[3, 5] = np.inf
    with pytest.raises(InputError) as caught:
        measure_all(
            model.walk(lambda layer: None), names(model), batches(x), Squares, lambda n: None
        )
    assert caught.value.diagnostics[0].code == "activations-not-finite"
    assert '"0.a"' in caught.value.diagnostics[0].message


def test_examples_of_another_shape_are_refused(model):
    with pytest.raises(InputError) as caught:
        list(model.walk(lambda layer: None).stages(["0.c"], [{"x": np.zeros((3, 5), np.float32)}]))
    assert caught.value.diagnostics[0].code == "onnx-run"
