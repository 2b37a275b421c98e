"""Operations of disentangled tickets: parts of data, a core and specialists, weights joined."""

from __future__ import annotations

from xdsl.dialects.builtin import I64 as Int64
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, StringAttr
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from lottoc.fields import OptionError
from lottoc.ir.amounts import check_plain
from lottoc.ir.plain import from_dictionary
from lottoc.ir.whole import DATA, MASKS, WEIGHTS
from lottoc.partition import part_of


@irdl_op_definition
class PartOp(IRDLOperation):
    """Some examples of a data set: those of some classes, or a share of them drawn by lot.

    `classes` restricts every split, a share that of training only.
    """

    name = "lotto.part"
    data = operand_def(DATA)
    examples = prop_def(DictionaryAttr)
    result = result_def(DATA)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$data attr-dict `:` type($result)"

    def verify_(self) -> None:
        """A part that there is."""
        check_plain(examples=self.examples)
        try:
            part_of(from_dictionary(self.examples))
        except OptionError as error:
            raise VerifyException(str(error)) from error


@irdl_op_definition
class SplitOp(IRDLOperation):
    """A ticket found on each part of the data, as `masks` are; `expand-splits` replaces it.

    Results: what all of them keep, and for each part what its ticket keeps beyond that.
    """

    name = "lotto.split"
    masks = operand_def(MASKS)
    parts = var_operand_def(DATA)
    split = prop_def(StringAttr)
    core = result_def(MASKS)
    specialists = var_result_def(MASKS)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$split $masks `over` `(` $parts `)` attr-dict `:` type($core) `,` type($specialists)"
    )

    def verify_(self) -> None:
        """A specialist for each of two parts or more."""
        if len(self.parts) != len(self.specialists) or len(self.parts) < 2:
            raise VerifyException(f"{len(self.specialists)} specialists of {len(self.parts)} parts")


@irdl_op_definition
class GraftOp(IRDLOperation):
    """Weights that are another's wherever `masks` keep; the optimizer's state is dropped."""

    name = "lotto.graft"
    weights = operand_def(WEIGHTS)
    other = operand_def(WEIGHTS)
    masks = operand_def(MASKS)
    result = result_def(WEIGHTS)
    traits = traits_def(Pure())
    assembly_format = "$weights `with` $other `under` $masks attr-dict `:` type($result)"


@irdl_op_definition
class SwapOp(IRDLOperation):
    """A file that turns the artefact `path` into another ticket: its weights where it has more.

    Wherever the artefact's masks keep, both have the same weights.
    """

    name = "lotto.swap"
    weights = operand_def(WEIGHTS)
    masks = operand_def(MASKS)
    data = opt_operand_def(DATA)
    number = prop_def(IntegerAttr[Int64])
    path = prop_def(StringAttr)
    ticket = prop_def(StringAttr)
    irdl_options = (AttrSizedOperandSegments(as_property=True), ParsePropInAttrDict())
    assembly_format = (
        "$number `into` $path $weights `under` $masks (`sampled` `from` $data^)?"
        " attr-dict `:` type($weights)"
    )

    def verify_(self) -> None:
        """Files are numbered from 1."""
        if self.number.value.data < 1:
            raise VerifyException(f"number {self.number.value.data} is below 1")
