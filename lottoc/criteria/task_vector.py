"""Task vector: |w - w_0|, how far fine-tuning has moved a weight.

Source: Panda, Isik, Qi, Koyejo, Weissman, Mittal 2024, "Lottery Ticket Adaptation: Mitigating
Destructive Interference in LLMs", §3.
"""

from __future__ import annotations

from dataclasses import dataclass

from lottoc.criteria.magnitude import Magnitude


@dataclass(frozen=True)
class TaskVector(Magnitude):
    """Keep the largest |w - w_0|: `method = lota` scores the difference that training has made."""
