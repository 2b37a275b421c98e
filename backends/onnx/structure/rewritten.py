"""The rewriting of a masked dense model: from its file to the file of a model that does less."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lottoc.diagnostics import InputError, input_error

if TYPE_CHECKING:
    import onnx_ir as ir

    from lottoc.backends.onnx.run import Job
    from lottoc.backends.onnx.structure.cost import Site, Worth
    from lottoc.backends.onnx.structure.grouping import GroupedLayer, Grouping
    from lottoc.backends.onnx.structure.moved import Ids, Moved


@dataclass(frozen=True)
class Rewritten:
    """What became of the weights, see `Stage`."""

    masked: frozenset[str]
    groups: Mapping[str, GroupedLayer]
    refused: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    sites: Mapping[str, tuple[Site, Grouping]]
    moved: Mapping[str, Moved]
    fixed: Mapping[str, str]


def rewrite(
    job: Job,
    source: Path,
    names: frozenset[str],
    worth: Worth | None,
    path: Path,
    orders: Mapping[str, Ids | None],
    small: bool = False,
) -> Rewritten | None:
    """Write the rewritten model to `path`; None, and no file, if there is nothing to gain.

    `job` holds the masked dense model of the one at `source`; `names` are its masked weights, and
    `orders` say how the channels come that some weights read; `small` is as of `lower_groups`.
    Raises `InputError` (onnx-invalid), and `Conflict`.
    """
    import onnx_ir as ir

    from lottoc.backends.onnx.structure.dead_units import remove_dead_units
    from lottoc.backends.onnx.structure.grouped import Lowered, lower_groups
    from lottoc.backends.onnx.structure.grouping import grouped_name
    from lottoc.backends.onnx.structure.reorder import Reordered, reorder

    program = load_graph(Path(job.model), Path(job.data), source)
    reordered = Reordered()
    asked = {weight: order for weight, order in orders.items() if order is not None}
    if asked:
        reordered = reorder(program, asked)
    removal = remove_dead_units(program, frozenset(orders))
    lowered = lower_groups(program, names, worth, small=small) if worth is not None else Lowered()
    groups = lowered.layers
    if not removal.layers and not groups and not asked:
        return None
    ir.save(program, str(path), external_data=f"{path.stem}.data")
    masked = {grouped_name(name) if name in groups else name for name in names}
    shapes = {layer.weight: layer.after for layer in removal.layers}
    return Rewritten(
        frozenset(masked),
        groups,
        lowered.refused,
        shapes,
        lowered.sites,
        reordered.moved,
        reordered.fixed,
    )


def invalid_model(path: Path, error: Exception) -> InputError:
    """What to say of a model that the checker or onnx-ir rejects."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return input_error("onnx-invalid", f"not a valid ONNX model: {reason}", file=str(path))


def load_graph(path: Path, folder: Path, source: Path) -> ir.Model:
    """A model with its data in `folder`, shapes inferred; numbers stay on disk until they are used.

    Raises `InputError` (onnx-invalid) that names `source`.
    """
    import onnx_ir as ir
    from onnx_ir.passes.common import LiftConstantsToInitializersPass, ShapeInferencePass

    logger = logging.getLogger("onnx_ir")
    before = logger.level
    logger.setLevel(logging.CRITICAL)  # it warns of what is no fault, with tracebacks
    try:
        program = ir.load(path)
        ir.external_data.set_base_dir(program.graph, folder)
        program = LiftConstantsToInitializersPass(size_limit=0)(program).model
        program = ShapeInferencePass()(program).model
        for value in program.graph.initializers.values():
            value.const_value = _on_disk(value.const_value)
        return program
    except Exception as error:
        raise invalid_model(source, error) from error
    finally:
        logger.setLevel(before)


def _on_disk(tensor: ir.TensorProtocol | None) -> ir.TensorProtocol | None:
    """A tensor that is mapped while somebody holds its numbers, and no longer."""
    import onnx_ir as ir

    if not isinstance(tensor, ir.ExternalTensor) or tensor.dtype.bitwidth < 8 or not tensor.size:
        return tensor
    path, offset, shape = str(tensor.path), tensor.offset or 0, tuple(tensor.shape.numpy())
    dtype, kind, name = tensor.dtype.numpy(), tensor.dtype, tensor.name

    def read() -> ir.TensorProtocol:
        numbers = np.asarray(np.memmap(path, dtype, "r", offset, shape))
        return ir.Tensor(numbers, dtype=kind, name=name)

    return ir.LazyTensor(read, dtype=kind, shape=tensor.shape, name=name, cache=False)
