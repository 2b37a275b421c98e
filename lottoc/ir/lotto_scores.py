"""Operations that say what is worth keeping: scores, and the statistics they are made from."""

from __future__ import annotations

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, StringAttr, UnitAttr
from xdsl.ir import SSAValue
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
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from lottoc.ir.amounts import check_plain
from lottoc.ir.whole import DATA, MASKS, SCORES, STATISTICS, WEIGHTS


def _check_data(data: SSAValue | None, split: StringAttr | None) -> None:
    if (data is None) != (split is None):
        raise VerifyException("data and split come together")


@irdl_op_definition
class ScoreOp(IRDLOperation):
    """Score every weight of some layers; the highest scores are worth keeping.

    If it is `inverted`, scores change their sign, so that the worst is kept: a control experiment.
    Criteria that look at more than a weight look at the network `under` masks, run `on` a split of
    a data set with the loss and threads of `training`.
    """

    name = "lotto.score"
    weights = operand_def(WEIGHTS)
    data = opt_operand_def(DATA)
    masks = opt_operand_def(MASKS)
    criterion = prop_def(StringAttr)
    options = prop_def(DictionaryAttr)
    layers = prop_def(ArrayAttr[StringAttr])
    split = opt_prop_def(StringAttr)
    training = opt_prop_def(DictionaryAttr)
    inverted = opt_prop_def(UnitAttr)
    result = result_def(SCORES)
    traits = traits_def(Pure())
    irdl_options = (AttrSizedOperandSegments(as_property=True), ParsePropInAttrDict())
    assembly_format = (
        "$criterion $weights (`on` $data^)? (`under` $masks^)? attr-dict `:` type($result)"
    )

    def verify_(self) -> None:
        """Options are plain data, and data has a split."""
        check_plain(options=self.options, training=self.training)
        _check_data(self.data, self.split)


@irdl_op_definition
class GatherOp(IRDLOperation):
    """One array for each of some layers, found by running the network once: a gradient, say.

    What the network computes is a function of the weights that masks keep; the others are zero.
    """

    name = "lotto.gather"
    weights = operand_def(WEIGHTS)
    data = opt_operand_def(DATA)
    masks = opt_operand_def(MASKS)
    statistic = prop_def(StringAttr)
    options = prop_def(DictionaryAttr)
    layers = prop_def(ArrayAttr[StringAttr])
    split = opt_prop_def(StringAttr)
    training = opt_prop_def(DictionaryAttr)
    result = result_def(STATISTICS)
    traits = traits_def(Pure())
    irdl_options = (AttrSizedOperandSegments(as_property=True), ParsePropInAttrDict())
    assembly_format = (
        "$statistic $weights (`on` $data^)? (`under` $masks^)? attr-dict `:` type($result)"
    )

    def verify_(self) -> None:
        """Options are plain data, and data has a split."""
        check_plain(options=self.options, training=self.training)
        _check_data(self.data, self.split)
