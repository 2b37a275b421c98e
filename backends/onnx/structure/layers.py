"""How a node reads a weight as a layer: which way round, with which bias, to which output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lottoc.backends.onnx.representation import Unsuitable
from lottoc.backends.onnx.structure.operators import constant, integer, rank, size


@dataclass(frozen=True)
class Reading:
    """A node that multiplies by a weight.

    `transposed` means that the canonical [out, in] weight is the stored one transposed; `output` is
    what the layer gives, a bias added by a node of its own included.
    """

    node: ir.Node
    transposed: bool
    bias: NDArray[Any] | None
    output: ir.Value


def reading(graph: ir.Graph, node: ir.Node, at: int) -> Reading:
    """How a node reads its input number `at`; raises `Unsuitable` if not as a layer's weight."""
    weight, source = node.inputs[at], node.inputs[0]
    where = f"{node.op_type} {node.name}".rstrip()
    if node.graph is not graph:
        raise Unsuitable(f"{where} is part of a subgraph")
    if at != 1 or weight is None or source is None or node.op_type not in _ROWS:
        raise Unsuitable(f"its weight is also read by {where}")
    if node.domain not in ("", "ai.onnx"):
        raise Unsuitable(f"{where} is no standard operator")
    transposed = _ROWS[node.op_type](node, where)
    bias, output = _bias(node, size(weight, 1 if transposed else 0) or 0, where)
    return Reading(node, transposed, bias, output)


def _conv(node: ir.Node, where: str) -> bool:
    if integer(node, "group", 1) != 1:
        raise Unsuitable(f"{where} is grouped already")
    return False


def _matmul(node: ir.Node, where: str) -> bool:
    found = rank(node.inputs[0]) if node.inputs[0] is not None else None
    if found not in (2, 3):
        what = "of unknown rank" if found is None else f"of rank {found}"
        raise Unsuitable(f"{where} reads an input {what}, 2 or 3 are possible")
    return True


def _gemm(node: ir.Node, where: str) -> bool:
    scales = [node.attributes[n].as_float() for n in ("alpha", "beta") if n in node.attributes]
    if integer(node, "transA", 0) or any(scale != 1.0 for scale in scales):
        raise Unsuitable(f"{where} scales its product or transposes its input")
    return not integer(node, "transB", 0)


_ROWS = {"Conv": _conv, "MatMul": _matmul, "Gemm": _gemm}


def _bias(node: ir.Node, rows: int, where: str) -> tuple[NDArray[Any] | None, ir.Value]:
    """The layer's bias, its own or that of an Add which alone reads its output."""
    output = node.outputs[0]
    if node.op_type != "MatMul":
        own = node.inputs[2] if len(node.inputs) > 2 else None
        if own is None:
            return None, output
        numbers = constant(own)
        if numbers is None or not (numbers.size == 1 or numbers.shape[-1] == numbers.size == rows):
            raise Unsuitable(f"the bias of {where} is not one constant a row")
        return np.broadcast_to(numbers.reshape(-1), (rows,)), output
    users = list(output.uses())
    if len(users) == 1 and users[0].node.op_type == "Add" and not output.is_graph_output():
        adder = users[0].node
        numbers = constant(adder.inputs[1 - users[0].idx])
        if numbers is not None and numbers.shape == (rows,) and adder.graph is node.graph:
            return numbers, adder.outputs[0]
    return None, output
