"""Types and attributes that both dialects share: whole-network values, layers, patterns."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import get_args

from xdsl.dialects.builtin import IntAttr, StringAttr
from xdsl.ir import Attribute, ParametrizedAttribute, TypeAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from lottoc.masks.patterns import UNSTRUCTURED, Pattern, parse
from lottoc.signature import Layer, LayerKind

_DTYPES = {
    "float16": "f16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float64": "f64",
}
_DTYPE_NAMES = {short: name for name, short in _DTYPES.items()}
_KINDS: dict[str, LayerKind] = {kind: kind for kind in get_args(LayerKind)}
_DIMS = re.compile(r"[1-9][0-9]{0,17}(x[1-9][0-9]{0,17})+")


class _OfModel(ParametrizedAttribute, TypeAttribute):
    """A value that belongs to one model, named so that values of two models never mix."""

    model: StringAttr

    def __init__(self, model: str | StringAttr) -> None:
        super().__init__(StringAttr(model) if isinstance(model, str) else model)


@irdl_attr_definition
class ModelType(_OfModel):
    """A network's architecture: `!lotto.model<"lenet">`."""

    name = "lotto.model"


@irdl_attr_definition
class WeightsType(_OfModel):
    """All weights, buffers and optimizer state of a network at one moment of its life."""

    name = "lotto.weights"


@irdl_attr_definition
class MasksType(_OfModel):
    """One mask for each of some layers of a network."""

    name = "lotto.masks"


@irdl_attr_definition
class ScoresType(_OfModel):
    """One saliency score for each weight of some layers of a network."""

    name = "lotto.scores"


@irdl_attr_definition
class StatisticsType(_OfModel):
    """One array for each of some layers of a network: what criteria ask of the whole of it."""

    name = "lotto.statistics"


@irdl_attr_definition
class WiringType(_OfModel):
    """Which units of a network lead to which."""

    name = "lotto.wiring"


@irdl_attr_definition
class PlacesType(_OfModel):
    """At how many places of an example a network uses each of its weights."""

    name = "lotto.places"


@irdl_attr_definition
class DataType(ParametrizedAttribute, TypeAttribute):
    """A data set."""

    name = "lotto.data"


@irdl_attr_definition
class LayerAttr(ParametrizedAttribute):
    """A prunable layer: `#lotto.layer<"fc1", linear, 300x784xf32>`, canonical [out, in, …].

    `#lotto.layer<"q", linear, 64x64xf32, reads 0>` says that layers with this number read the same
    channels, and that these may be put in another order.
    """

    name = "lotto.layer"
    layer_name: StringAttr
    kind: StringAttr
    shape: StringAttr
    """Dimensions and element type, `300x784xf32`."""
    reads: StringAttr
    """A number, or empty."""

    def verify(self) -> None:
        """A kind, a shape and an element type that a layer can have."""
        *dims, element = self.shape.data.split("x")
        if self.kind.data not in _KINDS:
            raise VerifyException(f'unknown layer kind "{self.kind.data}"')
        if element not in _DTYPE_NAMES:
            raise VerifyException(f'weights of type "{element}" cannot be pruned')
        _check_dims("x".join(dims))

    @staticmethod
    def of(layer: Layer) -> LayerAttr:
        """The attribute for a layer of a signature."""
        shape = shape_text(layer.shape, layer.dtype)
        reads = "" if layer.reads is None else str(layer.reads)
        texts = (layer.name, layer.kind, shape, reads)
        return LayerAttr(*map(StringAttr, texts))

    @property
    def layer(self) -> Layer:
        """The layer of a signature that this attribute writes down."""
        *dims, element = self.shape.data.split("x")
        return Layer(
            self.layer_name.data,
            _KINDS[self.kind.data],
            tuple(int(d) for d in dims),
            _DTYPE_NAMES[element],
            int(self.reads.data) if self.reads.data else None,
        )

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        """Parse `<"fc1", linear, 300x784xf32>` or `<"q", linear, 64x64xf32, reads 0>`."""
        reads = ""
        with parser.in_angle_brackets():
            layer_name = parser.parse_str_literal()
            parser.parse_punctuation(",")
            kind = parser.parse_identifier()
            parser.parse_punctuation(",")
            dims, element = parser.parse_ranked_shape()
            if parser.parse_optional_punctuation(","):
                parser.parse_keyword("reads")
                reads = str(parser.parse_integer(allow_boolean=False, allow_negative=False))
        shape = "x".join([*map(str, dims), str(element)])
        return [StringAttr(text) for text in (layer_name, kind, shape, reads)]

    def print_parameters(self, printer: Printer) -> None:
        """Print what `parse_parameters` reads."""
        with printer.in_angle_brackets():
            printer.print_string_literal(self.layer_name.data)
            printer.print_string(f", {self.kind.data}, {self.shape.data}")
            if self.reads.data:
                printer.print_string(f", reads {self.reads.data}")


def shape_text(shape: Sequence[int], dtype: str | None = None) -> str:
    """`300x784`, or `300x784xf32` with an element type."""
    return "x".join([*map(str, shape), *([_DTYPES[dtype]] if dtype else [])])


def _check_dims(dims: str) -> None:
    """A weight has at least two dimensions, [out, in, …], none of them empty."""
    if not _DIMS.fullmatch(dims):
        raise VerifyException(f'"{dims}" is not the shape of a weight, such as 300x784')


class _OfShape(ParametrizedAttribute, TypeAttribute):
    """A per-layer value with canonical dimensions [out, in, …]."""

    dims: StringAttr

    def __init__(self, dims: str | StringAttr | Sequence[int]) -> None:
        if not isinstance(dims, (str, StringAttr)):
            dims = shape_text(dims)
        super().__init__(StringAttr(dims) if isinstance(dims, str) else dims)

    def verify(self) -> None:
        """The shape of a weight."""
        _check_dims(self.dims.data)

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions as numbers."""
        return tuple(int(d) for d in self.dims.data.split("x"))

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        """Parse `<300x784>`."""
        with parser.in_angle_brackets():
            return [StringAttr(shape_text(parser.parse_dimension_list()))]

    def print_parameters(self, printer: Printer) -> None:
        """Print what `parse_parameters` reads."""
        with printer.in_angle_brackets():
            printer.print_string(self.dims.data)


@irdl_attr_definition
class WeightType(_OfShape):
    """The weight of one layer: `!mask.weight<300x784>`."""

    name = "mask.weight"


@irdl_attr_definition
class LayerScoresType(_OfShape):
    """The scores of one layer: `!mask.scores<300x784>`; the highest are kept."""

    name = "mask.scores"


def _parse_pattern(parser: AttrParser) -> str:
    """`2:4`, `rows` or `groups(64, permute = false)`; whether it is one, `verify` says."""
    name = parser.parse_optional_identifier()
    if name is None:
        n = parser.parse_integer()
        parser.parse_punctuation(":")
        return f"{n}:{parser.parse_integer()}"
    if parser.parse_optional_punctuation("(") is None:
        return name
    said = parser.parse_comma_separated_list(parser.Delimiter.NONE, lambda: _argument(parser))
    parser.parse_punctuation(")")
    return f"{name}({', '.join(said)})"


def _argument(parser: AttrParser) -> str:
    """`64` or `permute = false`."""
    name = parser.parse_optional_identifier()
    if name is None:
        return str(parser.parse_integer(allow_boolean=False))
    if name in ("true", "false"):
        return name
    parser.parse_punctuation("=")
    return f"{name} = {_argument(parser)}"


@irdl_attr_definition
class LayerMaskType(ParametrizedAttribute, TypeAttribute):
    """The mask of one layer and its pattern: `!mask.mask<300x784>`, `!mask.mask<300x784, 2:4>`.

    What a pattern means `lottoc.masks.patterns` says.
    """

    name = "mask.mask"
    dims: StringAttr
    pattern_text: StringAttr
    """As the pattern prints; empty for unstructured."""

    def __init__(self, dims: Sequence[int], pattern: Pattern | None = None) -> None:
        text = "" if pattern is None or str(pattern) == UNSTRUCTURED else str(pattern)
        super().__init__(StringAttr(shape_text(dims)), StringAttr(text))

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions as numbers."""
        return tuple(int(d) for d in self.dims.data.split("x"))

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def pattern(self) -> Pattern:
        """What the mask looks like."""
        return parse(self.pattern_text.data or UNSTRUCTURED)

    def verify(self) -> None:
        """A pattern that fits the shape."""
        _check_dims(self.dims.data)
        if self.pattern_text.data == UNSTRUCTURED:
            raise VerifyException("a mask without a pattern is unstructured: leave it out")
        try:
            misfit = self.pattern.misfit(self.shape)
        except ValueError as error:
            raise VerifyException(str(error)) from error
        if misfit:
            raise VerifyException(f"pattern {self.pattern} does not fit {self.dims.data}: {misfit}")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        """Parse `<300x784>`, `<300x784, 2:4>` or `<300x784, groups(64)>`."""
        pattern = ""
        with parser.in_angle_brackets():
            dims = parser.parse_dimension_list()
            if parser.parse_optional_punctuation(","):
                pattern = _parse_pattern(parser)
        return [StringAttr(shape_text(dims)), StringAttr(pattern)]

    def print_parameters(self, printer: Printer) -> None:
        """Print what `parse_parameters` reads."""
        with printer.in_angle_brackets():
            printer.print_string(self.dims.data)
            if self.pattern_text.data:
                printer.print_string(f", {self.pattern_text.data}")


@irdl_attr_definition
class OrderType(ParametrizedAttribute, TypeAttribute):
    """An order of so many channels: `!mask.order<16>`."""

    name = "mask.order"
    channels: IntAttr

    def __init__(self, channels: int | IntAttr) -> None:
        super().__init__(IntAttr(channels) if isinstance(channels, int) else channels)

    def verify(self) -> None:
        """There is something to order."""
        if self.channels.data < 1:
            raise VerifyException("an order of no channels")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        """Parse `<16>`."""
        with parser.in_angle_brackets():
            return [IntAttr(parser.parse_integer(allow_boolean=False, allow_negative=False))]

    def print_parameters(self, printer: Printer) -> None:
        """Print what `parse_parameters` reads."""
        with printer.in_angle_brackets():
            printer.print_string(str(self.channels.data))
