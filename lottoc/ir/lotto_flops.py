"""Operations on the work that one example is: where weights are used, and how often in all."""

from __future__ import annotations

from xdsl.dialects.builtin import StringAttr
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from lottoc.ir.whole import DATA, MASKS, MODEL, NUMBER, PLACES


@irdl_op_definition
class PlacesOp(IRDLOperation):
    """At how many places of one example a network uses each weight of its layers.

    A weight of a linear layer is used once for each vector that the layer is given, one of a
    convolution once for each place of its output; one that is read twice, by layers that share it
    or in a layer that is called again, counts twice. `data` has the example, its first; a model
    whose shapes are its own needs none.
    """

    name = "lotto.places"
    model = operand_def(MODEL)
    data = opt_operand_def(DATA)
    split = opt_prop_def(StringAttr)
    result = result_def(PLACES)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$model (`sampled` `from` $data^)? attr-dict `:` type($result)"

    def verify_(self) -> None:
        """Data and its split come together."""
        if (self.data is None) != (self.split is None):
            raise VerifyException("data and split of an example come together")


@irdl_op_definition
class FlopsOp(IRDLOperation):
    """Multiply-adds of one example's way through the layers: kept weights times their places.

    Layers without a mask, or all without masks, are dense. Each multiply-add counts once, as in
    Evci et al. 2020, appendix H; biases, and products of activations with each other, do not.
    """

    name = "lotto.flops"
    places = operand_def(PLACES)
    masks = opt_operand_def(MASKS)
    result = result_def(NUMBER)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$places (`under` $masks^)? attr-dict `:` type($places)"
