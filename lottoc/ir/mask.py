"""The `mask` dialect: the same workflow layer by layer, shapes and patterns in the types.

Training stays whole-network (`lotto.train`); `mask.bundle` hands it the masks of single layers.
"""

from __future__ import annotations

from xdsl.dialects.builtin import I64 as Int64
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerAttr, StringAttr, UnitAttr
from xdsl.ir import Dialect, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from lottoc.ir.amounts import check_plain
from lottoc.ir.mask_algebra import LAYERWISE as LAYERWISE
from lottoc.ir.mask_algebra import AndOp as AndOp
from lottoc.ir.mask_algebra import NotOp as NotOp
from lottoc.ir.mask_algebra import OrOp as OrOp
from lottoc.ir.mask_algebra import ShuffleOp as ShuffleOp
from lottoc.ir.mask_algebra import SubOp as SubOp
from lottoc.ir.mask_algebra import XorOp as XorOp
from lottoc.ir.mask_shares import KeepSharesOp as KeepSharesOp
from lottoc.ir.mask_types import mask_type as mask_type
from lottoc.ir.mask_types import same_shape, unstructured
from lottoc.ir.mask_types import scores_type as scores_type
from lottoc.ir.mask_types import weight_type as weight_type
from lottoc.ir.types import (
    LayerMaskType,
    LayerScoresType,
    MasksType,
    OrderType,
    StatisticsType,
    WeightType,
)
from lottoc.ir.whole import MASKS, WEIGHTS, WIRING


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
class LayerOp(IRDLOperation):
    """The mask of one layer, out of masks that were made together.

    `%k = mask.layer "fc1" of %masks : !lotto.masks<"lenet"> -> !mask.mask<300x784>`
    """

    name = "mask.layer"
    masks = operand_def(MASKS)
    layer = prop_def(StringAttr)
    result = result_def(LayerMaskType)
    traits = traits_def(Pure())
    assembly_format = "$layer `of` $masks attr-dict `:` type($masks) `->` type($result)"


@irdl_op_definition
class ScoreOp(IRDLOperation):
    """Score the weights of one layer, by itself or `with` what was gathered over the network.

    If it is `inverted`, scores change their sign.

    `%s = mask.score "magnitude" %w {layer = "fc1", options = {}} : … -> !mask.scores<300x784>`
    """

    name = "mask.score"
    weight = operand_def(WeightType)
    statistics = opt_operand_def(StatisticsType)
    criterion = prop_def(StringAttr)
    layer = prop_def(StringAttr)
    options = prop_def(DictionaryAttr)
    inverted = opt_prop_def(UnitAttr)
    result = result_def(LayerScoresType)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$criterion $weight (`with` $statistics^)? attr-dict"
        " `:` type($weight) (`,` type($statistics)^)? `->` type($result)"
    )

    def verify_(self) -> None:
        """Shapes and counts fit together."""
        same_shape(self.weight, self.result)
        check_plain(options=self.options)


@irdl_op_definition
class KeepOp(IRDLOperation):
    """Keep the best mask of exactly `kept` weights that the result's type allows.

    Without a pattern these are the highest scores. With one, the pattern says what is best, and
    which counts there are. Only what is `within` an earlier mask is kept. Equal scores keep the
    lower position (C order). A pattern of an order of its own, such as permuted(2, 4), needs one.
    `%m = mask.keep 2048 of %s : !mask.scores<64x64> -> !mask.mask<64x64, 2:4>`
    """

    name = "mask.keep"
    scores = operand_def(LayerScoresType)
    within = opt_operand_def(LayerMaskType)
    order = opt_operand_def(OrderType)
    kept = prop_def(IntegerAttr[Int64])
    result = result_def(LayerMaskType)
    traits = traits_def(Pure())
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    assembly_format = (
        "$kept `of` $scores (`within` $within^ `:` type($within) `,`)?"
        " (`ordered` $order^ `:` type($order) `,`)? attr-dict"
        " `:` type($scores) `->` type($result)"
    )

    def verify_(self) -> None:
        """Shapes and counts fit together."""
        same_shape(self.scores, self.result, *([self.within] if self.within else []))
        type_ = mask_type(self.result)
        impossible = type_.pattern.impossible(type_.shape, self.kept.value.data)
        if impossible:
            raise VerifyException(impossible)
        if (type_.pattern.in_order is None) != (self.order is None):
            needs = "takes no order" if self.order else "needs an order of the channels"
            raise VerifyException(f"a mask of pattern {type_.pattern} {needs}")
        if self.order is not None:
            check_order(self.order, type_.shape)


def check_order(order: SSAValue, shape: tuple[int, ...]) -> None:
    """Raise `VerifyException` unless an order is of the channels that a layer reads."""
    assert isinstance(order.type, OrderType)
    channels = order.type.channels.data
    if channels != shape[1]:
        raise VerifyException(f"an order of {channels} channels, and axis 1 has {shape[1]}")


@irdl_op_definition
class OrderOp(IRDLOperation):
    """An order of channels under which `n` of every `m` keeps as much of the scores as is found.

    The layers read the same channels; what counts is what they keep together. It never keeps less
    than the order that the channels have.
    `%o = mask.order 2 of 4 over(%s : !mask.scores<8x16>) -> !mask.order<16>`
    """

    name = "mask.order"
    scores = var_operand_def(LayerScoresType)
    n = prop_def(IntegerAttr[Int64])
    m = prop_def(IntegerAttr[Int64])
    result = result_def(OrderType)
    traits = traits_def(Pure())
    assembly_format = (
        "$n `of` $m `over` `(` $scores `:` type($scores) `)` attr-dict `->` type($result)"
    )

    def verify_(self) -> None:
        """Whole groups of the channels that all layers read."""
        if not self.scores:
            raise VerifyException("no layers to order channels of")
        n, m = self.n.value.data, self.m.value.data
        if not 0 < n <= m:
            raise VerifyException(f"cannot keep {n} of every {m}")
        for score in self.scores:
            check_order(self.result, scores_type(score).shape)
            if scores_type(score).shape[1] % m:
                length = scores_type(score).shape[1]
                raise VerifyException(f"{length} channels are no multiple of {m}")


@irdl_op_definition
class KeepGlobalOp(IRDLOperation):
    """Keep the `kept` best scores of several layers ranked together.

    Equal scores keep the earlier layer, then the lower position. `within` is absent or one mask
    a layer. The results are of one pattern; one that keeps larger units than weights keeps the
    fewest best units that hold at least `kept` weights.
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
            same_shape(score, mask, *self.within[index : index + 1])
        kept, size = self.kept.value.data, sum(scores_type(s).size for s in self.scores)
        if not 0 <= kept <= size:
            raise VerifyException(f"cannot keep {kept} of {size} weights")
        patterns = list(dict.fromkeys(mask_type(mask).pattern for mask in self.masks))
        if len(patterns) > 1:
            raise VerifyException(f"masks of two patterns: {patterns[0]} and {patterns[1]}")
        if not patterns[0].ranks_together:
            raise VerifyException(f"{patterns[0]} counts layer by layer: use mask.keep")


@irdl_op_definition
class RepairOp(IRDLOperation):
    """Put the fewest, best weights back so that every layer of a network carries signal.

    In the order in which signal meets them, each silent layer gets the path through it that takes
    the fewest weights, kept `within` an earlier mask if there is one; among several the one with
    the greatest sum of scores, then the lowest positions. As many leave the layer that keeps the
    most, the worst first, none of which a layer needs.
    """

    name = "mask.repair"
    wiring = operand_def(WIRING)
    scores = var_operand_def(LayerScoresType)
    kept = var_operand_def(LayerMaskType)
    within = var_operand_def(LayerMaskType)
    layers = prop_def(ArrayAttr[StringAttr])
    masks = var_result_def(LayerMaskType)
    traits = traits_def(Pure())
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    assembly_format = (
        "$layers `(` $kept `:` type($kept) `)` `by` `(` $scores `:` type($scores) `)`"
        " `within` `(` ($within^ `:` type($within))? `)` `in` $wiring attr-dict"
        " `:` type($wiring) `->` type($masks)"
    )

    def verify_(self) -> None:
        """Shapes and counts fit together, and there is no pattern that a repair would break."""
        counts = (len(self.layers), len(self.scores), len(self.kept), len(self.masks))
        if len(set(counts)) > 1 or len(self.within) not in (0, len(self.masks)):
            raise VerifyException("{} layers, {} scores, {} masks, {} results".format(*counts))
        for index, (old, new) in enumerate(zip(self.kept, self.masks, strict=True)):
            same_shape(old, new, self.scores[index], *self.within[index : index + 1])
        unstructured(*self.kept, *self.masks)


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


MaskDialect = Dialect(
    "mask",
    [
        WeightOp,
        LayerOp,
        ScoreOp,
        KeepOp,
        OrderOp,
        KeepGlobalOp,
        KeepSharesOp,
        AndOp,
        OrOp,
        XorOp,
        SubOp,
        NotOp,
        ShuffleOp,
        RepairOp,
        BundleOp,
    ],
    [WeightType, LayerScoresType, LayerMaskType, OrderType],
)
