"""Operations that prune a random network until it computes what another's layers do."""

from __future__ import annotations

from xdsl.dialects.builtin import AnyFloat, ArrayAttr, FloatAttr, StringAttr
from xdsl.ir import SSAValue
from xdsl.irdl import (
    AnyAttr,
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from lottoc.ir.types import WeightsType
from lottoc.ir.whole import MASKS, NUMBER, WEIGHTS

APPROXIMATED = ("error", "width")


def _check(layers: ArrayAttr[StringAttr], target: ArrayAttr[StringAttr], toward: SSAValue) -> None:
    if not isinstance(toward.type, WeightsType):
        raise VerifyException("what is approximated are weights")
    if len(layers) != 2 * len(target):
        raise VerifyException(
            f"{len(layers)} layers for {len(target)} of the target: each takes two"
        )


@irdl_op_definition
class SubsetSumOp(IRDLOperation):
    """Masks under which each two of these layers, with ReLUs in between, compute a layer of the
    target, every weight of it within `epsilon` where a subset sum comes so near."""

    name = "lotto.subset_sum"
    weights = operand_def(WEIGHTS)
    toward = operand_def(AnyAttr())
    layers = prop_def(ArrayAttr[StringAttr])
    target = prop_def(ArrayAttr[StringAttr])
    epsilon = prop_def(FloatAttr[AnyFloat])
    masks = result_def(MASKS)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$weights `toward` $toward attr-dict `:` type($toward) `->` type($masks)"

    def verify_(self) -> None:
        """Two layers for each, and an error that can be reached."""
        _check(self.layers, self.target, self.toward)
        if self.epsilon.value.data < 0:
            raise VerifyException("epsilon is below 0")


@irdl_op_definition
class ApproximationOp(IRDLOperation):
    """A number read off such masks: `error`, the largest difference of a weight that two layers
    make together from the target's; `width`, how many hidden units are used."""

    name = "lotto.approximation"
    masks = operand_def(MASKS)
    weights = operand_def(WEIGHTS)
    toward = operand_def(AnyAttr())
    metric = prop_def(StringAttr)
    layers = prop_def(ArrayAttr[StringAttr])
    target = prop_def(ArrayAttr[StringAttr])
    result = result_def(NUMBER)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$metric $masks `of` $weights `toward` $toward attr-dict `:` type($masks) `,` type($toward)"
    )

    def verify_(self) -> None:
        """A metric there is."""
        _check(self.layers, self.target, self.toward)
        if self.metric.data not in APPROXIMATED:
            known = ", ".join(APPROXIMATED)
            raise VerifyException(f'metric "{self.metric.data}" is not one of {known}')
