"""Keeping what the scores of all layers say that each should keep."""

from __future__ import annotations

from fractions import Fraction

from xdsl.dialects.builtin import StringAttr
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    prop_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from lottoc.ir.amounts import check_density
from lottoc.ir.types import LayerMaskType, LayerScoresType
from lottoc.masks.allocate import BY_SCORES


@irdl_op_definition
class KeepSharesOp(IRDLOperation):
    """Keep the best scores of each layer, as many as a rule finds from the scores of all.

    `owl` keeps more where scores have more outliers, `error` where pruning costs more of a layer's
    own sum of squares. Unstructured masks keep N - ⌊(1 - density) · N⌋ of all N weights together;
    other patterns keep the count they allow that is nearest, layer by layer.
    `%a, %b = mask.keep_shares "owl" "1/2" of(%s, %t : …) within() -> …`
    """

    name = "mask.keep_shares"
    scores = var_operand_def(LayerScoresType)
    within = var_operand_def(LayerMaskType)
    rule = prop_def(StringAttr)
    density = prop_def(StringAttr)
    masks = var_result_def(LayerMaskType)
    traits = traits_def(Pure())
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    assembly_format = (
        "$rule $density `of` `(` $scores `:` type($scores) `)`"
        " `within` `(` ($within^ `:` type($within))? `)` attr-dict `->` type($masks)"
    )

    def verify_(self) -> None:
        """Shapes and counts fit together; the rule is known."""
        check_density(self.density)
        if self.rule.data not in BY_SCORES:
            raise VerifyException(f'rule "{self.rule.data}" is not one of {", ".join(BY_SCORES)}')
        if not self.scores or len(self.scores) != len(self.masks):
            raise VerifyException(f"{len(self.scores)} scores, {len(self.masks)} masks")
        if len(self.within) not in (0, len(self.scores)):
            raise VerifyException(f"{len(self.scores)} scores, {len(self.within)} earlier masks")
        for index, (score, mask) in enumerate(zip(self.scores, self.masks, strict=True)):
            shapes = {v.type.dims.data for v in (score, mask, *self.within[index : index + 1])}  # type: ignore[attr-defined]
            if len(shapes) > 1:
                raise VerifyException(f"shapes differ: {', '.join(sorted(shapes))}")
            assert isinstance(mask.type, LayerMaskType)
            if mask.type.pattern.density is not None:
                raise VerifyException(f"{mask.type.pattern} fixes how much is kept")

    @property
    def share(self) -> Fraction:
        """The kept share of all weights."""
        return Fraction(self.density.data)
