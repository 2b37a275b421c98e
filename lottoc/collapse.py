"""What is said of masks that cut a network, by what its ticket says of such masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import ModuleOp

from lottoc.diagnostics import Diagnostic, Findings, RecipeError
from lottoc.engine.evaluate import Engine
from lottoc.engine.signal import loss
from lottoc.ir import lotto
from lottoc.ir.lotto_signal import ERROR, IGNORE, KEEP_BEST
from lottoc.ir.place import labels
from lottoc.masks.mask import Mask
from lottoc.masks.signal import Loss, Lost

_WHY = {
    "empty": "keeps no weight",
    "unreached": "reads only units that no input reaches",
    "unread": "leads only to units that no output reads",
    "broken": "keeps no weight between a unit that is reached and one that is read",
}
_SHOWN = 5

_HELP = (
    "prune less, or leave small layers out with  layers = … - size(< 1000)",
    "on_collapse = keep_best  puts the best weights back that let signal through",
)
_HELP_REPAIRED = ("an earlier mask, or the layers that are pruned, leave no way through",)


def check_signal(module: ModuleOp, engine: Engine, findings: Findings) -> None:
    """Warn of layers without signal; raise `RecipeError` where that is an error.

    `output-cut` for an output that depends on no input any more, `layer-collapse` for silent layers
    of a ticket that does not want any.
    """
    errors: list[Diagnostic] = []
    for op in module.ops:
        if not isinstance(op, lotto.CheckSignalOp):
            continue
        wanted = op.on_collapse.data if op.on_collapse is not None else ""
        masks: Mapping[str, Mask] = engine.value(op.masks)
        if wanted == IGNORE or not (found := loss(engine.value(op.wiring), masks)):
            continue
        strict = wanted in (ERROR, KEEP_BEST)
        help = _HELP_REPAIRED if wanted == KEEP_BEST else _HELP
        message, layers = _message(op.ticket.data, found), _layers(found.layers)
        if found.outputs:
            errors.append(Diagnostic("output-cut", message, labels(op), (*layers, *help)))
        elif strict:
            errors.append(Diagnostic("layer-collapse", message, labels(op), (*layers, *help)))
        else:
            places = tuple(labels(op))
            findings.warning("layer-silent", message, *places, help=(*layers, *help))
    if errors:
        raise RecipeError(errors)


def _message(ticket: str, found: Loss) -> str:
    if found.outputs:
        names = ", ".join(f'"{name}"' for name in found.outputs[:_SHOWN])
        which = f"output {names} depends" if len(found.outputs) == 1 else f"outputs {names} depend"
        return f'under the mask of "{ticket}", {which} on no input any more'
    count = len(found.layers)
    if count == 1:
        lost = found.layers[0]
        return f'layer "{lost.layer}" of "{ticket}" carries no signal: it {_WHY[lost.fault]}'
    return f'{count} layers of "{ticket}" carry no signal'


def _layers(lost: Sequence[Lost]) -> list[str]:
    """The layers, those that are empty first: the others most often follow from them."""
    first = sorted(lost, key=lambda item: item.fault != "empty")
    lines = [f'layer "{item.layer}" {_WHY[item.fault]}' for item in first[:_SHOWN]]
    more = len(lost) - _SHOWN
    return [*lines, *([f"and {more} more"] if more > 0 else [])]
