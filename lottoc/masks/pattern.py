"""What a mask may look like, as plain data that a recipe can be checked with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Groups:
    """The pattern `groups(least)`; rows that share a group are chosen, or as they follow."""

    least: int
    permute: bool = True

    def __str__(self) -> str:
        return f"groups({self.least}{'' if self.permute else ', permute = false'})"
