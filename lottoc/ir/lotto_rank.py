"""Operations that compare networks which nobody has trained."""

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
    var_operand_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from lottoc.ir.amounts import check_plain
from lottoc.ir.whole import DATA, NUMBER, WEIGHTS


@irdl_op_definition
class ProxyOp(IRDLOperation):
    """A number for a network by a named proxy, from its weights in some layers and some examples.

    The higher, the better the network is expected to be once it is trained.
    """

    name = "lotto.proxy"
    weights = operand_def(WEIGHTS)
    data = operand_def(DATA)
    proxy = prop_def(StringAttr)
    options = prop_def(DictionaryAttr)
    layers = prop_def(ArrayAttr[StringAttr])
    split = prop_def(StringAttr)
    result = result_def(NUMBER)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$proxy $weights `on` $data attr-dict `:` type($weights)"

    def verify_(self) -> None:
        """Options are plain data."""
        check_plain(options=self.options)


@irdl_op_definition
class RankOp(IRDLOperation):
    """Put models in an order by their proxies, for the report: all proxies of the first model
    stand first. Of what a search trained, the one number is the accuracy."""

    name = "lotto.rank"
    values = var_operand_def(NUMBER)
    block = prop_def(StringAttr)
    models = prop_def(ArrayAttr[StringAttr])
    proxies = prop_def(ArrayAttr[StringAttr])
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$block $models `by` $proxies `(` $values `)` attr-dict"

    def verify_(self) -> None:
        """A value for every model and proxy."""
        if len(self.values) != len(self.models) * len(self.proxies):
            raise VerifyException(
                f"{len(self.values)} values for {len(self.models)} models "
                f"and {len(self.proxies)} proxies"
            )
