"""How results that are worth keeping are written to a file and read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from xdsl.ir import Operation

from lottoc.engine.models import model_op
from lottoc.ir import lotto, mask
from lottoc.ir.types import LayerMaskType
from lottoc.masks.mask import Mask, load_masks, save_masks
from lottoc.masks.wiring_file import load_wiring, save_wiring


@dataclass(frozen=True)
class Kind:
    """How results of one kind are written to a file and read back."""

    suffix: str
    save: Callable[[Path, Sequence[Any]], None]
    load: Callable[[Path], Sequence[Any]]


def arrays(masks: Mapping[str, Mask]) -> dict[str, np.ndarray]:
    """Masks as arrays of bools, by layer."""
    return {name: m.to_bool() for name, m in masks.items()}


def _save_numbers(path: Path, results: Sequence[Any]) -> None:
    path.write_text(json.dumps(list(results)))


def _load_numbers(path: Path) -> Sequence[Any]:
    return [float(number) for number in json.loads(path.read_bytes())]


def _save_masks(path: Path, results: Sequence[Any]) -> None:
    save_masks(path, {str(index): result for index, result in enumerate(results)})


def _load_masks(path: Path) -> Sequence[Any]:
    masks = load_masks(path)
    return [masks[str(index)] for index in range(len(masks))]


def _save_together(path: Path, results: Sequence[Any]) -> None:
    save_masks(path, results[0])


def _load_together(path: Path) -> Sequence[Any]:
    return [load_masks(path)]


def _save_wiring(path: Path, results: Sequence[Any]) -> None:
    save_wiring(path, results[0])


def _load_wiring(path: Path) -> Sequence[Any]:
    return [load_wiring(path)]


def _save_state(path: Path, results: Sequence[Any]) -> None:
    results[0].save(path)


def _load_state(path: Path) -> Sequence[Any]:
    from lottoc.training.state import State

    return [State.load(path)]


def _save_statistic(path: Path, results: Sequence[Any]) -> None:
    from lottoc.statistics.files import save

    save(path, results[0])


def _load_statistic(path: Path) -> Sequence[Any]:
    from lottoc.statistics.files import StoredStatistic

    return [StoredStatistic(path)]


def _save_orders(path: Path, results: Sequence[Any]) -> None:
    path.write_text(json.dumps([order.tolist() for order in results]))


def _load_orders(path: Path) -> Sequence[Any]:
    return [np.array(order, np.int64) for order in json.loads(path.read_bytes())]


def _save_solved(path: Path, results: Sequence[Any]) -> None:
    from lottoc.layerwise.results import save

    save(path, results[1])


def _load_solved(path: Path) -> Sequence[Any]:
    from lottoc.layerwise.results import SolvedFile, StoredMasks

    file = SolvedFile(path)
    return [StoredMasks(file), file]


def _save_sparse(path: Path, results: Sequence[Any]) -> None:
    masks, state = results
    state.with_masks(arrays(masks)).save(path)


def _load_sparse(path: Path) -> Sequence[Any]:
    from lottoc.training.state import State

    state = State.load(path)
    return [state.masks(), state.without_masks()]


NUMBERS = Kind(".json", _save_numbers, _load_numbers)
ORDERS = Kind(".json", _save_orders, _load_orders)
MASKS = Kind(".masks", _save_masks, _load_masks)
TOGETHER = Kind(".masks", _save_together, _load_together)
"""The masks of several layers, by name."""
STATE = Kind(".state", _save_state, _load_state)
STATISTIC = Kind(".statistic", _save_statistic, _load_statistic)
SPARSE = Kind(".state", _save_sparse, _load_sparse)
"""Masks and weights that were trained together."""
WIRING = Kind(".wiring", _save_wiring, _load_wiring)
SOLVED = Kind(".solved", _save_solved, _load_solved)
"""Masks and weights that were solved for together."""


def kind_of(op: Operation) -> Kind | None:
    """How the results of an operation are kept; None if they are not."""
    match op:
        case lotto.TrainOp() | lotto.SignsOp() | lotto.GraftOp():
            return STATE
        case lotto.TrainSparseOp():
            return SPARSE
        case mask.LayerOp():
            return None
        case lotto.InitOp():
            return STATE if model_op(op.model).source.data == "torch" else None
        case lotto.EvaluateOp() | lotto.MeasureOp() | lotto.ProxyOp() | lotto.ApproximationOp():
            return NUMBERS
        case lotto.FlopsOp():
            return NUMBERS
        case lotto.PlacesOp():
            return STATISTIC
        case mask.OrderOp():
            return ORDERS
        case lotto.SubsetSumOp():
            return TOGETHER
        case lotto.ReconstructOp():
            return SOLVED
        case lotto.GatherOp():
            # under masks it serves one round of many, whose outcome, the masks, is kept
            return STATISTIC if op.masks is None else None
        case lotto.WiringOp():
            return WIRING
        case _ if op.results and isinstance(op.results[0].type, LayerMaskType):
            return MASKS
    return None
