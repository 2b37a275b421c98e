"""Operations on the masks of whole networks, weight by weight."""

from __future__ import annotations

from xdsl.dialects.builtin import I64 as Int64
from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure

from lottoc.ir.amounts import check_seed
from lottoc.ir.whole import MASKS


class _BinaryOp(IRDLOperation):
    """Masks of the same layers, combined weight by weight."""

    lhs = operand_def(MASKS)
    rhs = operand_def(MASKS)
    result = result_def(MASKS)
    traits = traits_def(Pure())
    assembly_format = "$lhs `,` $rhs attr-dict `:` type($result)"

    def __init__(self, lhs: SSAValue, rhs: SSAValue) -> None:
        super().__init__(operands=[lhs, rhs], result_types=[lhs.type])


@irdl_op_definition
class AndOp(_BinaryOp):
    """Kept by both."""

    name = "lotto.and"


@irdl_op_definition
class OrOp(_BinaryOp):
    """Kept by either."""

    name = "lotto.or"


@irdl_op_definition
class XorOp(_BinaryOp):
    """Kept by exactly one."""

    name = "lotto.xor"


@irdl_op_definition
class SubOp(_BinaryOp):
    """Kept by the first and not by the second."""

    name = "lotto.sub"


@irdl_op_definition
class NotOp(IRDLOperation):
    """Keep what was pruned, prune what was kept, within the same layers."""

    name = "lotto.not"
    masks = operand_def(MASKS)
    result = result_def(MASKS)
    traits = traits_def(Pure())
    assembly_format = "$masks attr-dict `:` type($result)"


@irdl_op_definition
class ShuffleOp(IRDLOperation):
    """Permute each mask within its layer: every layer keeps as many weights, at random places."""

    name = "lotto.shuffle"
    masks = operand_def(MASKS)
    seed = prop_def(IntegerAttr[Int64])
    result = result_def(MASKS)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$masks `seed` $seed attr-dict `:` type($result)"

    def verify_(self) -> None:
        """Random streams are numbered from 0."""
        check_seed(self.seed)


BINARY: dict[str, type[_BinaryOp]] = {"&": AndOp, "|": OrOp, "^": XorOp, "-": SubOp}
