"""Operations on finished tickets: metrics, contracts, what is reported and what is shipped."""

from __future__ import annotations

import operator
from collections.abc import Callable

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, StringAttr
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
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from lottoc.ir.amounts import check_plain
from lottoc.ir.plain import strings
from lottoc.ir.types import OrderType
from lottoc.ir.whole import (
    DATA,
    EVALUATED,
    MASKS,
    MEASURED,
    NUMBER,
    WEIGHTS,
    WIRING,
    check_metric,
    check_values,
)

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
"""What a `require` can ask."""


@irdl_op_definition
class EvaluateOp(IRDLOperation):
    """A metric of the (masked) network on one split of a data set."""

    name = "lotto.evaluate"
    weights = operand_def(WEIGHTS)
    data = operand_def(DATA)
    masks = opt_operand_def(MASKS)
    metric = prop_def(StringAttr)
    split = prop_def(StringAttr)
    training = prop_def(DictionaryAttr)
    result = result_def(NUMBER)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$metric $weights `on` $data (`under` $masks^)? attr-dict `:` type($weights)"

    def verify_(self) -> None:
        """A metric that can be evaluated, and plain data."""
        check_metric(self.metric, EVALUATED)
        check_plain(training=self.training)


@irdl_op_definition
class MeasureOp(IRDLOperation):
    """A number read off masks: `sparsity`, `params` (weights kept), `collapsed`.

    The last is the number of layers that carry no signal, or without a wiring, that keep nothing.
    """

    name = "lotto.measure"
    masks = operand_def(MASKS)
    wiring = opt_operand_def(WIRING)
    metric = prop_def(StringAttr)
    result = result_def(NUMBER)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$metric $masks (`in` $wiring^)? attr-dict `:` type($masks)"

    def verify_(self) -> None:
        """A metric that masks have."""
        check_metric(self.metric, MEASURED)
        if self.wiring is not None and self.metric.data != "collapsed":
            raise VerifyException(f"{self.metric.data} needs no wiring")


@irdl_op_definition
class RequireOp(IRDLOperation):
    """A contract of the recipe; the build fails when it does not hold."""

    name = "lotto.require"
    lhs = operand_def(NUMBER)
    rhs = operand_def(NUMBER)
    predicate = prop_def(StringAttr)
    text = prop_def(StringAttr)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$lhs $predicate $rhs attr-dict"

    def verify_(self) -> None:
        """A comparison."""
        if self.predicate.data not in COMPARISONS:
            raise VerifyException(f'"{self.predicate.data}" is not one of {" ".join(COMPARISONS)}')


@irdl_op_definition
class ObserveOp(IRDLOperation):
    """Note numbers of one moment of a ticket's life in the report, e.g. one round of imp."""

    name = "lotto.observe"
    values = var_operand_def(NUMBER)
    ticket = prop_def(StringAttr)
    moment = prop_def(StringAttr)
    metrics = prop_def(ArrayAttr[StringAttr])
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$ticket $moment $metrics `(` $values `)` attr-dict"

    def verify_(self) -> None:
        """A value for every metric."""
        check_values(self.metrics, self.values)


@irdl_op_definition
class ControlOp(IRDLOperation):
    """Set a metric of a ticket against that of a control experiment, for the report."""

    name = "lotto.control"
    original = operand_def(NUMBER)
    changed = operand_def(NUMBER)
    block = prop_def(StringAttr)
    control = prop_def(StringAttr)
    ticket = prop_def(StringAttr)
    metric = prop_def(StringAttr)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$block $control `of` $ticket $metric `(` $original `against` $changed `)` attr-dict"
    )

    def verify_(self) -> None:
        """A metric that can be evaluated."""
        check_metric(self.metric, EVALUATED)


@irdl_op_definition
class TicketOp(IRDLOperation):
    """A finished ticket: what the report lists. `dense` is the ticket without masks."""

    name = "lotto.ticket"
    weights = operand_def(WEIGHTS)
    masks = opt_operand_def(MASKS)
    values = var_operand_def(NUMBER)
    ticket = prop_def(StringAttr)
    metrics = prop_def(ArrayAttr[StringAttr])
    irdl_options = (AttrSizedOperandSegments(as_property=True), ParsePropInAttrDict())
    assembly_format = (
        "$ticket $weights (`under` $masks^)? `shows` $metrics `(` $values `)`"
        " attr-dict `:` type($weights)"
    )

    def verify_(self) -> None:
        """A value for every metric."""
        check_values(self.metrics, self.values)


@irdl_op_definition
class EmitOp(IRDLOperation):
    """Write a ticket as an artefact.

    The channels that the layers `ordered` read come in the order given for each, in whatever makes
    or reads them; lower-lotto-to-mask says which do.
    """

    name = "lotto.emit"
    weights = operand_def(WEIGHTS)
    masks = opt_operand_def(MASKS)
    data = opt_operand_def(DATA)
    orders = var_operand_def(OrderType)
    base = opt_operand_def(WEIGHTS)
    """What an adapter is the difference from."""
    ordered = opt_prop_def(ArrayAttr[StringAttr])
    kind = prop_def(StringAttr)
    path = prop_def(StringAttr)
    ticket = prop_def(StringAttr)
    options = prop_def(DictionaryAttr)
    irdl_options = (AttrSizedOperandSegments(as_property=True), ParsePropInAttrDict())
    assembly_format = (
        "$kind $path $weights (`under` $masks^)? (`sampled` `from` $data^)?"
        " (`ordered` `by` `(` $orders^ `:` type($orders) `)`)?"
        " (`from` $base^)?"
        " attr-dict `:` type($weights)"
    )

    def verify_(self) -> None:
        """Options are plain data, and each layer has one order."""
        check_plain(options=self.options)
        names = strings(self.ordered) if self.ordered else []
        if len(names) != len(self.orders):
            raise VerifyException(f"{len(self.orders)} orders for {len(names)} layers")
        if names and self.masks is None:
            raise VerifyException("orders without masks")
        if (self.kind.data == "adapter") != (self.base is not None):
            raise VerifyException("an adapter, and nothing else, is made from other weights")
        if self.base is not None and self.masks is None:
            raise VerifyException("an adapter without masks")
