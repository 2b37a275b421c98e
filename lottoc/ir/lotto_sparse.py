"""Training whose masks move: the operation that gives masks and weights together."""

from __future__ import annotations

from xdsl.dialects.builtin import I64 as Int64
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerAttr, StringAttr
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from lottoc.ir.amounts import check_density, check_pattern, check_plain, check_scope
from lottoc.ir.whole import DATA, MASKS, WEIGHTS
from lottoc.masks.allocate import BY_SCORES

FRESH = "fresh"
KEEP = "keep"


def check_steps(first: IntegerAttr, last: IntegerAttr, optimizer: StringAttr) -> None:
    """Steps go forward, and the optimizer is one of two kinds."""
    start, stop = first.value.data, last.value.data
    if not 0 <= start < stop:
        raise VerifyException(f"training must go forward, not from step {start} to {stop}")
    if optimizer.data not in (FRESH, KEEP):
        raise VerifyException(f'optimizer is "{optimizer.data}", not fresh or keep')


@irdl_op_definition
class DifferenceOp(IRDLOperation):
    """θ - θ', layer by layer: a task vector, where one was fine-tuned from the other."""

    name = "lotto.difference"
    weights = operand_def(WEIGHTS)
    origin = operand_def(WEIGHTS)
    result = result_def(WEIGHTS)
    traits = traits_def(Pure())
    assembly_format = "$weights `from` $origin attr-dict `:` type($result)"


@irdl_op_definition
class TrainSparseOp(IRDLOperation):
    """Train like `lotto.train`, while an `update` such as `rigl` moves the masks.

    It starts under `under`, or dense without. Between two moves pruned weights stay exactly
    zero, and so does what the optimizer remembers of them. `scope`, `density` and `pattern` say
    how many weights each layer may keep.
    """

    name = "lotto.train_sparse"
    weights = operand_def(WEIGHTS)
    data = operand_def(DATA)
    under = opt_operand_def(MASKS)
    update = prop_def(StringAttr)
    options = prop_def(DictionaryAttr)
    layers = prop_def(ArrayAttr[StringAttr])
    scope = prop_def(StringAttr)
    density = prop_def(StringAttr)
    pattern = prop_def(StringAttr)
    first = prop_def(IntegerAttr[Int64])
    last = prop_def(IntegerAttr[Int64])
    optimizer = prop_def(StringAttr)
    training = prop_def(DictionaryAttr)
    masks = result_def(MASKS)
    final = result_def(WEIGHTS)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$update $weights `on` $data (`under` $under^)? `from` $first `to` $last attr-dict"
        " `:` type($masks) `,` type($final)"
    )

    def verify_(self) -> None:
        """Steps go forward; amounts can be kept."""
        check_steps(self.first, self.last, self.optimizer)
        check_scope(self.scope)
        if self.scope.data in BY_SCORES:
            raise VerifyException(f"scope {self.scope.data} needs scores, and masks move without")
        check_density(self.density)
        check_pattern(self.pattern)
        check_plain(training=self.training, options=self.options)
