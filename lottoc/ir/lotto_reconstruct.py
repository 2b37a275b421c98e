"""The operation that prunes and changes weights together, layer after layer."""

from __future__ import annotations

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, StringAttr
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
from xdsl.utils.exceptions import VerifyException

from lottoc.ir.amounts import GLOBAL, check_density, check_pattern, check_plain, check_scope
from lottoc.ir.whole import DATA, MASKS, WEIGHTS
from lottoc.masks.allocate import BY_SCORES


@irdl_op_definition
class ReconstructOp(IRDLOperation):
    """Prune layer after layer, in the order data flows; what a layer keeps makes up for the rest.

    Each layer sees, on a split of the data, what the pruned layers before it make. Results: masks
    of these layers, and weights in which theirs are new and zero where pruned.
    `%k, %v = lotto.reconstruct "sparsegpt" %w on %d {…} : !lotto.masks<"net">, …`
    """

    name = "lotto.reconstruct"
    weights = operand_def(WEIGHTS)
    data = operand_def(DATA)
    criterion = prop_def(StringAttr)
    options = prop_def(DictionaryAttr)
    layers = prop_def(ArrayAttr[StringAttr])
    split = prop_def(StringAttr)
    scope = prop_def(StringAttr)
    density = prop_def(StringAttr)
    pattern = prop_def(StringAttr)
    masks = result_def(MASKS)
    result = result_def(WEIGHTS)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$criterion $weights `on` $data attr-dict `:` type($masks) `,` type($result)"

    def verify_(self) -> None:
        """Amounts are known layer by layer before the first is pruned."""
        check_scope(self.scope)
        check_density(self.density)
        check_pattern(self.pattern)
        check_plain(options=self.options)
        if self.scope.data in (GLOBAL, *BY_SCORES):
            raise VerifyException(
                "layers that are pruned one after another have counts before their scores"
            )
