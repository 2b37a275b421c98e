"""Finds the weights of an ONNX graph that can be pruned, and says why others cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_file import MAX_DEPTH, Node, OnnxFile, read_nodes
from lottoc.frontends.protobuf import Damaged, Message
from lottoc.signature import Layer, LayerKind


@dataclass(frozen=True)
class Stored:
    """A constant of the graph that may be a weight: the value's name, type and storage shape."""

    name: str
    data_type: int
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Weight:
    """A prunable layer and how its canonical layout follows from the storage.

    `transposed` means that the canonical [out, in] array is the stored one transposed.
    `uses` names every node that reads the weight, `others` those that read it as something else
    than a weight, e.g. the Gather of a tied embedding. `readers` are those that read all of it, and
    `in_parts` says that others read it cut up, or put together in another order.
    """

    layer: Layer
    stored: Stored
    transposed: bool
    uses: tuple[str, ...]
    others: tuple[str, ...]
    readers: tuple[Reader, ...] = ()
    in_parts: bool = False


@dataclass(frozen=True)
class Reader:
    """A node that multiplies by a weight: `index` is which of its inputs the weight is."""

    node: Node
    index: int


@dataclass
class _Use:
    kind: LayerKind
    transposed: bool
    reader: Reader
    whole: bool = True

    @property
    def node(self) -> Node:
        return self.reader.node


@dataclass(frozen=True)
class _Source:
    """What a value of the graph is a view of: a stored constant, or something unprunable."""

    stored: Stored
    transposed: bool = False
    obstacle: str = ""


_Scope = dict[str, _Source]
_Part = tuple[str, bool]
"""A stored constant of which a value is made, and whether it comes transposed."""

_ARRANGING = frozenset({"Slice", "Split", "Concat", "Transpose", "Unsqueeze", "Identity", "Cast"})
"""Operators that give numbers of constants at other places."""
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})

_OTHER_WEIGHTS = {
    "ConvTranspose": (1,),
    "ConvInteger": (1,),
    "MatMulInteger": (1,),
    "QLinearConv": (3,),
    "QLinearMatMul": (3,),
    "LSTM": (1, 2),
    "GRU": (1, 2),
    "RNN": (1, 2),
    "Einsum": (0, 1),
    "DeformConv": (1,),
    "Attention": (1,),
    "QAttention": (1,),
    "MatMulNBits": (1,),
    "FusedMatMul": (0, 1),
    "FusedConv": (1,),
    "FusedGemm": (1,),
}
"""Inputs that hold weights which this version cannot prune."""


@dataclass
class LayerFinder:
    """Walks a graph once and collects weights in the order of their first use."""

    file: OnnxFile
    stored: Mapping[str, Stored]
    uses: dict[str, list[_Use]] = field(default_factory=dict)
    others: dict[str, list[str]] = field(default_factory=dict)
    obstacles: dict[str, str] = field(default_factory=dict)
    arranged: dict[str, tuple[_Part, ...]] = field(default_factory=dict)
    """Of values that are parts of matrices, or parts put together, what they are made of."""

    def find(self) -> tuple[list[Weight], list[tuple[str, str]]]:
        """The prunable weights, and (name, reason) of those left out."""
        scope = {name: _Source(stored) for name, stored in self.stored.items()}
        self._walk(self.file.nodes, scope, 0)
        weights: list[Weight] = []
        names: set[str] = set()
        for key, uses in self.uses.items():
            obstacle = self.obstacles.get(key) or self._conflict(key, uses)
            if obstacle:
                self.obstacles[key] = obstacle
                continue
            weights.append(self._weight(self.stored[key], uses, names))
        return weights, sorted(self.obstacles.items())

    def _conflict(self, key: str, uses: list[_Use]) -> str:
        stored = self.stored[key]
        if stored.data_type not in tuple(schema.FLOATING):
            return "its numbers are not floating point"
        if 0 in stored.dims:
            return "it has no numbers"
        kinds = {use.kind for use in uses}
        if len(kinds) > 1:
            other = "recurrent" if "recurrent" in kinds else "convolution"
            return f"it is both a linear and a {other} weight"
        return ""

    def _weight(self, stored: Stored, uses: list[_Use], names: set[str]) -> Weight:
        first = uses[0]
        shape = stored.dims[::-1] if first.transposed else stored.dims
        name = base = layer_name(stored.name, first.node)
        count = 1
        while name in names:
            count += 1
            name = f"{base}_{count}"
        names.add(name)
        dtype = schema.FLOATING[schema.DataType(stored.data_type)]
        readers = [use.node.name or use.node.op for use in uses]
        others = self.others.get(stored.name, [])
        turned = [
            f"{use.node.name or use.node.op} (transposed)"
            for use in uses
            if use.transposed != first.transposed
        ]
        return Weight(
            Layer(name, first.kind, shape, dtype),
            stored,
            first.transposed,
            tuple(readers),
            tuple(others + turned),
            tuple(use.reader for use in uses if use.whole),
            not all(use.whole for use in uses),
        )

    def _walk(self, nodes: list[Node], scope: _Scope, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Damaged(f"graphs are nested more than {MAX_DEPTH} deep")
        for node in nodes:
            self._arrange(node, scope)
            self._pass_through(node, scope)
            self._record(node, scope)
            for body in node.bodies():
                self._walk(list(read_nodes(body)), self._inner_scope(body, scope, node), depth + 1)

    def _inner_scope(self, body: Message, scope: _Scope, node: Node) -> _Scope:
        inner = dict(scope)
        for message in body.messages(schema.Graph.INPUT):
            inner.pop(message.text(1), None)
        obstacle = f"it belongs to the body of {node.op} {node.name}".rstrip()
        for message in body.messages(schema.Graph.INITIALIZER):
            name = message.text(schema.Tensor.NAME)
            dims = tuple(message.integers(schema.Tensor.DIMS))
            data_type = message.integer(schema.Tensor.DATA_TYPE)
            inner[name] = _Source(Stored(name, data_type, dims), obstacle=obstacle)
        return inner

    def _pass_through(self, node: Node, scope: _Scope) -> None:
        """Follow a constant through the nodes that exporters put between it and its use."""
        source = scope.get(node.inputs[0]) if node.inputs else None
        if node.domain in ("", "ai.onnx") and source and len(node.outputs) == 1:
            output = node.outputs[0]
            if node.op in ("Identity", "Cast"):
                scope[output] = source
            elif node.op == "Transpose" and len(source.stored.dims) == 2:
                perm = node.attributes.get("perm")
                axes = perm.integers(schema.Attribute.INTS) if perm else [1, 0]
                flip = axes == [1, 0]
                scope[output] = _Source(source.stored, source.transposed != flip, source.obstacle)
            elif node.op in ("DequantizeLinear", "QuantizeLinear"):
                scope[output] = _Source(source.stored, obstacle="it is quantized")
            elif node.op in ("Transpose", "Reshape", "Squeeze", "Unsqueeze"):
                scope[output] = _Source(source.stored, obstacle=f"it passes through {node.op}")

    def _arrange(self, node: Node, scope: _Scope) -> None:
        """Follow parts of constant matrices to where they are put together."""
        if node.domain not in ("", "ai.onnx") or node.op not in _ARRANGING:
            return
        parts: list[_Part] = []
        for name in node.inputs if node.op == "Concat" else node.inputs[:1]:
            source = scope.get(name)
            if name in self.arranged:
                parts += self.arranged[name]
            elif source is not None and len(source.stored.dims) == 2 and not source.obstacle:
                parts.append((source.stored.name, source.transposed))
            else:
                return  # it is made of something else as well
        if node.op == "Transpose":
            parts = [(name, not turned) for name, turned in parts]
        self.arranged.update(dict.fromkeys(node.outputs, tuple(dict.fromkeys(parts))))

    def _record(self, node: Node, scope: _Scope) -> None:
        claimed: set[int] = set()
        if node.domain in ("", "ai.onnx"):
            for index, kind, flip in _arranged_inputs(node, scope, self.arranged):
                claimed.add(index)
                for stored, turned in self.arranged[node.inputs[index]]:
                    use = _Use(kind, turned != flip, Reader(node, index), whole=False)
                    self.uses.setdefault(stored, []).append(use)
            for index, kind, flip in _weight_inputs(node, scope):
                claimed.add(index)
                self._claim(Reader(node, index), scope[node.inputs[index]], kind, flip)
        for index in _OTHER_WEIGHTS.get(node.op, ()):
            source = scope.get(node.inputs[index]) if index < len(node.inputs) else None
            if source and len(source.stored.dims) >= 2 and index not in claimed:
                claimed.add(index)
                self._refuse(source, f"weights of {node.op} are not pruned in this version")
        passing = node.op in _ARRANGING or node.op == "DequantizeLinear"
        for index, name in enumerate(node.inputs):
            if name in scope and index not in claimed and not passing:
                label = node.name or node.op
                self.others.setdefault(scope[name].stored.name, []).append(label)
            elif name in self.arranged and index not in claimed and not passing:
                for stored, _ in self.arranged[name]:
                    self.others.setdefault(stored, []).append(node.name or node.op)

    def _claim(self, reader: Reader, source: _Source, kind: LayerKind, flip: bool) -> None:
        node = reader.node
        rank = len(source.stored.dims)
        where = f"{node.op} {node.name}".rstrip()
        if source.obstacle:
            self._refuse(source, source.obstacle)
        elif kind == "linear" and rank != 2:
            if rank > 2:
                self._refuse(source, f"{where} multiplies a stack of matrices (rank {rank})")
        elif kind == "conv" and (rank not in (3, 4, 5) or source.transposed):
            self._refuse(source, f"{where} is no 1-, 2- or 3-dimensional convolution")
        else:
            turned = source.transposed != flip
            self.uses.setdefault(source.stored.name, []).append(_Use(kind, turned, reader))

    def _refuse(self, source: _Source, reason: str) -> None:
        self.obstacles.setdefault(source.stored.name, reason)


def _weight_inputs(node: Node, scope: _Scope) -> Iterator[tuple[int, LayerKind, bool]]:
    """(input, kind, whether [out, in] is that input transposed) of a node's constant weight."""
    constant = [name in scope for name in node.inputs]
    if node.op == "Conv" and constant[1:2] == [True]:
        yield 1, "conv", False
    elif node.op == "MatMul" and len(constant) == 2 and any(constant):
        yield (1, "linear", True) if constant[1] else (0, "linear", False)
    elif node.op == "Gemm" and len(constant) >= 2 and any(constant[:2]):
        if constant[1]:
            yield 1, "linear", not node.integer("transB", 0)
        else:
            yield 0, "linear", bool(node.integer("transA", 0))


def _arranged_inputs(
    node: Node, scope: _Scope, arranged: Mapping[str, tuple[_Part, ...]]
) -> Iterator[tuple[int, LayerKind, bool]]:
    """The same of weights that are parts of stored ones, or put together of several."""
    if node.op in _RECURRENT:
        yield from ((i, "recurrent", False) for i in (1, 2) if node.inputs[i] in arranged)
        return
    known = [name in arranged and name not in scope for name in node.inputs[:2]]
    if len(known) < 2 or not (known[0] ^ known[1]):
        return
    index = 0 if known[0] else 1
    if node.inputs[1 - index] in scope:
        return  # a product of constants
    if node.op == "MatMul":
        yield index, "linear", index == 1
    elif node.op == "Gemm" and index == 1:
        yield 1, "linear", not node.integer("transB", 0)


_MADE_UP = re.compile(r"(val|const|constant|onnx::\w+|tensor|t|init|initializer)?_?\d*(_output_0)?")


def layer_name(stored: str, node: Node) -> str:
    """The name a person knows a layer by.

    A parameter path (`fc1.weight`) loses its `.weight`; a name that an exporter made up gives way
    to the module the node comes from (torch notes it) or to the node's own path.
    """
    if not _MADE_UP.fullmatch(stored.lower()) and not stored.startswith("/"):
        return stored.removesuffix(".weight") or stored
    module = _module_of(node)
    path = ".".join(part for part in node.name.split("/")[1:-1] if part)
    return module or path or stored.strip("/") or node.name or node.op


def _module_of(node: Node) -> str:
    scopes = re.findall(r"'([^']*)'", node.metadata.get("pkg.torch.onnx.name_scopes", ""))
    return scopes[-2] if len(scopes) >= 2 else ""
