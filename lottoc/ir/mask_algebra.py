"""Masks of one layer combined, complemented and permuted, weight by weight."""

from __future__ import annotations

from xdsl.dialects.builtin import I64 as Int64
from xdsl.dialects.builtin import IntegerAttr, StringAttr
from xdsl.ir import SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure

from lottoc.ir.amounts import check_seed
from lottoc.ir.mask_types import mask_type, same_shape, unstructured
from lottoc.ir.types import LayerMaskType


class BinaryOp(IRDLOperation):
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
        same_shape(self.lhs, self.rhs, self.result)
        unstructured(self.result)


@irdl_op_definition
class AndOp(BinaryOp):
    """Kept by both."""

    name = "mask.and"


@irdl_op_definition
class OrOp(BinaryOp):
    """Kept by either."""

    name = "mask.or"


@irdl_op_definition
class XorOp(BinaryOp):
    """Kept by exactly one."""

    name = "mask.xor"


@irdl_op_definition
class SubOp(BinaryOp):
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
        same_shape(self.mask, self.result)
        unstructured(self.result)


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
        same_shape(self.mask, self.result)
        unstructured(self.result)


LAYERWISE: dict[str, type[BinaryOp]] = {
    "lotto.and": AndOp,
    "lotto.or": OrOp,
    "lotto.xor": XorOp,
    "lotto.sub": SubOp,
}
"""What each whole-network operation is layer by layer."""
