"""What operations on whole networks have in common: operands of one model, known metrics."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import ArrayAttr, Float64Type, StringAttr
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import AnyAttr, ParamAttrConstraint, VarConstraint, eq
from xdsl.utils.exceptions import VerifyException

from lottoc.ir.types import (
    DataType,
    MasksType,
    ModelType,
    PlacesType,
    ScoresType,
    StatisticsType,
    WeightsType,
    WiringType,
)

# One model variable in every operation: values of different models never meet, and the types of
# operands follow from the type that the text names.
_M: VarConstraint[Attribute] = VarConstraint("M", AnyAttr())
MODEL = ParamAttrConstraint(ModelType, (_M,))
WEIGHTS = ParamAttrConstraint(WeightsType, (_M,))
MASKS = ParamAttrConstraint(MasksType, (_M,))
SCORES = ParamAttrConstraint(ScoresType, (_M,))
STATISTICS = ParamAttrConstraint(StatisticsType, (_M,))
WIRING = ParamAttrConstraint(WiringType, (_M,))
PLACES = ParamAttrConstraint(PlacesType, (_M,))
DATA = eq(DataType())
NUMBER = eq(Float64Type())

EVALUATED = ("accuracy", "loss", "perplexity")
MEASURED = ("sparsity", "params", "collapsed")


def check_metric(metric: StringAttr, known: Sequence[str]) -> None:
    """One of the known metrics."""
    if metric.data not in known:
        raise VerifyException(f'metric "{metric.data}" is not one of {", ".join(known)}')


def check_values(metrics: ArrayAttr[StringAttr], values: Sequence[SSAValue]) -> None:
    """As many values as metrics, each metric once."""
    if len(metrics) != len(values) or len(set(metrics)) != len(metrics):
        raise VerifyException(f"{len(values)} values for the metrics {metrics}")


_WHOLE = ModelType | WeightsType | MasksType | ScoresType | StatisticsType | WiringType | PlacesType


def model_of(value: SSAValue | Attribute) -> str:
    """The name of the model that a whole-network value belongs to."""
    kind = value.type if isinstance(value, SSAValue) else value
    assert isinstance(kind, _WHOLE)
    return kind.model.data
