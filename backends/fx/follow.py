"""Follows the units of a network through its torch program.

A unit's number stays with it through activations, normalization, pooling, flattening, concatenation
and residual joins; channels that are joined elementwise become one unit. Where an operator mixes or
reorders channels in a way that is not known here, its units are pinned: they stay.
`lottoc.backends.onnx.structure.units` does the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from lottoc.backends.fx.graph import ATEN, Graph, is_linear, tensor_at
from lottoc.backends.fx.units import Carrier, Floats, Mixer, Units, constants

_WORDS = (
    *("relu", "gelu", "silu", "sigmoid", "tanh", "hardtanh", "relu6", "leaky_relu", "elu", "selu"),
    *("hardswish", "hardsigmoid", "softplus", "mish", "neg", "abs", "clone", "contiguous", "alias"),
)
_IN_PLACE = ("relu", "hardtanh", "relu6", "leaky_relu", "elu", "silu", "hardswish")
UNARY = {getattr(ATEN, word).default for word in _WORDS}
UNARY |= {getattr(ATEN, f"{word}_").default for word in _IN_PLACE}
"""Operators on each number alone; of the second kind those that overwrite what they read."""
POOLING = {
    getattr(ATEN, f"{kind}pool{dims}d").default
    for kind in ("max_", "avg_", "adaptive_avg_")
    for dims in (1, 2, 3)
}
BINARY = {getattr(ATEN, word).Tensor for word in ("add", "sub", "mul", "div", "add_", "mul_")}
CONVOLUTIONS = {getattr(ATEN, f"conv{dims}d").default: dims for dims in (1, 2, 3)}


def find_units(graph: Graph) -> Units:
    """Follow units through the graph of an exported program."""
    units = Units()
    follow = _Follow(graph, units)
    for node in graph.nodes.nodes:
        if not follow.node(node):
            for given in node.all_input_nodes:
                units.pin(given)
    return units


@dataclass(frozen=True)
class _Follow:
    graph: Graph
    units: Units

    def node(self, node: fx.Node) -> bool:
        """Give a node's output its carrier; False if it is not known what happens to channels."""
        if node.op != "call_function":
            return node.op != "output"
        rule = _RULES.get(node.target)
        if rule is not None:
            return rule(self, node)
        return not any(given in self.units.carriers for given in node.all_input_nodes)

    def own(self, node: Any, reader: fx.Node) -> Floats | None:
        """The numbers of a tensor that one node alone reads."""
        if not isinstance(node, fx.Node) or node.op != "get_attr" or len(node.users) != 1:
            return None
        tensor = tensor_at(self.graph.module, str(node.target))
        others = [n for n in self.graph.nodes.nodes if n.op == "get_attr" and n is not node]
        if any(tensor_at(self.graph.module, str(n.target)) is tensor for n in others if n.users):
            return None
        return tensor.detach().double().numpy()

    def mixer(self, node: fx.Node, axis: int, padded: bool) -> bool:
        """A linear layer, or a convolution without groups."""
        given, weight, bias = (*arguments(node), None, None)[:3]
        own = self.own(weight, node)
        added = self.own(bias, node) if bias is not None else None
        if own is None or (bias is not None and added is None):
            return False
        assert isinstance(given, fx.Node)
        source = self.units.carriers.get(given)
        if source is not None and source.axis != axis:
            return False
        flat = own.reshape(*own.shape[:2], -1)
        added = np.zeros(len(own)) if added is None else added
        ids = self.units.fresh(len(own))
        made = Mixer(node, flat, added, source, ids, padded)
        self.units.mixers.append(made)
        self.units.carriers[node] = Carrier(axis, ids, constants(made))
        return True

    def linear(self, node: fx.Node) -> bool:
        weight = arguments(node)[1]
        if not isinstance(weight, fx.Node) or not is_linear(node, weight):
            return False
        return self.mixer(node, rank(node) - 1, padded=False)

    def convolution(self, node: fx.Node) -> bool:
        said = list(arguments(node))
        given, weight, _, _, padding, _, groups = said + list(_CONV_DEFAULTS[len(said) :])
        if rank(node) != _dimensions(node) + 2:
            return False
        if groups == 1:
            padded = padding if isinstance(padding, list | tuple) else [padding]
            return self.mixer(node, 1, any(p != 0 for p in padded))
        return self._depthwise(node, given, weight, groups)

    def _depthwise(self, node: fx.Node, given: Any, weight: Any, groups: Any) -> bool:
        source, own = self.units.carriers.get(given), self.own(weight, node)
        bias = arguments(node)[2] if len(arguments(node)) > 2 else None
        added = self.own(bias, node) if bias is not None else None
        if source is None or own is None or (bias is not None and added is None):
            return False
        if own.shape[:2] != (groups, 1) or source.axis != 1:
            return False
        rest = np.zeros(groups) if added is None else added
        silent = (source.numbers == 0) | (own.reshape(groups, -1) == 0).all(axis=1)
        self.units.depthwise.append(node)
        self._with(node, source, [weight, bias], np.where(silent, rest, np.nan))
        return True

    def batch_norm(self, node: fx.Node) -> bool:
        given, *tensors, training, _, eps, _ = arguments(node)
        source = self.units.carriers.get(given)
        owned = [self.own(t, node) for t in tensors if t is not None]
        if training or source is None or source.axis != 1 or any(o is None for o in owned):
            return source is None and not training
        weight, bias, mean, variance = (None if t is None else self.own(t, node) for t in tensors)
        if mean is None or variance is None:
            return False
        numbers = (source.numbers - mean) / np.sqrt(variance + eps)
        numbers = numbers if weight is None else numbers * weight
        self._with(node, source, tensors, numbers if bias is None else numbers + bias)
        return True

    def _with(self, node: fx.Node, like: Carrier, owned: list[Any], numbers: Floats) -> None:
        self.units.carriers[node] = Carrier(like.axis, like.ids, numbers)
        self.units.owners[node] = [t for t in owned if t is not None]

    def unary(self, node: fx.Node) -> bool:
        given, *rest = arguments(node)
        source = self.units.carriers.get(given)
        if source is None:
            return True
        if self._overwritten(node, given) or any(isinstance(a, fx.Node) for a in rest):
            return False
        apply: Any = node.target
        found = apply(torch.from_numpy(source.numbers.copy()), *rest, **node.kwargs).numpy()
        self._with(node, source, [], found)
        return True

    @staticmethod
    def _overwritten(node: fx.Node, given: Any) -> bool:
        """Whether the node overwrites what others read as well."""
        name = str(node.target).split(".")[1]
        return name.endswith("_") and len(given.users) > 1

    def dropout(self, node: fx.Node) -> bool:
        given, _, training = arguments(node)
        source = self.units.carriers.get(given)
        if source is not None and not training:
            self.units.carriers[node] = source
        return not training

    def pooling(self, node: fx.Node) -> bool:
        given, *rest = arguments(node)
        source = self.units.carriers.get(given)
        if source is None:
            return True
        if source.axis != 1 or rank(node) != rank(given) or any(map(is_node, rest)):
            return False
        widened = "aten.avg_pool" in str(node.target) and len(rest) > 2
        numbers = np.where(source.numbers == 0, 0.0, np.nan) if widened else source.numbers
        self._with(node, source, [], numbers)
        return True

    def mean(self, node: fx.Node) -> bool:
        given, dims, *keep = arguments(node)
        source = self.units.carriers.get(given)
        if source is None:
            return True
        length = rank(given)
        gone = sorted(int(d) % length for d in dims)
        if source.axis in gone or not gone:
            return False
        axis = source.axis if keep and keep[0] else source.axis - sum(d < source.axis for d in gone)
        self.units.carriers[node] = Carrier(axis, source.ids, source.numbers)
        return True

    def binary(self, node: fx.Node) -> bool:
        carried = [a for a in arguments(node) if is_node(a) and a in self.units.carriers]
        if not carried:
            return True
        if node.kwargs or any(is_node(a) and a not in carried for a in arguments(node)):
            return False
        if self._overwritten(node, arguments(node)[0]):
            return False
        found = [self.units.carriers[a] for a in carried]
        if len(found) == 2:
            one, other = found
            same = (one.axis, one.ids.size) == (other.axis, other.ids.size)
            if not same or rank(carried[0]) != rank(carried[1]):
                return False
            self.units.joined.append((one.ids, other.ids))
        given = [
            torch.from_numpy(self.units.carriers[a].numbers.copy()) if is_node(a) else a
            for a in arguments(node)
        ]
        apply: Any = node.target
        self._with(node, found[0], [], apply(*given).numpy())
        return True

    def concat(self, node: fx.Node) -> bool:
        parts: Any = arguments(node)[0]
        axis = int(arguments(node)[1]) if len(arguments(node)) > 1 else 0
        found = [self.units.carriers.get(part) for part in parts]
        known = [carrier for carrier in found if carrier is not None]
        if not known:
            return True
        axis %= rank(node)
        if len(known) < len(found) or any(carrier.axis != axis for carrier in known):
            return False
        ids = np.concatenate([carrier.ids for carrier in known])
        numbers = np.concatenate([carrier.numbers for carrier in known])
        self.units.carriers[node] = Carrier(axis, ids, numbers)
        return True

    def view(self, node: fx.Node) -> bool:
        """[…, channels] -> […, channels], or [batch, channels, places…] -> [batch, all]."""
        given = arguments(node)[0]
        source = self.units.carriers.get(given)
        if source is None:
            return True
        before, after = shape(given), shape(node)
        if source.axis == len(before) - 1 and after[-1] == source.ids.size:
            found = Carrier(len(after) - 1, source.ids, source.numbers)
        else:
            places = before[2:]
            if source.axis != 1 or len(after) != 2 or not all(type(p) is int for p in places):
                return False
            count = math.prod(places)
            if str(after[0]) != str(before[0]) or after[1] != count * source.ids.size:
                return False
            found = Carrier(1, np.repeat(source.ids, count), np.repeat(source.numbers, count))
        self.units.carriers[node] = found
        if node.target != ATEN.flatten.using_ints:
            self.units.views.append(node)
        return True

    def turned(self, node: fx.Node) -> bool:
        given, *rest = arguments(node)
        source = self.units.carriers.get(given)
        if source is None:
            return True
        order = list(range(rank(given)))
        if node.target == ATEN.permute.default:
            order = [int(d) % len(order) for d in rest[0]]
        else:
            one, other = (int(d) % len(order) for d in rest)
            order[one], order[other] = order[other], order[one]
        found = Carrier(order.index(source.axis), source.ids, source.numbers)
        self.units.carriers[node] = found
        return True

    def size(self, node: fx.Node) -> bool:
        source = self.units.carriers.get(arguments(node)[0])
        return source is None or bool(arguments(node)[1] != source.axis)


def arguments(node: fx.Node) -> Any:
    """What a node is called with; operators of torch have arguments of any type."""
    return node.args


def is_node(argument: Any) -> bool:
    """Whether an argument is a value of the graph."""
    return isinstance(argument, fx.Node)


def shape(node: Any) -> list[Any]:
    """Lengths of a node's value; open ones are symbols."""
    return list(node.meta["val"].shape)


def rank(node: Any) -> int:
    """Number of dimensions of a node's value."""
    return len(shape(node))


def _dimensions(node: Any) -> int:
    return CONVOLUTIONS[node.target]


_CONV_DEFAULTS = (None, None, None, 1, 0, 1, 1)
_RULES: dict[Any, Callable[[_Follow, fx.Node], bool]] = {
    ATEN.linear.default: _Follow.linear,
    ATEN.batch_norm.default: _Follow.batch_norm,
    ATEN.dropout.default: _Follow.dropout,
    ATEN.dropout_.default: _Follow.dropout,
    ATEN.mean.dim: _Follow.mean,
    ATEN.cat.default: _Follow.concat,
    ATEN.flatten.using_ints: _Follow.view,
    ATEN.view.default: _Follow.view,
    ATEN.reshape.default: _Follow.view,
    ATEN.permute.default: _Follow.turned,
    ATEN.transpose.int: _Follow.turned,
    ATEN.sym_size.int: _Follow.size,
    **dict.fromkeys(UNARY, _Follow.unary),
    **dict.fromkeys(POOLING, _Follow.pooling),
    **dict.fromkeys(BINARY, _Follow.binary),
    **dict.fromkeys(CONVOLUTIONS, _Follow.convolution),
}
