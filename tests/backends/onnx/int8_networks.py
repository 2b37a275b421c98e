"""Networks with groups, written with int8 activations, and ways to run them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

sys.path.insert(0, str(Path(__file__).parent / "structure"))


from lottoc.backends.onnx import emit
from lottoc.backends.onnx.activations import Activations
from lottoc.frontends.onnx_model import OnnxModel, open_onnx

Array = NDArray[Any]


def chain(activation: str = "Relu", batch: int | str = "n", opset: int = 18) -> onnx.ModelProto:
    """Two layers that can be grouped, one that stays, all with a bias."""
    rng, nodes, tensors, x = np.random.default_rng(0), [], [], "x"
    for index, (rows, columns) in enumerate(((32, 24), (16, 32), (5, 16))):
        weight = rng.standard_normal((rows, columns)) / columns**0.5
        names = [f"fc{index}.weight", f"fc{index}.bias"]
        tensors.append(numpy_helper.from_array(weight.astype(np.float32), names[0]))
        bias = 0.5 * rng.standard_normal(rows)
        tensors.append(numpy_helper.from_array(bias.astype(np.float32), names[1]))
        nodes.append(helper.make_node("Gemm", [x, *names], [f"h{index}"], transB=1))
        x = f"h{index}"
        if index < 2:
            nodes.append(helper.make_node(activation, [x], [f"r{index}"]))
            x = f"r{index}"
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 24]),
        helper.make_tensor_value_info(x, TensorProto.FLOAT, [batch, 5]),
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def grouped(model: OnnxModel, names: tuple[str, ...] = ("fc0", "fc1")) -> dict[str, Array]:
    """Two groups of rows in turn, each with a third of the columns."""
    rng, found = np.random.default_rng(1), {}
    for name in names:
        rows, columns = model.weights[name].layer.shape
        mask = np.zeros((rows, columns), np.bool_)
        for part in (np.arange(0, rows, 2), np.arange(1, rows, 2)):
            mask[np.ix_(part, rng.choice(columns, columns // 3, replace=False))] = True
        found[name] = mask
    return found


def seen(count: int = 4, batch: int = 6, scale: float = 1.0) -> list[dict[str, Array]]:
    rng = np.random.default_rng(2)
    return [
        {"x": (scale * rng.standard_normal((batch, 24))).astype(np.float32)} for _ in range(count)
    ]


def activations(batches: list[dict[str, Array]] | None = None) -> Activations:
    return Activations(lambda model: seen() if batches is None else batches)


def written(folder: Path, proto: onnx.ModelProto, **known: Any) -> tuple[OnnxModel, Any, Path]:
    onnx.save(proto, folder / "dense.onnx")
    model, path = open_onnx(folder / "dense.onnx"), folder / "out.onnx"
    masks = grouped(model)
    emit(model, path, masks, format="groups", values="int8", **known)
    return model, masks, path


def session(path: Path, folder: Path | None = None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if folder is not None:
        options.optimized_model_filepath = str(folder / "optimized.onnx")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def optimized(path: Path, folder: Path) -> list[str]:
    """The operators that onnxruntime makes of a file."""
    session(path, folder)
    return [node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node]


def by_the_standard(path: Path, feed: dict[str, Array]) -> list[Array]:
    """The outputs of the ONNX project's own evaluator, which has DequantizeLinear from 19 on."""
    proto = onnx.load(path)
    proto.opset_import[0].version = max(19, proto.opset_import[0].version)
    return list(ReferenceEvaluator(proto).run(None, feed))
