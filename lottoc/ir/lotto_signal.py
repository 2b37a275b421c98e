"""Operations on the graph of a network: do masks leave signal a way through, and what if not."""

from __future__ import annotations

from xdsl.dialects.builtin import StringAttr
from xdsl.irdl import (
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

from lottoc.ir.whole import DATA, MASKS, MODEL, SCORES, WIRING

ERROR, KEEP_BEST, IGNORE = "error", "keep_best", "ignore"
ON_COLLAPSE = (ERROR, KEEP_BEST, IGNORE)
"""What a ticket may say of masks that cut its network."""


@irdl_op_definition
class WiringOp(IRDLOperation):
    """Which units of a network lead to which: its graph, with no numbers but zeros of an ONNX file.

    A torch model is exported to be looked at, with examples of the shape that `data` has.
    """

    name = "lotto.wiring"
    model = operand_def(MODEL)
    data = opt_operand_def(DATA)
    result = result_def(WIRING)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$model (`sampled` `from` $data^)? attr-dict `:` type($result)"


@irdl_op_definition
class RepairOp(IRDLOperation):
    """Put the fewest, best weights back so that every layer carries signal; drop as many others.

    Only weights kept `within` an earlier mask come back.
    """

    name = "lotto.repair"
    masks = operand_def(MASKS)
    scores = operand_def(SCORES)
    wiring = operand_def(WIRING)
    within = opt_operand_def(MASKS)
    result = result_def(MASKS)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$masks `by` $scores `in` $wiring (`within` $within^)? attr-dict `:` type($result)"
    )


@irdl_op_definition
class CheckSignalOp(IRDLOperation):
    """Look whether a ticket's masks leave signal a way to every output and through every layer.

    What then is an error and what a warning, `on_collapse` says.
    """

    name = "lotto.check_signal"
    masks = operand_def(MASKS)
    wiring = operand_def(WIRING)
    ticket = prop_def(StringAttr)
    on_collapse = opt_prop_def(StringAttr)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$ticket $masks `in` $wiring attr-dict `:` type($masks)"

    def verify_(self) -> None:
        """A word that the language has."""
        if self.on_collapse is not None and self.on_collapse.data not in ON_COLLAPSE:
            known = ", ".join(ON_COLLAPSE)
            raise VerifyException(f'on_collapse is "{self.on_collapse.data}", not one of {known}')
