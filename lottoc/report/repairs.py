"""What repairs a ticket's masks went through: how many weights came back, and how many left."""

from __future__ import annotations

from typing import Any

from xdsl.ir import Operation

from lottoc.engine.evaluate import Engine
from lottoc.ir import lotto, mask
from lottoc.ir.plain import strings
from lottoc.masks.mask import Mask


def repairs_of(op: lotto.TicketOp, engine: Engine) -> list[dict[str, Any]]:
    """One entry a layer and round, from the first round to the last, of what changed."""
    bundle = op.masks.owner if op.masks is not None else None
    if not isinstance(bundle, mask.BundleOp):
        return []
    rounds: list[mask.RepairOp] = []
    last: Operation | Any = bundle.masks[0].owner
    while isinstance(last, mask.RepairOp):
        rounds.append(last)
        last = last.within[0].owner if last.within else None
    found = []
    for number, repair in enumerate(reversed(rounds), start=1):
        for name, old, new in zip(strings(repair.layers), repair.kept, repair.masks, strict=True):
            before: Mask = engine.value(old)
            after: Mask = engine.value(new)
            came, went = (after - before).kept, (before - after).kept
            if came or went:
                counts = {"put_back": came, "dropped": went}
                found.append({"round": number, "layer": name, **counts})
    return found
