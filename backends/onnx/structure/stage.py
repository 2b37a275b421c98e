"""Rewrites a pruned model's graph before it is stored: dead units leave, groups become dense work.

The result is a model file of its own, from which the artefact is then written like from any
other; a weight is pruned there where it is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.apart import Result, call_apart
from lottoc.backends.onnx.reference import write_reference
from lottoc.backends.onnx.structure.grouping import (
    GroupedLayer,
    Grouping,
    find_groups,
    grouped_name,
    no_groups,
)
from lottoc.backends.onnx.structure.moved import Conflict, Moved
from lottoc.backends.onnx.structure.rewritten import invalid_model, rewrite
from lottoc.diagnostics import InputError, input_error
from lottoc.frontends.onnx_model import OnnxModel, open_onnx

if TYPE_CHECKING:
    from lottoc.backends.onnx.pruned import Content
    from lottoc.backends.onnx.structure.cost import Rule, Site

MIN_OPSET = 13
"""Unsqueeze and the reductions take their axes as inputs from here on."""

LARGEST = (1 << 31) - 1
"""Bytes: a model that is one protobuf message can be rewritten in memory."""

NOT_FOLLOWED = "its weight is not read as it is stored"

APART = 1 << 25
"""Bytes: it is worth a process of its own to give memory back after so large a model."""


@dataclass(frozen=True)
class Stage:
    """The rewritten model. `shapes` and `groups` tell of layers that changed, by their names."""

    model: OnnxModel
    masked: frozenset[str]
    """Stored weights that hold zeros for what was pruned."""
    groups: Mapping[str, GroupedLayer] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why a stored weight was not grouped."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    sites: Mapping[str, tuple[Site, Grouping]] = field(default_factory=dict)
    """Where stored weights are that could be grouped, and how."""
    moved: Mapping[str, Moved] = field(default_factory=dict)
    """Stored weights whose rows or columns are in another order, before dead units left."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Why the channels that a stored weight's layer reads had to stay where they are."""
    small: frozenset[str] = frozenset()
    """Stored weights of the rewritten model whose layers multiply bytes in int8."""
    small_refused: Mapping[str, str] = field(default_factory=dict)
    """Why a stored weight's layer does not, though it runs in groups."""

    def mask(self, name: str) -> NDArray[np.bool_] | None:
        """The mask of a layer of the rewritten model: its weights that are not zero."""
        if self.model.weights[name].stored.name not in self.masked:
            return None
        kept: NDArray[np.bool_] = np.asarray(self.model.layer(name) != 0)
        return kept

    def is_settled(self, weight: str) -> bool:
        """Whether a stored weight is grouped, or gone, or has nothing left to prune."""
        name = self.stored_name(weight)
        stored = {w.stored.name: layer for layer, w in self.model.weights.items()}
        if weight in self.groups or name not in stored:
            return True
        return bool(np.all(self.model.layer(stored[name]) != 0))

    def stored_name(self, weight: str) -> str:
        """What an original weight is called in the rewritten model."""
        return grouped_name(weight) if weight in self.groups else weight


def restructure(
    content: Content,
    folder: Path,
    rule: Rule | None,
    *,
    small: bool = False,
) -> Stage | None:
    """The model of `content` rewritten into `folder`; None if there is nothing to gain.

    Layers are grouped where `rule` says so, nowhere if it is None; `small` says that they will
    give out bytes.
    """
    with content.model.file.damage_is_an_error():
        stage = _restructure(content, folder, rule, small)
    content.model.file.forget()
    return stage


def _restructure(
    content: Content,
    folder: Path,
    rule: Rule | None,
    small: bool,
) -> Stage | None:
    model = content.model
    if model.file.opset < MIN_OPSET or model.file_bytes > LARGEST:
        if content.ordered:
            raise cannot_reorder(model, unfit(model) or "")
        return None
    if not content.ordered and not any(_promising(content, name, rule) for name in model.weights):
        return None
    masked = frozenset(
        weight.stored.name
        for name, weight in model.weights.items()
        if content.mask(name) is not None
    )
    job, path = write_reference(content, folder), folder / "structured.onnx"
    model.file.forget()
    call = call_apart if model.file_bytes >= APART else _call
    try:
        orders = {model.weights[name].stored.name: o for name, o in content.orders.items()}
        found = call(rewrite, job, model.path, masked, rule, path, orders, small)
    except Conflict as error:
        raise cannot_reorder(model, str(error)) from error
    except Exception:
        refuse_invalid(model.path)
        raise
    if found is None:
        return None
    return Stage(open_onnx(path), **vars(found))


def cannot_reorder(model: OnnxModel, reason: str) -> InputError:
    """Channels are asked to be where they cannot be."""
    help = ("let lottoc find which layers read the same channels: lower the recipe again",)
    return input_error("onnx-order", reason, file=str(model.path), help=help)


def unfit(model: OnnxModel) -> str | None:
    """Why the graph of a model cannot be rewritten at all."""
    if model.file.opset < MIN_OPSET:
        return f"that needs opset {MIN_OPSET}, the model has {model.file.opset}"
    if model.file_bytes > LARGEST:
        return f"the model has {model.file_bytes} bytes, {LARGEST} at most are possible"
    return None


def _call(function: Callable[..., Result], *arguments: object) -> Result:
    return function(*arguments)


def refuse_invalid(path: Path) -> None:
    """Raise `InputError` (onnx-invalid) if the checker of the ONNX project rejects a model."""
    import onnx.checker

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:
        raise invalid_model(path, error) from error


def _promising(content: Content, name: str, rule: Rule | None) -> bool:
    """Whether a layer has groups, or a row or column without any weight."""
    mask = content.mask(name)
    if mask is None:
        return False
    used = np.asarray(mask.reshape(*mask.shape[:2], -1).any(axis=2))
    if not (np.all(used.any(axis=0)) and np.all(used.any(axis=1))):
        return True
    grouping = find_groups(mask) if rule is not None else None
    return grouping is not None and grouping.work < 1


def refuse_ungrouped(content: Content, stage: Stage | None) -> None:
    """Raise `InputError` (onnx-format) for the first pruned layer that is not stored in groups.

    Layers of which nothing is pruned any more once dead units have left are stored as they are.
    """
    for name, weight in content.model.weights.items():
        mask, own = content.mask(name), weight.stored.name
        if mask is None or mask.all() or (stage is not None and stage.is_settled(own)):
            continue
        reason = stage.refused.get(own) if stage is not None else None
        raise input_error(
            "onnx-format",
            f'layer "{name}" cannot be stored as groups: {reason or _obstacle(content, mask)}',
            file=str(content.model.path),
            help=["with format = auto, each layer gets the format that suits it"],
        )


def _obstacle(content: Content, mask: NDArray[np.bool_]) -> str:
    """Why a model, or a layer of it, was not even tried."""
    grouping = find_groups(mask)
    return unfit(content.model) or no_groups(mask, grouping) or "nothing would be saved"
