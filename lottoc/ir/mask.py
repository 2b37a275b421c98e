"""The `mask` dialect: the same workflow layer by layer, shapes and patterns in the types.

Training stays whole-network (`lotto.train`); `mask.bundle` hands it the masks of single layers.
"""

from __future__ import annotations

from xdsl.dialects.builtin import I64 as Int64
from xdsl.dialects.builtin import ArrayAttr, BoolAttr, DictionaryAttr, IntegerAttr, StringAttr
from xdsl.ir import Dialect, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from lottoc.ir.amounts import check_plain, check_seed
from lottoc.ir.lotto import WEIGHTS
from lottoc.ir.types import LayerMaskType, LayerScoresType, MasksType, WeightType


def mask_type(value: SSAValue) -> LayerMaskType:
    """The type of a per-layer mask."""
    assert isinstance(value.type, LayerMaskType)
    return value.type


def weight_type(value: SSAValue) -> WeightType:
    """The type of a layer's weight."""
    assert isinstance(value.type, WeightType)
    return value.type


def scores_type(value: SSAValue) -> LayerScoresType:
    """The type of per-layer scores."""
    assert isinstance(value.type, LayerScoresType)
    return value.type


def _same_shape(*values: SSAValue) -> None:
    shapes = []
    for value in values:
        assert isinstance(value.type, LayerMaskType | LayerScoresType | WeightType)
        shapes.append(value.type.dims.data)
    if len(set(shapes)) > 1:
        raise VerifyException(f"shapes differ: {', '.join(shapes)}")


def _unstructured(*values: SSAValue) -> None:
    for value in values:
        if mask_type(value).pattern.data:
            raise VerifyException(
                f"nothing makes the result {mask_type(value).pattern.data}: it is unstructured"
            )


def _at_most(kept: int, available: int) -> None:
    if not 0 <= kept <= available:
        raise VerifyException(f"cannot keep {kept} of {available} weights")


@irdl_op_definition
class WeightOp(IRDLOperation):
    """The weight of one layer.

    `%w = mask.weight "fc1" of %theta : !lotto.weights<"lenet"> -> !mask.weight<300x784>`
    """

    name = "mask.weight"
    weights = operand_def(WEIGHTS)
    layer = prop_def(StringAttr)
    result = result_def(WeightType)
    traits = traits_def(Pure())
    assembly_format = "$layer `of` $weights attr-dict `:` type($weights) `->` type($result)"


@irdl_op_definition
class ScoreOp(IRDLOperation):
    """Score the weights of one layer by a criterion that looks at no other layer.

    `%s = mask.score "magnitude" %w {layer = "fc1", options = {}} : … -> !mask.scores<300x784>`
    """

    name = "mask.score"
    weight = operand_def(WeightType)
    criterion = prop_def(StringAttr)
    layer = prop_def(StringAttr)
    options = prop_def(DictionaryAttr)
    result = result_def(LayerScoresType)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$criterion $weight attr-dict `:` type($weight) `->` type($result)"

    def verify_(self) -> None:
        """Shapes and counts fit together."""
        _same_shape(self.weight, self.result)
        check_plain(options=self.options)


@irdl_op_definition
class KeepOp(IRDLOperation):
    """Keep exactly the `kept` best scores of a layer, among those `within` an earlier mask.

    Equal scores keep the lower position (C order).
    """

    name = "mask.keep"
    scores = operand_def(LayerScoresType)
    within = opt_operand_def(LayerMaskType)
    kept = prop_def(IntegerAttr[Int64])
    result = result_def(LayerMaskType)
    traits = traits_def(Pure())
    assembly_format = (
        "$kept `of` $scores (`within` $within^ `:` type($within) `,`)? attr-dict"
        " `:` type($scores) `->` type($result)"
    )

    def verify_(self) -> None:
        """Shapes and counts fit together."""
        _same_shape(self.scores, self.result, *([self.within] if self.within else []))
        _unstructured(self.result)
        _at_most(self.kept.value.data, scores_type(self.scores).size)


@irdl_op_definition
class KeepGlobalOp(IRDLOperation):
    """Keep exactly the `kept` best scores of several layers ranked together.

    Equal scores keep the earlier layer, then the lower position. `within` is absent or one mask
    a layer.
    """

    name = "mask.keep_global"
    scores = var_operand_def(LayerScoresType)
    within = var_operand_def(LayerMaskType)
    kept = prop_def(IntegerAttr[Int64])
    masks = var_result_def(LayerMaskType)
    traits = traits_def(Pure())
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    assembly_format = (
        "$kept `of` `(` $scores `:` type($scores) `)`"
        " `within` `(` ($within^ `:` type($within))? `)` attr-dict `->` type($masks)"
    )

    def verify_(self) -> None:
        """Shapes and counts fit together."""
        if len(self.scores) != len(self.masks) or len(self.within) not in (0, len(self.scores)):
            counts = (len(self.scores), len(self.within), len(self.masks))
            raise VerifyException("{} scores, {} earlier masks, {} masks".format(*counts))
        if not self.scores:
            raise VerifyException("no layers to rank")
        for index, (score, mask) in enumerate(zip(self.scores, self.masks, strict=True)):
            _same_shape(score, mask, *self.within[index : index + 1])
        _unstructured(*self.masks)
        _at_most(self.kept.value.data, sum(scores_type(s).size for s in self.scores))


@irdl_op_definition
class KeepNMOp(IRDLOperation):
    """Keep the `n` best of every `m` consecutive scores along axis 1, the reduction dimension.

    `%m = mask.keep_nm 2 of 4 in %s : !mask.scores<64x64> -> !mask.mask<64x64, 2:4>`
    """

    name = "mask.keep_nm"
    scores = operand_def(LayerScoresType)
    within = opt_operand_def(LayerMaskType)
    n = prop_def(IntegerAttr[Int64])
    m = prop_def(IntegerAttr[Int64])
    result = result_def(LayerMaskType)
    traits = traits_def(Pure())
    assembly_format = (
        "$n `of` $m `in` $scores (`within` $within^ `:` type($within) `,`)? attr-dict"
        " `:` type($scores) `->` type($result)"
    )

    def verify_(self) -> None:
        """Shapes and counts fit together."""
        _same_shape(self.scores, self.result, *([self.within] if self.within else []))
        n, m = self.n.value.data, self.m.value.data
        if mask_type(self.result).n_of_m != (n, m):
            raise VerifyException(f"the result's type must say {n}:{m}")


@irdl_op_definition
class KeepGroupsOp(IRDLOperation):
    """Keep the best `columns` (places along axis 1) of each group of at least `least` rows.

    `permute` chooses which rows share a group; otherwise they are as they follow.
    `%m = mask.keep_groups 16 columns of %s by 64 {permute = true} : !mask.scores<128x64> -> …`
    """

    name = "mask.keep_groups"
    scores = operand_def(LayerScoresType)
    within = opt_operand_def(LayerMaskType)
    columns = prop_def(IntegerAttr[Int64])
    least = prop_def(IntegerAttr[Int64])
    permute = prop_def(BoolAttr)
    result = result_def(LayerMaskType)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$columns `columns` `of` $scores `by` $least (`within` $within^ `:` type($within) `,`)?"
        " attr-dict `:` type($scores) `->` type($result)"
    )

    def verify_(self) -> None:
        """Shapes and counts fit together."""
        _same_shape(self.scores, self.result, *([self.within] if self.within else []))
        columns, there = self.columns.value.data, scores_type(self.scores).shape[1]
        if not 1 <= columns <= there:
            raise VerifyException(f"cannot keep {columns} of {there} columns")
        if mask_type(self.result).pattern.data != f"groups({self.least.value.data})":
            raise VerifyException(f"the result's type must say groups({self.least.value.data})")


class _BinaryOp(IRDLOperation):
    """Two masks of one layer, combined weight by weight; the result is unstructured."""

    lhs = operand_def(LayerMaskType)
    rhs = operand_def(LayerMaskType)
    result = result_def(LayerMaskType)
    traits = traits_def(Pure())
    assembly_format = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)"

    def __init__(self, lhs: SSAValue, rhs: SSAValue) -> None:
        super().__init__(operands=[lhs, rhs], result_types=[LayerMaskType(mask_type(lhs).shape)])

    def verify_(self) -> None:
        """Shapes and counts fit together."""
        _same_shape(self.lhs, self.rhs, self.result)
        _unstructured(self.result)


@irdl_op_definition
class AndOp(_BinaryOp):
    """Kept by both."""

    name = "mask.and"


@irdl_op_definition
class OrOp(_BinaryOp):
    """Kept by either."""

    name = "mask.or"


@irdl_op_definition
class XorOp(_BinaryOp):
    """Kept by exactly one."""

    name = "mask.xor"


@irdl_op_definition
class SubOp(_BinaryOp):
    """Kept by the first and not by the second."""

    name = "mask.sub"


@irdl_op_definition
class NotOp(IRDLOperation):
    """Keep what was pruned, prune what was kept."""

    name = "mask.not"
    mask = operand_def(LayerMaskType)
    result = result_def(LayerMaskType)
    traits = traits_def(Pure())
    assembly_format = "$mask attr-dict `:` type($mask) `->` type($result)"

    def verify_(self) -> None:
        """Shapes and counts fit together."""
        _same_shape(self.mask, self.result)
        _unstructured(self.result)


@irdl_op_definition
class ShuffleOp(IRDLOperation):
    """Permute a mask: as many weights kept, at places drawn from (`seed`, `layer`)."""

    name = "mask.shuffle"
    mask = operand_def(LayerMaskType)
    seed = prop_def(IntegerAttr[Int64])
    layer = prop_def(StringAttr)
    result = result_def(LayerMaskType)
    traits = traits_def(Pure())
    assembly_format = "$layer $mask `seed` $seed attr-dict `:` type($mask) `->` type($result)"

    def verify_(self) -> None:
        """Shapes and counts fit together."""
        check_seed(self.seed)
        _same_shape(self.mask, self.result)
        _unstructured(self.result)


@irdl_op_definition
class BundleOp(IRDLOperation):
    """Masks of single layers as one whole-network value, for what works on whole networks."""

    name = "mask.bundle"
    masks = var_operand_def(LayerMaskType)
    layers = prop_def(ArrayAttr[StringAttr])
    result = result_def(MasksType)
    traits = traits_def(Pure())
    assembly_format = "$layers `(` $masks `:` type($masks) `)` attr-dict `->` type($result)"

    def verify_(self) -> None:
        """Shapes and counts fit together."""
        if len(self.masks) != len(self.layers):
            raise VerifyException(f"{len(self.masks)} masks for {len(self.layers)} layers")


LAYERWISE: dict[str, type[_BinaryOp]] = {
    "lotto.and": AndOp,
    "lotto.or": OrOp,
    "lotto.xor": XorOp,
    "lotto.sub": SubOp,
}

MaskDialect = Dialect(
    "mask",
    [
        WeightOp,
        ScoreOp,
        KeepOp,
        KeepGlobalOp,
        KeepNMOp,
        KeepGroupsOp,
        AndOp,
        OrOp,
        XorOp,
        SubOp,
        NotOp,
        ShuffleOp,
        BundleOp,
    ],
    [WeightType, LayerScoresType, LayerMaskType],
)
