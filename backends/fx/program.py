"""Between a torch module and the file of its exported program; equal programs give equal bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from lottoc.frontends.exporting import check_open_batch, export_failed, silence
from lottoc.runtime.load import NOTES
from lottoc.training.settings import fixed_threads

KEPT_META = ("val", "tensor_meta")
"""What a node is noted with besides stack traces and class names: they differ between machines."""


def exported(
    module: nn.Module | fx.GraphModule, like: torch.Tensor, open: tuple[int, ...] = (0,)
) -> torch.export.ExportedProgram:
    """A module as a program, some dimensions of its input left `open`, the batch size first.

    `like` has the shape and type of the input.

    Raises `InputError`: export-failed, export-batch.
    """
    example = torch.zeros((max(2, len(like)), *like.shape[1:]), dtype=like.dtype)
    try:
        with silence(), fixed_threads(1):
            program = torch.export.export(
                module,
                (example,),
                dynamic_shapes=(dict.fromkeys(open, torch.export.Dim.AUTO),),
            )
    except Exception as error:  # the exporter raises whatever its many parts raise
        raise export_failed(error) from error
    check_open_batch(size for size in _batches(program) if isinstance(size, int))
    return program


def _batches(program: torch.export.ExportedProgram) -> list[Any]:
    """The first dimensions of the input and of the first output."""
    nodes = list(program.graph.nodes)
    end: Any = nodes[-1].args[0]
    ends = [[node for node in nodes if node.op == "placeholder"][-1], end[0]]
    values = [node.meta.get("val") for node in ends if isinstance(node, fx.Node)]
    return [value.shape[0] for value in values if torch.is_tensor(value) and value.dim()]


def save(program: torch.export.ExportedProgram, notes: str, path: Path) -> None:
    """Write a program and what is noted of it, whole or not at all."""
    for module in program.graph_module.modules():
        if isinstance(module, fx.GraphModule):
            _clean(module.graph)
    with tempfile.TemporaryDirectory(prefix=".lottoc-", dir=path.parent) as folder:
        # torch names the root of the archive after the file
        staged = Path(folder) / "model.pt2"
        with silence():
            torch.export.save(program, staged, extra_files={NOTES: notes})
        staged.replace(path)


def _clean(graph: fx.Graph) -> None:
    """Drop what would tie a program to this machine: where it was traced, and the device."""
    for node in list(graph.nodes):
        if node.target == torch.ops.aten._assert_tensor_metadata.default:
            graph.erase_node(node)
        else:
            node.meta = {key: node.meta[key] for key in KEPT_META if key in node.meta}
