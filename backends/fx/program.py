"""Between a torch module and the file of its exported program; equal programs give equal bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from lottoc.frontends.exporting import BATCH, check_open, export_failed, silence
from lottoc.runtime.load import NOTES
from lottoc.training.settings import fixed_threads

KEPT_META = ("val", "tensor_meta")
"""What a node is noted with besides stack traces and class names: they differ between machines."""


def exported(
    module: nn.Module | fx.GraphModule, like: torch.Tensor, open: Mapping[int, str] = BATCH
) -> torch.export.ExportedProgram:
    """A module as a program, the dimensions of its input that `open` names left open.

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
    check_open(_ends(program), open)
    return program


def _ends(program: torch.export.ExportedProgram) -> list[list[int | None]]:
    """The shapes of the input and of the first output, None where a dimension is open."""
    nodes = list(program.graph.nodes)
    end: Any = nodes[-1].args[0]
    ends = [[node for node in nodes if node.op == "placeholder"][-1], end[0]]
    values = [node.meta.get("val") for node in ends if isinstance(node, fx.Node)]
    shapes = [value.shape for value in values if torch.is_tensor(value)]
    return [[size if isinstance(size, int) else None for size in shape] for shape in shapes]


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
