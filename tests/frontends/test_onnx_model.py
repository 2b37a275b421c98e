"""What is read of a model, judged against the onnx package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_toys import CONV, LINEAR, build

from lottoc.frontends.onnx_model import OnnxModel, open_onnx
from lottoc.signature import Layer


def stored(proto: onnx.ModelProto, name: str) -> np.ndarray:
    tensors = [*proto.graph.initializer]
    tensors += [a.t for n in proto.graph.node if n.op_type == "Constant" for a in n.attribute]
    return numpy_helper.to_array(next(t for t in tensors if t.name == name))


@pytest.mark.parametrize("kind", [*LINEAR, *CONV])
def test_layers_and_their_weights(kind: str, tmp_path: Path) -> None:
    toy = build(kind, 9, 7)
    model = open_onnx(toy.save(tmp_path))
    layer_kind = "conv" if kind in CONV else "linear"
    assert model.signature.layers == (Layer(toy.layer, layer_kind, toy.shape),)
    weight = model.layer(toy.layer)
    assert not weight.flags.writeable
    expected = stored(toy.proto, toy.weight)
    np.testing.assert_array_equal(weight, expected.T if toy.transposed else expected)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
@pytest.mark.parametrize("typed", [False, True])
def test_every_type_and_both_ways_to_store_it(dtype: str, typed: bool, tmp_path: Path) -> None:
    toy = build("gemm-transposed", 5, 6, dtype=dtype)
    weight = stored(toy.proto, toy.weight)
    if typed:
        tensor = toy.proto.graph.initializer[0]
        bits = weight.view(np.uint16) if weight.dtype.itemsize == 2 else weight
        tensor.ClearField("raw_data")
        fields = {2: tensor.int32_data, 4: tensor.float_data, 8: tensor.double_data}
        fields[weight.dtype.itemsize].extend(bits.reshape(-1).tolist())
    model = open_onnx(toy.save(tmp_path))
    assert model.signature["fc"].dtype == dtype
    read = model.layer("fc")
    assert read.dtype == (ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    assert read.tobytes() == weight.tobytes()


def graph(nodes: list[onnx.NodeProto], tensors: dict[str, np.ndarray]) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    outputs = {o for n in nodes for o in n.output} - {i for n in nodes for i in n.input}
    infos = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in sorted(outputs)]
    initializers = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    return helper.make_model(helper.make_graph(nodes, "g", [x], infos, initializers))


def opened(proto: onnx.ModelProto, folder: Path) -> OnnxModel:
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    return open_onnx(folder / "m.onnx")


def square(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((4, 4)).astype(np.float32)


def test_layers_come_in_the_order_of_the_nodes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "b.weight"], ["1"]),
        helper.make_node("MatMul", ["1", "a.weight"], ["2"]),
        helper.make_node("MatMul", ["2", "b.weight"], ["3"]),
    ]
    model = opened(graph(nodes, {"a.weight": square(), "b.weight": square(1)}), tmp_path)
    assert [layer.name for layer in model.signature] == ["b", "a"]
    assert len(model.weights["b"].uses) == 2


def test_names_that_exporters_make_up_give_way_to_modules(tmp_path: Path) -> None:
    scoped = helper.make_node("MatMul", ["x", "val_3"], ["1"], name="node_MatMul_1")
    scopes = "['', 'encoder', 'encoder.query', 'linear']"
    scoped.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes)
    nodes = [
        scoped,
        helper.make_node("MatMul", ["1", "onnx::MatMul_12"], ["2"], name="/layer/0/dense/MatMul"),
        helper.make_node("MatMul", ["2", "W"], ["3"], name="last"),
        helper.make_node("MatMul", ["3", "val_9"], ["4"], name="/layer/0/dense/MatMul_1"),
    ]
    names = ("val_3", "onnx::MatMul_12", "W", "val_9")
    model = opened(graph(nodes, {name: square() for name in names}), tmp_path)
    found = [layer.name for layer in model.signature]
    assert found == ["encoder.query", "layer.0.dense", "W", "layer.0.dense_2"]


def test_weights_that_cannot_be_pruned_are_named_with_a_reason(tmp_path: Path) -> None:
    quantized = helper.make_node("DequantizeLinear", ["q", "scale"], ["qw"], name="dq")
    nodes = [
        quantized,
        helper.make_node("MatMul", ["x", "qw"], ["1"], name="mm1"),
        helper.make_node("MatMul", ["1", "stack"], ["2"], name="mm2"),
        helper.make_node("ConvTranspose", ["2", "up"], ["3"], name="ct"),
        helper.make_node("Reshape", ["flat", "shape"], ["w"], name="r"),
        helper.make_node("MatMul", ["3", "w"], ["4"], name="mm3"),
    ]
    tensors = {
        "q": np.ones((4, 4), np.int8),
        "scale": np.float32([1.0]),
        "stack": np.ones((2, 4, 4), np.float32),
        "up": np.ones((4, 4, 2, 2), np.float32),
        "flat": np.ones((2, 8), np.float32),
        "shape": np.int64([4, 4]),
    }
    model = opened(graph(nodes, tensors), tmp_path)
    assert model.signature.layers == ()
    reasons = dict(model.skipped)
    assert reasons["q"] == "it is quantized"
    assert "stack of matrices" in reasons["stack"]
    assert "ConvTranspose" in reasons["up"]
    assert "Reshape" in reasons["flat"]


def test_a_weight_read_both_ways_round_is_noted(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["1"], name="a", transB=1),
        helper.make_node("Gemm", ["1", "w"], ["2"], name="b"),
    ]
    model = opened(graph(nodes, {"w": square()}), tmp_path)
    assert model.shared == {"w": ("b (transposed)",)}


def test_the_digest_covers_external_data(tmp_path: Path) -> None:
    toy = build("gemm", 8, 8)
    path = tmp_path / "m.onnx"
    onnx.save(toy.proto, path, save_as_external_data=True, location="m.bin", size_threshold=0)
    before = open_onnx(path)
    assert before.digest == open_onnx(path).digest
    assert before.file_bytes == path.stat().st_size + (tmp_path / "m.bin").stat().st_size
    raw = bytearray((tmp_path / "m.bin").read_bytes())
    raw[5] ^= 1
    (tmp_path / "m.bin").write_bytes(raw)
    assert open_onnx(path).digest != before.digest


def test_a_plain_model_has_the_digest_of_its_file(tmp_path: Path) -> None:
    import hashlib

    path = build("gemm", 8, 8).save(tmp_path)
    assert open_onnx(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_opening_imports_no_onnx_runtime_or_torch(tmp_path: Path) -> None:
    path = build("gemm", 8, 8).save(tmp_path)
    code = (
        "import sys, pathlib; from lottoc.frontends.onnx_model import open_onnx;"
        f"open_onnx(pathlib.Path({str(path)!r})).signature;"
        "print([m for m in ('onnx', 'onnx_ir', 'onnxruntime', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_model_beyond_two_gigabytes_is_opened_without_being_read(tmp_path: Path) -> None:
    size = 3 << 30
    columns = size // 4 // 1024
    tensor = TensorProto(name="big.weight", data_type=1, dims=[1024, columns], data_location=1)
    for key, value in (("location", "big.bin"), ("offset", "4096"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    proto = graph([helper.make_node("MatMul", ["x", "big.weight"], ["y"])], {})
    proto.graph.initializer.append(tensor)
    with open(tmp_path / "big.bin", "wb") as stream:
        stream.truncate(size + 4096)
        stream.seek(4096 + size - 4)
        stream.write(np.float32(7).tobytes())
    model = opened(proto, tmp_path)
    weight = model.layer("big")
    assert weight.shape == (columns, 1024)
    assert weight[-1, -1] == 7
