"""At how many places weights are used, counted by hand and by torch's own counter."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, save
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from lottoc.diagnostics import InputError
from lottoc.frontends.data import Arrays, InputsSource
from lottoc.frontends.onnx_model import open_onnx
from lottoc.frontends.onnx_places import onnx_places, open_inputs
from lottoc.frontends.places import narrowed
from lottoc.frontends.torch_layers import signature_of
from lottoc.frontends.torch_places import run_example, torch_places

ROOT = Path(__file__).parents[2]


def places(module: nn.Module, *shape: int) -> dict[str, Any]:
    x = np.zeros((1, *shape), np.float32)
    layers = [layer.name for layer in signature_of(module)]
    found = torch_places(module, layers, lambda: run_example(module, x), "net.py")
    return {name: array.tolist() for name, array in found.items()}


def of(forward: Callable[..., torch.Tensor], **parts: nn.Module) -> nn.Module:
    """A module of some parts, and what it does with them."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, part in parts.items():
                setattr(self, name, part)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return forward(self, x)

    return Net()


def test_a_linear_layer_of_a_vector_is_used_at_one_place() -> None:
    net = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))
    assert places(net, 16) == {"0": 1, "2": 1}


def test_convolutions_are_used_at_the_places_of_their_outputs() -> None:
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3, stride=2),  # 9 x 11 -> 4 x 5
        nn.Conv2d(8, 8, 3, padding=1, groups=8),  # -> 4 x 5
        nn.Conv2d(8, 6, 1, groups=2),  # -> 4 x 5
        nn.Conv2d(6, 6, 2, dilation=2, padding="valid"),  # -> 2 x 3
        nn.BatchNorm2d(6),
        nn.Flatten(),
        nn.Linear(36, 3),
    )
    assert places(net, 4, 9, 11) == {"0": 20, "1": 20, "2": 20, "3": 6, "6": 1}
    around = nn.Sequential(
        nn.Conv1d(2, 2, 3, padding=1, padding_mode="circular"), nn.Conv1d(2, 1, 2)
    )
    assert places(around, 2, 10) == {"0": 10, "1": 9}
    assert places(nn.Sequential(nn.Conv3d(1, 1, 2)), 1, 3, 4, 5) == {"0": 2 * 3 * 4}


def test_a_linear_layer_on_a_sequence_is_used_at_its_tokens() -> None:
    net = of(lambda m, x: m.b(m.a(x).mean(1)), a=nn.Linear(4, 4), b=nn.Linear(4, 2, bias=False))
    assert places(net, 7, 4) == {"a": 7, "b": 1}


def test_what_is_called_twice_counts_twice() -> None:
    again = of(lambda m, x: m.a(m.a(x)), a=nn.Linear(4, 4))
    assert places(again, 4) == {"a": 2}
    shared = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    shared[2].weight = shared[0].weight
    assert places(shared, 3, 4) == {"0": 6}


def test_what_is_not_used_does_not_count() -> None:
    assert places(of(lambda m, x: m.a(x), a=nn.Linear(4, 4), b=nn.Linear(4, 4)), 4) == {
        "a": 1,
        "b": 0,
    }


def test_a_weight_that_forward_multiplies_by_hand_counts() -> None:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        y = torch.einsum("bti,oi->bto", x, m.a.weight)
        return y @ m.b.weight.t().contiguous()

    assert places(of(forward, a=nn.Linear(4, 5), b=nn.Linear(5, 3)), 7, 4) == {"a": 7, "b": 7}


def test_inference_mode_and_narrow_types_change_nothing() -> None:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            y = m.b(m.a(x).transpose(1, 2))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return m.c(y)

    net = of(forward, a=nn.Linear(4, 3), b=nn.Conv1d(3, 2, 2), c=nn.Linear(6, 5))
    assert places(net, 7, 4) == {"a": 7, "b": 6, "c": 2}


def test_of_a_tied_embedding_only_the_output_layer_counts() -> None:
    net = of(lambda m, x: m.out(m.table(x.long())), table=nn.Embedding(10, 4), out=nn.Linear(4, 10))
    net.table.weight = net.out.weight  # type: ignore[union-attr]
    assert places(net, 5) == {"out": 5}


def test_parts_of_a_weight_count_where_they_are_used() -> None:
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    crossed = of(lambda m, x: m.a(x[:, :3], x, x)[0], a=attention)
    rows = [[3.0]] * 4 + [[7.0]] * 8  # queries of three tokens, keys and values of seven
    assert places(crossed, 7, 4) == {"a.in_proj_weight": rows, "a.out_proj": 3}
    alone = of(lambda m, x: m.a(x, x, x)[0], a=attention)
    assert places(alone, 7, 4) == {"a.in_proj_weight": 7, "a.out_proj": 7}
    columns = of(lambda m, x: x[..., :2] @ m.a.weight[:, :2].t(), a=nn.Linear(4, 3))
    assert places(columns, 5, 4) == {"a": [[5, 5, 0, 0]]}


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_is_used_at_every_step(kind: Any) -> None:
    net = of(lambda m, x: m.a(x)[0], a=kind(4, 3, 2, batch_first=True, bidirectional=True))
    found = places(net, 7, 4)
    assert len(found) == 8
    assert set(found.values()) == {7}


def test_a_recurrent_cell_is_used_as_often_as_it_is_called() -> None:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        state = x.new_zeros(len(x), 3)
        for step in range(5):
            state = m.a(x[:, step], state)
        return state

    cell = of(forward, a=nn.GRUCell(4, 3))
    assert places(cell, 7, 4) == {"a.weight_ih": 5, "a.weight_hh": 5}


@pytest.mark.parametrize(
    "net",
    [
        of(lambda m, x: nn.functional.linear(x, m.a.weight / m.a.weight.norm()), a=nn.Linear(4, 4)),
        of(lambda m, x: x @ (m.a.weight @ m.b.weight), a=nn.Linear(4, 4), b=nn.Linear(4, 4)),
        of(lambda m, x: x @ (m.a.weight + 1), a=nn.Linear(4, 4)),
    ],
)
def test_a_weight_that_is_computed_with_before_is_refused(net: nn.Module) -> None:
    with pytest.raises(InputError) as error:
        places(net, 4)
    (said,) = error.value.diagnostics
    assert said.code == "flops-unknown"
    assert 'layer "a"' in said.message


def test_a_batch_that_does_not_fit_is_told() -> None:
    with pytest.raises(InputError) as error:
        places(nn.Sequential(nn.Linear(4, 4)), 5)
    assert error.value.diagnostics[0].code == "model-data-shape"


def test_torch_counts_as_many() -> None:
    """FlopCounterMode counts two operations for each multiply-add, those of attention too."""
    nets: list[tuple[nn.Module, tuple[int, ...]]] = [
        (
            nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, groups=4), nn.Flatten(2)),
            (3, 12, 12),
        ),
        (nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 5)), (4, 6)),
    ]
    for net, shape in nets:
        found = places(net, *shape)
        ours = sum(layer.size * found[layer.name] for layer in signature_of(net))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            net.eval()(torch.zeros(1, *shape))
        assert 2 * ours == counter.get_total_flops()


def test_the_benchmark_counts_in_the_same_way() -> None:
    spec = importlib.util.spec_from_file_location("dst", ROOT / "benchmarks" / "dst.py")
    assert spec is not None
    assert spec.loader is not None
    dst = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dst)
    cases = (
        ("lenet", "examples/lenet/lenet.py", "lenet_300_100", (784,)),
        ("convnet", "examples/cifar/convnet.py", "convnet", (3, 32, 32)),
    )
    for name, path, function, shape in cases:
        made = importlib.util.spec_from_file_location(name, ROOT / path)
        assert made is not None
        assert made.loader is not None
        file = importlib.util.module_from_spec(made)
        made.loader.exec_module(file)
        net = getattr(file, function)()
        found = places(net, *shape)
        sizes = {layer.name: (layer.size, found[layer.name]) for layer in signature_of(net)}
        assert sizes == dst.LAYERS[name]


def test_equal_axes_are_told_once() -> None:
    full = np.ones((3, 4))
    assert narrowed(full).shape == ()
    full[1] = 2
    assert narrowed(full).tolist() == [[1], [2], [1]]
    assert np.array_equal(np.broadcast_to(narrowed(full), full.shape), full)
    full[0, 0] = 5
    assert np.array_equal(narrowed(full), full)


# --- ONNX


def onnx_net(path: Path, batch: int | str = "n", length: int | str = 5) -> Path:
    """[batch, length, 4] -> a (4 -> 6) twice the same, W @ x, and a convolution over the length."""
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)

    weights = [
        weight("a.weight", 4, 4),
        weight("left.weight", 3, 4),
        weight("conv.weight", 6, 1, 2),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "a.weight"], ["once"]),
        helper.make_node("MatMul", ["once", "a.weight"], ["twice"]),
        helper.make_node("Transpose", ["twice"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["left.weight", "turned"], ["y"]),  # [n, 3, length]
        helper.make_node("Conv", ["y", "conv.weight"], ["z"], group=3, strides=[2]),
    ]
    shape = [batch, length, 4]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        weights,
    )
    opsets = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def onnx_of(path: Path, data: Any = None) -> dict[str, float]:
    return {name: float(found) for name, found in onnx_places(open_onnx(path), data).items()}


def test_an_onnx_model_by_its_own_shapes(tmp_path: Path) -> None:
    path = onnx_net(tmp_path / "net.onnx")
    assert open_inputs(open_onnx(path).file) == []
    assert onnx_of(path) == {"a": 10, "left": 5, "conv": 2}
    bound = onnx_net(tmp_path / "bound.onnx", batch=3)
    assert onnx_of(bound) == {"a": 10, "left": 5, "conv": 2}


def test_an_onnx_model_by_an_example(tmp_path: Path) -> None:
    path = onnx_net(tmp_path / "net.onnx", length="length")
    assert open_inputs(open_onnx(path).file) == ["x [n, length, 4]"]
    examples = np.zeros((3, 9, 4), np.float32)
    expected = {"a": 18, "left": 9, "conv": 4}
    assert onnx_of(path, Arrays(examples, np.zeros(3, np.int64))) == expected
    np.savez(tmp_path / "x.npz", values=examples)
    assert onnx_of(path, InputsSource(tmp_path / "x.npz", (("x", "values"),))) == expected
    bound = onnx_net(tmp_path / "bound.onnx", batch=4, length="length")
    with pytest.raises(InputError) as caught:
        onnx_of(bound, Arrays(examples, np.zeros(3, np.int64)))
    (found,) = caught.value.diagnostics
    assert found.code == "onnx-inputs"
    assert found.message == "the model takes 4 examples at a time, and the data has 3"


def test_parts_of_weights_in_an_onnx_model_count_where_they_are_used(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "w": rng.normal(size=(4, 7)).astype(np.float32),  # [in, out]: columns 0 to 3, then 4 to 6
        "v": rng.normal(size=(2, 3)).astype(np.float32),  # below one another with some of w
        "sizes": np.array([4, 3]),
    }
    nodes = [
        helper.make_node("Split", ["w", "sizes"], ["a", "b"], axis=1),
        helper.make_node("MatMul", ["x", "a"], ["h"]),  # [n, 5, 4]
        helper.make_node("Concat", ["b", "v"], ["both"], axis=0),
        helper.make_node("Transpose", ["both"], ["turned"], perm=[1, 0]),  # [3, 6]
        helper.make_node("Concat", ["h", "x"], ["twice"], axis=1),  # [n, 10, 4]
        helper.make_node("MatMul", ["twice", "b"], ["y"]),
        helper.make_node("Gemm", ["z", "turned"], ["out"], transB=1),
    ]
    inputs = {"x": ["n", 5, 4], "z": [1, 6]}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("y", "out")],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "net.onnx")
    found = onnx_places(open_onnx(tmp_path / "net.onnx"), None)
    assert {name: array.tolist() for name, array in found.items()} == {
        "w": [[5]] * 4 + [[11]] * 3,
        "v": 1,
    }


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_an_exported_recurrent_layer_is_used_at_every_step(kind: Any, tmp_path: Path) -> None:
    from lottoc.frontends.torch_export import export_module

    net = of(lambda m, x: m.b(m.a(x)[0]), a=kind(4, 3, batch_first=True), b=nn.Linear(3, 2)).eval()
    x = np.zeros((2, 7, 4), np.float32)
    export_module(net, x, tmp_path / "net.onnx", signature_of(net))
    expected = {"a.weight_ih_l0": 7, "a.weight_hh_l0": 7, "b": 7}
    assert places(net, 7, 4) == expected
    assert onnx_of(tmp_path / "net.onnx") == expected


@pytest.mark.parametrize("cut", [False, True])
def test_layers_inside_control_flow_are_refused(cut: bool, tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    end = helper.make_tensor_value_info("t", TensorProto.FLOAT, None)
    inner = helper.make_node("MatMul", ["x", "a" if cut else "w"], ["t"])
    then = helper.make_graph([inner], "then", [], [end])
    split = helper.make_node("Split", ["w"], ["a", "b"], axis=1)
    graph = helper.make_graph(
        [split] * cut
        + [helper.make_node("If", ["yes"], ["y"], then_branch=then, else_branch=then)],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight, numpy_helper.from_array(np.array(True), "yes")],
    )
    opsets = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "net.onnx")
    with pytest.raises(InputError) as error:
        onnx_of(tmp_path / "net.onnx")
    assert error.value.diagnostics[0].code == "flops-unknown"


@pytest.mark.parametrize("part", [slice(4), slice(2, None, 3)])
def test_parts_of_weights_that_have_no_numbers(part: slice) -> None:
    """Language models are counted by shapes alone, also where one multiplies part of a weight."""

    def partly(net: Any, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, net.fc.weight[part])

    expected = np.zeros((8, 6))
    expected[part] = 3
    with FakeTensorMode():
        net, x = of(partly, fc=nn.Linear(6, 8, bias=False)), torch.zeros(3, 6)
        found = torch_places(net, ["fc"], lambda: net(x), "net")["fc"]
    np.testing.assert_array_equal(np.broadcast_to(found, (8, 6)), expected)
