"""The `lotto` dialect: a lottery-ticket workflow over whole networks, as a pure program.

θ_0, θ_k and θ_T are values of type `!lotto.weights`; rewinding is using an earlier one again.
`specs/ir.md` explains every operation with an example.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Sequence

from xdsl.dialects.builtin import I64 as Int64
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, Float64Type, IntegerAttr, StringAttr
from xdsl.ir import Attribute, Dialect, SSAValue
from xdsl.irdl import (
    AnyAttr,
    AttrSizedOperandSegments,
    IRDLOperation,
    ParamAttrConstraint,
    ParsePropInAttrDict,
    VarConstraint,
    eq,
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

from lottoc.ir.amounts import (
    check_density,
    check_pattern,
    check_plain,
    check_scope,
    check_seed,
)
from lottoc.ir.types import (
    DataType,
    LayerAttr,
    MasksType,
    ModelType,
    ScoresType,
    WeightsType,
)

# One model variable in every operation: values of different models never meet, and the types of
# operands follow from the type that the text names.
_M: VarConstraint[Attribute] = VarConstraint("M", AnyAttr())
MODEL = ParamAttrConstraint(ModelType, (_M,))
WEIGHTS = ParamAttrConstraint(WeightsType, (_M,))
MASKS = ParamAttrConstraint(MasksType, (_M,))
SCORES = ParamAttrConstraint(ScoresType, (_M,))
DATA = eq(DataType())
NUMBER = eq(Float64Type())

FRESH = "fresh"
KEEP = "keep"

EVALUATED = ("accuracy", "loss")
MEASURED = ("sparsity", "params", "collapsed")

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
"""What a `require` can ask."""


def check_metric(metric: StringAttr, known: Sequence[str]) -> None:
    """One of the known metrics."""
    if metric.data not in known:
        raise VerifyException(f'metric "{metric.data}" is not one of {", ".join(known)}')


def check_values(metrics: ArrayAttr[StringAttr], values: Sequence[SSAValue]) -> None:
    """As many values as metrics, each metric once."""
    if len(metrics) != len(values) or len(set(metrics)) != len(metrics):
        raise VerifyException(f"{len(values)} values for the metrics {metrics}")


def model_of(value: SSAValue | Attribute) -> str:
    """The name of the model that a whole-network value belongs to."""
    kind = value.type if isinstance(value, SSAValue) else value
    assert isinstance(kind, ModelType | WeightsType | MasksType | ScoresType)
    return kind.model.data


@irdl_op_definition
class ModelOp(IRDLOperation):
    """A network: where it comes from, what it is (by digest), and its prunable layers.

    `%m = lotto.model {model = "lenet", source = "torch", …} : !lotto.model<"lenet">`
    """

    name = "lotto.model"
    model = prop_def(StringAttr)
    source = prop_def(StringAttr)
    path = prop_def(StringAttr)
    function = opt_prop_def(StringAttr)
    digest = prop_def(StringAttr)
    layers = prop_def(ArrayAttr[LayerAttr])
    result = result_def(MODEL)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "attr-dict `:` type($result)"

    def verify_(self) -> None:
        """A model goes by one name, and so does each of its layers."""
        if self.model.data != model_of(self.result):
            raise VerifyException(f'"{self.model.data}" has the type of "{model_of(self.result)}"')
        for name, times in Counter(layer.layer_name.data for layer in self.layers).items():
            if times > 1:
                raise VerifyException(f'{times} layers are called "{name}"')


@irdl_op_definition
class DataOp(IRDLOperation):
    """A data set: one source for each split, and the digest of their bytes."""

    name = "lotto.data"
    data = prop_def(StringAttr)
    splits = prop_def(DictionaryAttr)
    digest = prop_def(StringAttr)
    result = result_def(DATA)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "attr-dict `:` type($result)"

    def verify_(self) -> None:
        """Splits are plain data."""
        check_plain(splits=self.splits)


@irdl_op_definition
class InitOp(IRDLOperation):
    """The weights a model starts with: as its file has them, or drawn from `seed`."""

    name = "lotto.init"
    model = operand_def(MODEL)
    seed = prop_def(IntegerAttr[Int64])
    result = result_def(WEIGHTS)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$model `seed` $seed attr-dict `:` type($result)"

    def verify_(self) -> None:
        """Random streams are numbered from 0."""
        check_seed(self.seed)


@irdl_op_definition
class SignsOp(IRDLOperation):
    """sign(θ) times one constant a layer, the standard deviation of the layer's weights."""

    name = "lotto.signs"
    weights = operand_def(WEIGHTS)
    layers = prop_def(ArrayAttr[StringAttr])
    result = result_def(WEIGHTS)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$weights $layers attr-dict `:` type($result)"


@irdl_op_definition
class FindOp(IRDLOperation):
    """Find a ticket by a named method; `unroll-methods` replaces it by what the method does.

    Results: the masks, the weights the ticket starts training from, and those it ends with.
    """

    name = "lotto.find"
    weights = operand_def(WEIGHTS)
    data = opt_operand_def(DATA)
    ticket = prop_def(StringAttr)
    method = prop_def(StringAttr)
    options = prop_def(DictionaryAttr)
    layers = prop_def(ArrayAttr[StringAttr])
    criterion = prop_def(StringAttr)
    criterion_options = prop_def(DictionaryAttr)
    scope = prop_def(StringAttr)
    density = prop_def(StringAttr)
    """The kept share of the selected weights, an exact fraction such as `1/20`."""
    pattern = prop_def(StringAttr)
    training = opt_prop_def(DictionaryAttr)
    masks = result_def(MASKS)
    start = result_def(WEIGHTS)
    final = result_def(WEIGHTS)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$method $weights (`on` $data^)? attr-dict"
        " `:` type($masks) `,` type($start) `,` type($final)"
    )

    def verify_(self) -> None:
        """A method trains with data and a training, or not at all; amounts can be kept."""
        check_scope(self.scope)
        check_density(self.density)
        check_pattern(self.pattern)
        check_plain(options=self.options, training=self.training)
        check_plain(criterion_options=self.criterion_options)
        if (self.data is None) != (self.training is None):
            raise VerifyException("data and training come together")


@irdl_op_definition
class TrainOp(IRDLOperation):
    """Train from step `first` up to step `last`; masked weights stay exactly zero.

    `optimizer` is `keep` (go on with the state inside the weights) or `fresh`. The learning rate
    and the order of the data depend on the step alone, so a training cut in two is the same
    training. `lr_at`, if given, freezes the learning rate at that of one step (fine-tuning).
    """

    name = "lotto.train"
    weights = operand_def(WEIGHTS)
    data = operand_def(DATA)
    masks = opt_operand_def(MASKS)
    first = prop_def(IntegerAttr[Int64])
    last = prop_def(IntegerAttr[Int64])
    optimizer = prop_def(StringAttr)
    training = prop_def(DictionaryAttr)
    lr_at = opt_prop_def(IntegerAttr[Int64])
    result = result_def(WEIGHTS)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$weights `on` $data (`under` $masks^)? `from` $first `to` $last attr-dict"
        " `:` type($result)"
    )

    def verify_(self) -> None:
        """Steps go forward."""
        first, last = self.first.value.data, self.last.value.data
        if not 0 <= first < last:
            raise VerifyException(f"training must go forward, not from step {first} to {last}")
        if self.optimizer.data not in (FRESH, KEEP):
            raise VerifyException(f'optimizer is "{self.optimizer.data}", not fresh or keep')
        check_plain(training=self.training)


@irdl_op_definition
class ScoreOp(IRDLOperation):
    """Score every weight of some layers; the highest scores are worth keeping."""

    name = "lotto.score"
    weights = operand_def(WEIGHTS)
    criterion = prop_def(StringAttr)
    options = prop_def(DictionaryAttr)
    layers = prop_def(ArrayAttr[StringAttr])
    result = result_def(SCORES)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$criterion $weights attr-dict `:` type($result)"

    def verify_(self) -> None:
        """Options are plain data."""
        check_plain(options=self.options)


@irdl_op_definition
class PruneOp(IRDLOperation):
    """Keep the best scores. `density` is the exact kept share of all weights of these layers.

    Only weights kept `within` an earlier mask can be kept. Ties keep the earlier weight.
    """

    name = "lotto.prune"
    scores = operand_def(SCORES)
    within = opt_operand_def(MASKS)
    scope = prop_def(StringAttr)
    density = prop_def(StringAttr)
    pattern = prop_def(StringAttr)
    layers = prop_def(ArrayAttr[StringAttr])
    result = result_def(MASKS)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$scores (`within` $within^)? attr-dict `:` type($result)"

    def verify_(self) -> None:
        """Amounts can be kept."""
        check_scope(self.scope)
        check_density(self.density)
        check_pattern(self.pattern)


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
    """A number read off masks alone: `sparsity`, `params` (weights kept), `collapsed` (layers
    that keep nothing)."""

    name = "lotto.measure"
    masks = operand_def(MASKS)
    metric = prop_def(StringAttr)
    result = result_def(NUMBER)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$metric $masks attr-dict `:` type($masks)"

    def verify_(self) -> None:
        """A metric that masks have."""
        check_metric(self.metric, MEASURED)


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
    """Write a ticket as an artefact."""

    name = "lotto.emit"
    weights = operand_def(WEIGHTS)
    masks = opt_operand_def(MASKS)
    data = opt_operand_def(DATA)
    kind = prop_def(StringAttr)
    path = prop_def(StringAttr)
    ticket = prop_def(StringAttr)
    options = prop_def(DictionaryAttr)
    irdl_options = (AttrSizedOperandSegments(as_property=True), ParsePropInAttrDict())
    assembly_format = (
        "$kind $path $weights (`under` $masks^)? (`sampled` `from` $data^)?"
        " attr-dict `:` type($weights)"
    )

    def verify_(self) -> None:
        """Options are plain data."""
        check_plain(options=self.options)


BINARY: dict[str, type[_BinaryOp]] = {"&": AndOp, "|": OrOp, "^": XorOp, "-": SubOp}

LottoDialect = Dialect(
    "lotto",
    [
        ModelOp,
        DataOp,
        InitOp,
        SignsOp,
        FindOp,
        TrainOp,
        ScoreOp,
        PruneOp,
        AndOp,
        OrOp,
        XorOp,
        SubOp,
        NotOp,
        ShuffleOp,
        EvaluateOp,
        MeasureOp,
        RequireOp,
        ObserveOp,
        TicketOp,
        EmitOp,
    ],
    [ModelType, WeightsType, MasksType, ScoresType, DataType, LayerAttr],
)


def layers_of(model: ModelOp) -> Sequence[LayerAttr]:
    """The prunable layers of a model operation."""
    return model.layers.data
