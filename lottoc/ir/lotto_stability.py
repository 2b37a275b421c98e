"""Operations of instability analysis: networks between two, and the step that they decide."""

from __future__ import annotations

from fractions import Fraction

from xdsl.dialects.builtin import I64 as Int64
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerAttr, StringAttr
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from lottoc.ir.amounts import check_plain
from lottoc.ir.whole import DATA, NUMBER, WEIGHTS


def _share(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise VerifyException(f'"{text}" is no fraction') from error


@irdl_op_definition
class InterpolateOp(IRDLOperation):
    """(1 - `at`) · θ + `at` · θ', every floating-point number of the network by itself.

    Running statistics are taken anew on the training examples; what is no floating-point number
    is θ's.
    """

    name = "lotto.interpolate"
    weights = operand_def(WEIGHTS)
    other = operand_def(WEIGHTS)
    data = operand_def(DATA)
    at = prop_def(StringAttr)
    """An exact fraction such as `1/29`."""
    training = prop_def(DictionaryAttr)
    result = result_def(WEIGHTS)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$weights `to` $other `at` $at `on` $data attr-dict `:` type($result)"

    def verify_(self) -> None:
        """A place on the line between the two."""
        check_plain(training=self.training)
        if not 0 <= _share(self.at.data) <= 1:
            raise VerifyException(f"{self.at.data} is not between 0 and 1")


@irdl_op_definition
class StabilityOp(IRDLOperation):
    """From which of some steps on trainings end in one basin, for the report.

    Values are accuracies along the lines between copies: by step, pair of copies, point. A step is
    stable if the mean barrier of its pairs is below `threshold` and those of all later ones are.
    """

    name = "lotto.stability"
    values = var_operand_def(NUMBER)
    block = prop_def(StringAttr)
    steps = prop_def(ArrayAttr[IntegerAttr[Int64]])
    points = prop_def(IntegerAttr[Int64])
    threshold = prop_def(StringAttr)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$block $steps `by` `(` $values `)` attr-dict"

    def verify_(self) -> None:
        """As many values as steps, pairs and points make."""
        each = len(self.steps) * self.points.value.data
        if not 0 <= _share(self.threshold.data) <= 1:
            raise VerifyException(f"threshold is {self.threshold.data}, not between 0 and 1")
        if each <= 0 or not len(self.values) or len(self.values) % each:
            raise VerifyException(
                f"{len(self.values)} values for {len(self.steps)} steps "
                f"and {self.points.value.data} points"
            )
