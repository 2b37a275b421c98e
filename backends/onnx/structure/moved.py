"""What became of a weight whose rows or columns were put in another order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Moved:
    """Row i of a stored weight is its row `rows[i]` of before, likewise columns; None if all stay.

    Rows and columns are those of the canonical weight.
    """

    rows: Ids | None
    columns: Ids | None


class Conflict(ValueError):
    """An order that cannot be written into this graph."""
