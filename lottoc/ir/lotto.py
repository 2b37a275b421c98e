"""The `lotto` dialect: a lottery-ticket workflow over whole networks, as a pure program.

θ_0, θ_k and θ_T are values of type `!lotto.weights`; rewinding is using an earlier one again.
`specs/ir.md` explains every operation with an example.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from xdsl.dialects.builtin import I64 as Int64
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerAttr, StringAttr, UnitAttr
from xdsl.ir import Dialect
from xdsl.irdl import (
    AnyAttr,
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

from lottoc.ir.amounts import (
    check_density,
    check_pattern,
    check_plain,
    check_scope,
    check_seed,
)
from lottoc.ir.lotto_algebra import BINARY, AndOp, NotOp, OrOp, ShuffleOp, SubOp, XorOp
from lottoc.ir.lotto_flops import FlopsOp, PlacesOp
from lottoc.ir.lotto_outcome import (
    COMPARISONS,
    ControlOp,
    EmitOp,
    EvaluateOp,
    MeasureOp,
    ObserveOp,
    RequireOp,
    TicketOp,
)
from lottoc.ir.lotto_rank import ProxyOp, RankOp
from lottoc.ir.lotto_reconstruct import ReconstructOp
from lottoc.ir.lotto_scores import GatherOp, ScoreOp
from lottoc.ir.lotto_signal import CheckSignalOp, RepairOp, WiringOp
from lottoc.ir.lotto_sparse import FRESH, KEEP, DifferenceOp, TrainSparseOp, check_steps
from lottoc.ir.lotto_split import GraftOp, PartOp, SplitOp, SwapOp
from lottoc.ir.lotto_stability import InterpolateOp, StabilityOp
from lottoc.ir.lotto_subset import APPROXIMATED, ApproximationOp, SubsetSumOp
from lottoc.ir.types import (
    DataType,
    LayerAttr,
    MasksType,
    ModelType,
    PlacesType,
    ScoresType,
    StatisticsType,
    WeightsType,
    WiringType,
)
from lottoc.ir.whole import DATA, EVALUATED, MASKS, MODEL, SCORES, WEIGHTS, WIRING, model_of
from lottoc.masks.patterns import UNSTRUCTURED, parse

__all__ = [
    "APPROXIMATED",
    "BINARY",
    "COMPARISONS",
    "EVALUATED",
    "FRESH",
    "KEEP",
    "TRAININGS",
    "WEIGHTS",
    "WIRING",
    "AndOp",
    "ApproximationOp",
    "CheckSignalOp",
    "ControlOp",
    "DataOp",
    "DifferenceOp",
    "EmitOp",
    "EvaluateOp",
    "FindOp",
    "FlopsOp",
    "GatherOp",
    "GraftOp",
    "InitOp",
    "InterpolateOp",
    "LottoDialect",
    "MeasureOp",
    "ModelOp",
    "NotOp",
    "ObserveOp",
    "OrOp",
    "PartOp",
    "PlacesOp",
    "ProxyOp",
    "PruneOp",
    "RankOp",
    "ReconstructOp",
    "RepairOp",
    "RequireOp",
    "ScoreOp",
    "ShuffleOp",
    "SignsOp",
    "SplitOp",
    "StabilityOp",
    "SubOp",
    "SubsetSumOp",
    "SwapOp",
    "TicketOp",
    "TrainOp",
    "TrainSparseOp",
    "WiringOp",
    "XorOp",
    "layers_of",
    "model_of",
]


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
    """sign(θ) times one constant a layer: the standard deviation of the layer's weights, or with
    `by_fan_in` √(2 / fan-in)."""

    name = "lotto.signs"
    weights = operand_def(WEIGHTS)
    layers = prop_def(ArrayAttr[StringAttr])
    by_fan_in = opt_prop_def(UnitAttr)
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
    wiring = opt_operand_def(WIRING)
    """If given, masks are repaired in it after every pruning."""
    toward = opt_operand_def(AnyAttr())
    """The weights of another network, which the ticket is to compute."""
    target = opt_prop_def(ArrayAttr[StringAttr])
    """Their layers."""
    excluded = opt_operand_def(MASKS)
    """If given, what no mask may keep: weights that other tickets have moved."""
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
    inverted = opt_prop_def(UnitAttr)
    """Keep what scores lowest: a control experiment."""
    masks = result_def(MASKS)
    start = result_def(WEIGHTS)
    final = result_def(WEIGHTS)
    traits = traits_def(Pure())
    irdl_options = (AttrSizedOperandSegments(as_property=True), ParsePropInAttrDict())
    assembly_format = (
        "$method $weights (`on` $data^)? (`repaired` `in` $wiring^)?"
        " (`toward` $toward^ `:` type($toward))?"
        " (`excluding` $excluded^)? attr-dict"
        " `:` type($masks) `,` type($start) `,` type($final)"
    )

    def verify_(self) -> None:
        """A method trains with data, or not at all; amounts can be kept."""
        check_scope(self.scope)
        check_density(self.density)
        check_pattern(self.pattern)
        check_plain(options=self.options, training=self.training)
        check_plain(criterion_options=self.criterion_options)
        if self.data is None and self.training is not None:
            raise VerifyException("a training needs data")
        if self.toward is not None and not isinstance(self.toward.type, WeightsType):
            raise VerifyException("what a ticket is to compute are weights")
        if (self.toward is None) != (self.target is None):
            raise VerifyException("a target has layers")
        if self.wiring is not None and parse(self.pattern.data).name != UNSTRUCTURED:
            raise VerifyException(f"masks of pattern {self.pattern.data} cannot be repaired")


@irdl_op_definition
class TrainOp(IRDLOperation):
    """Train from step `first` up to step `last`; masked weights stay exactly zero.

    `optimizer` is `keep` (go on with the state inside the weights) or `fresh`. The learning rate
    and the order of the data depend on the step alone, so a training cut in two is the same
    training. `lr_at`, if given, freezes the learning rate at that of one step (fine-tuning).
    With `frozen`, what the masks do not keep stays as it came instead of being zero, and so does
    whatever has no mask: sparse fine-tuning.
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
    frozen = opt_prop_def(UnitAttr)
    result = result_def(WEIGHTS)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$weights `on` $data (`under` $masks^)? `from` $first `to` $last attr-dict"
        " `:` type($result)"
    )

    def verify_(self) -> None:
        """Steps go forward."""
        check_steps(self.first, self.last, self.optimizer)
        if self.frozen is not None and self.masks is None:
            raise VerifyException("everything is frozen where no mask keeps a weight")
        check_plain(training=self.training)


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


TRAININGS = (TrainOp, TrainSparseOp)
"""Operations that train."""

LottoDialect = Dialect(
    "lotto",
    [
        ModelOp,
        DataOp,
        PartOp,
        InitOp,
        SignsOp,
        FindOp,
        SplitOp,
        TrainOp,
        TrainSparseOp,
        DifferenceOp,
        GraftOp,
        InterpolateOp,
        StabilityOp,
        SubsetSumOp,
        ApproximationOp,
        ScoreOp,
        GatherOp,
        PruneOp,
        ReconstructOp,
        AndOp,
        OrOp,
        XorOp,
        SubOp,
        NotOp,
        ShuffleOp,
        WiringOp,
        RepairOp,
        EvaluateOp,
        MeasureOp,
        PlacesOp,
        FlopsOp,
        RequireOp,
        CheckSignalOp,
        ObserveOp,
        ControlOp,
        ProxyOp,
        RankOp,
        TicketOp,
        EmitOp,
        SwapOp,
    ],
    [
        ModelType,
        WeightsType,
        MasksType,
        ScoresType,
        StatisticsType,
        WiringType,
        PlacesType,
        DataType,
        LayerAttr,
    ],
)


def layers_of(model: ModelOp) -> Sequence[LayerAttr]:
    """The prunable layers of a model operation."""
    return model.layers.data
