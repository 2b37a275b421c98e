"""What a result is, in a few words: for the log of a build."""

from __future__ import annotations

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Operation, SSAValue

from lottoc.ir import lotto, mask
from lottoc.ir.place import labels


def describe(op: Operation) -> str:
    """The operation, what tells it from its like, and where the recipe asks for it."""
    place = "".join(f"  {label.span}" for label in labels(op)[:1])
    return f"{_words(op)}{place}"


def _words(op: Operation) -> str:
    name = op.name.partition(".")[2]
    match op:
        case lotto.TrainOp():
            masked = " under a mask" if op.masks is not None else ""
            return f"train steps {op.first.value.data} to {op.last.value.data}{masked}"
        case lotto.TrainSparseOp():
            steps = f"steps {op.first.value.data} to {op.last.value.data}"
            return f"train {steps}, masks moved by {op.update.data}"
        case lotto.EvaluateOp() | lotto.MeasureOp():
            return f"{name} {op.metric.data}"
        case mask.OrderOp():
            return f"order of channels for {_names([_layer_of(score) for score in op.scores])}"
        case lotto.ProxyOp():
            return f"proxy {op.proxy.data} of {lotto.model_of(op.weights)}"
        case lotto.ReconstructOp():
            return f"reconstruct by {op.criterion.data}"
        case lotto.GatherOp():
            return f"gather {op.statistic.data}"
    layer = _layer(op)
    return f"{name} {layer}" if layer else name


def _layer_of(value: SSAValue) -> str:
    return _layer(value.owner) if isinstance(value.owner, Operation) else ""


def _names(layers: list[str]) -> str:
    """`q, k and v`, or `q, k and 9 more`."""
    shown = layers if len(layers) <= 3 else [*layers[:2], f"{len(layers) - 2} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _layer(op: Operation) -> str:
    """The layer that a result is of: its own or that of what it is made from; empty for several."""
    while len(op.results) == 1:
        layer = op.properties.get("layer")
        if isinstance(layer, StringAttr):
            return layer.data
        owner = op.operands[0].owner if op.operands else None
        if not isinstance(owner, Operation):
            break
        op = owner
    return ""
