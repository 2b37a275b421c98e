"""The graph of an exported model while its weights are replaced."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx, nn

from lottoc.diagnostics import input_error

Build = Callable[[fx.Node, list[fx.Node]], fx.Node]
ATEN: Any = torch.ops.aten


class Graph:
    """A graph module whose weights are replaced one by one.

    `fc1_weight = get_attr[fc1.weight]` is read by operators; it is replaced by nodes that read what
    is stored in its stead.
    """

    def __init__(self, module: fx.GraphModule) -> None:
        self.module, self.nodes = module, module.graph
        self._first = [n for n in self.nodes.nodes if n.op == "placeholder"][-1].next

    def readers(self, names: Sequence[str]) -> list[fx.Node]:
        """The nodes that read a parameter by any of its names and whose value is used."""
        return [
            node
            for node in self.nodes.nodes
            if node.op == "get_attr" and node.target in names and node.users
        ]

    def store(self, name: str, tensor: torch.Tensor) -> fx.Node:
        """Keep a tensor as a buffer beside a weight; gives the node that reads it.

        Raises `InputError` (fx-format) if the model has another of that name.
        """
        owner, _, leaf = name.rpartition(".")
        parent = self.module.get_submodule(owner)
        if hasattr(parent, leaf):
            message = f'the model has a "{name}" of its own, which is stored beside the weight'
            raise input_error("fx-format", message, help=("rename it in the model",))
        parent.register_buffer(leaf, tensor.contiguous())
        with self.nodes.inserting_before(self._first):
            return self.nodes.get_attr(name)

    def call(self, before: fx.Node | None, operator: Any, *arguments: Any) -> fx.Node:
        """An operator called right before a node, or before all others."""
        with self.nodes.inserting_before(before or self._first):
            return self.nodes.call_function(operator, arguments)

    def replace(self, readers: Sequence[fx.Node], node: fx.Node) -> None:
        """Let all that reads a weight read a node instead."""
        for reader in readers:
            reader.replace_all_uses_with(node, delete_user_cb=lambda user: user is not node)

    def replace_linear(
        self, readers: Sequence[fx.Node], build: Callable[[fx.Node], fx.Node]
    ) -> None:
        """Let `build` make what stands in for each linear layer with the weight, before it."""
        for reader in readers:
            for user in list(reader.users):
                if is_linear(user, reader):
                    user.replace_all_uses_with(build(user))
                    self.nodes.erase_node(user)

    def multiplies(self, readers: Sequence[fx.Node]) -> bool:
        """Whether a weight is read by linear layers alone, which can compute with kept weights."""
        return all(is_linear(user, reader) for reader in readers for user in reader.users)

    def rows(self, readers: Sequence[fx.Node]) -> list[int] | None:
        """How many rows an example brings to each linear layer that reads a weight.

        None if something else reads it too, or another dimension than the batch's is open.
        """
        found = []
        for reader in readers:
            for user in reader.users:
                shape = user.meta["val"].shape if is_linear(user, reader) else ()
                if len(shape) < 2 or not all(isinstance(size, int) for size in shape[1:]):
                    return None
                found.append(math.prod(shape[1:-1]))
        return found

    def sweep(self) -> None:
        """Drop nodes that nothing uses, and the weights that no node reads."""
        self.nodes.eliminate_dead_code()
        for node in list(self.nodes.nodes):
            if node.op == "get_attr" and not node.users:
                self.nodes.erase_node(node)
        read = {node.target for node in self.nodes.nodes if node.op == "get_attr"}
        for name, part in list(self.module.named_modules()):
            for leaf in [*part._parameters, *part._buffers]:
                if (f"{name}.{leaf}" if name else leaf) not in read:
                    delattr(part, leaf)
        self.nodes.lint()
        self.module.recompile()


def is_linear(node: fx.Node, weight: fx.Node) -> bool:
    """Whether a node is a linear layer that reads `weight` as its weight alone."""
    if node.op != "call_function" or node.target != ATEN.linear.default:
        return False
    return node.args[1] is weight and node.all_input_nodes.count(weight) == 1


def parts_of(linear: fx.Node) -> tuple[Any, Any]:
    """What a linear layer reads, and its bias if it has one."""
    return linear.args[0], linear.args[2] if len(linear.args) > 2 else None


def tensor_at(module: nn.Module, name: str) -> torch.Tensor:
    """A parameter or buffer by its dotted name."""
    owner, _, leaf = name.rpartition(".")
    found: torch.Tensor = getattr(module.get_submodule(owner), leaf)
    return found
