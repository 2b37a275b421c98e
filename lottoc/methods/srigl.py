"""SRigL: sparse from the start under a pattern of constant fan-in.

Source: Lasby, Golubeva, Evci, Nica, Ioannou 2024, "Dynamic Sparse Training with Structured
Sparsity".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from lottoc.methods.lab import Lab, M, S, W
from lottoc.methods.swaps import Swaps, check_share

_ABLATE = 0.3


@dataclass(frozen=True)
class Srigl(Swaps):
    """Train sparse from the start, as `rigl`, and keep a pattern at every step.

    Under `fanin` every output keeps equally many inputs. An output with fewer than
    `ablate` · fan-in salient connections (30 % unless said) dies and its share goes to the others;
    the export removes it. Outputs of the network's last layer never die. Under N:M connections
    move among M neighbours, under `groups(64)` whole columns of a group go and come; no output
    dies there.
    """

    update: ClassVar[str] = "srigl"
    patterns: ClassVar[tuple[str, ...]] = ("fanin", "N:M", "groups")

    ablate: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ablate is not None:
            check_share("ablate", self.ablate)

    def problem(self, pattern: str) -> str | None:
        """Only an output of its own fan-in can die."""
        if self.ablate and pattern != "fanin":
            return f"ablates outputs under pattern fanin only, not under {pattern}"
        return None

    def options(self, lab: Lab[W, S, M]) -> dict[str, Any]:
        """Options of the rule."""
        ablate = 0.0
        if lab.pattern == "fanin":
            ablate = _ABLATE if self.ablate is None else self.ablate
        return {**super().options(lab), "ablate": ablate, "whole": [lab.last_layer]}
