"""Exporting a trained torch model as dense ONNX under the names its layers have in torch."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from lottoc.diagnostics import input_error
from lottoc.frontends.exporting import BATCH, at_batch, check_open, export_failed, silence
from lottoc.frontends.onnx_model import open_onnx
from lottoc.frontends.torch_names import graphs, hide_weights, show_weights
from lottoc.signature import Signature, parameter_of
from lottoc.training.module import aliases, load_model
from lottoc.training.settings import fixed_threads
from lottoc.training.state import State

LARGEST_FILE = (1 << 31) - 1
"""Bytes that one protobuf message can have; weights of larger models go to a file beside it."""


def export_onnx(
    model: nn.Module,
    state: State,
    sample: NDArray[np.generic],
    path: Path,
    signature: Signature,
    batch: int | None = None,
) -> list[str]:
    """Write `model` with the weights of `state`, in evaluation mode, batch size left open.

    With `batch` that is the one size that the file takes. Gives and raises what `export_module`
    does, and raises `InputError`: state-mismatch.
    """
    load_model(model, state)
    sample, open = at_batch(sample, batch, BATCH)
    return export_module(model.eval(), sample, path, signature, open)


def export_module(
    model: nn.Module,
    sample: NDArray[np.generic],
    path: Path,
    signature: Signature,
    open: Mapping[int, str] = BATCH,
    output: str | None = None,
) -> list[str]:
    """Write `model` as it stands, with the dimensions of its input left open that `open` names.

    `sample` is a batch of examples as the network takes them, `output` a name for what the network
    gives. Batch norm may be merged into the layer before it, which scales rows of that layer; zeros
    stay zeros. Layers that forward() does not use are left out. Gives the layers that it uses, but
    whose weights are no layers of the file. Raises `InputError`: export-failed where torch cannot
    export the model, export-batch where the network fixes the size of what is to be open.
    """
    _refuse_projections(model)
    program = _exported(model, sample, tuple(open), output)
    names, used = aliases(model), _used_parameters(program)
    layers = {parameter_of(layer.name, names): layer for layer in signature}
    _optimize(program, {name: names[name] for name in layers})
    proto = program.model_proto
    shapes = [
        end.type.tensor_type.shape.dim for end in (proto.graph.input[0], proto.graph.output[0])
    ]
    check_open(
        [[d.dim_value if d.HasField("dim_value") else None for d in shape] for shape in shapes],
        open,
    )
    _strip(proto)
    _name_open(proto.graph, open)
    _write(proto, path)
    found = open_onnx(path).weights
    return [
        layer.name
        for name, layer in layers.items()
        if layer.name not in found and used.intersection(names[name])
    ]


def _refuse_projections(model: nn.Module) -> None:
    """The exporter takes an LSTM with a projection for one without, and writes another network."""
    for name, part in model.named_modules():
        if isinstance(part, nn.LSTM) and part.proj_size:
            raise input_error(
                "export-failed",
                f'torch cannot export the model: "{name}" is an LSTM with a projection, which ONNX '
                "does not have",
                help=("leave proj_size out, or write a torch program:  emit fx",),
            )


def _exported(
    model: nn.Module, sample: NDArray[np.generic], open: tuple[int, ...], output: str | None
) -> torch.onnx.ONNXProgram:
    if importlib.util.find_spec("onnxscript") is None:
        raise input_error(
            "export-failed",
            "torch needs onnxscript to write ONNX, and it is not installed",
            help=('pip install "lottoc[torch]"',),
        )
    if 0 in open and len(sample) == 1:  # it would be taken for a network of one example only
        sample = np.concatenate([sample, sample])
    try:
        with silence(), fixed_threads(1):
            program = torch.onnx.export(
                model,
                (torch.from_numpy(sample),),
                dynamo=True,
                dynamic_shapes=(dict.fromkeys(open, torch.export.Dim.AUTO),) if open else None,
                output_names=[output] if output else None,
                verbose=False,
                optimize=False,
            )
    except Exception as error:  # the exporter raises whatever its many parts raise
        raise export_failed(error) from error
    assert program is not None
    return program


def _optimize(program: torch.onnx.ONNXProgram, names: Mapping[str, Sequence[str]]) -> None:
    """What the exporter would do by itself, but for the weights of `names`, which stay whole."""
    from onnxscript.rewriter import rewrite
    from onnxscript.rewriter.rules import common

    merging = [common.fuse_batchnorm_into_gemm_rule, common.fuse_batchnorm_into_conv_rule]
    try:
        with silence(), fixed_threads(1):
            hidden = hide_weights(program.model.graph, (n for all in names.values() for n in all))
            program.optimize()
            show_weights(program.model.graph, hidden, names)
            rewrite(program.model, merging)
    except Exception as error:  # as above
        raise export_failed(error) from error


def _used_parameters(program: torch.onnx.ONNXProgram) -> set[str]:
    """Names of the parameters that the outputs depend on."""
    exported: Any = program.exported_program
    parameters = exported.graph_signature.inputs_to_parameters
    inputs = [node for node in exported.graph.nodes if node.op == "placeholder" and node.users]
    return {parameters[node.name] for node in inputs if node.name in parameters}


def _strip(proto: onnx.ModelProto) -> None:
    """Drop stack traces, paths and class names: they differ between machines."""
    parts: list[Any] = [proto, *proto.functions]
    parts += [node for function in proto.functions for node in function.node]
    for graph in graphs(proto.graph):
        parts += [graph, *graph.node, *graph.initializer, *graph.value_info]
        parts += [*graph.input, *graph.output]
    for part in parts:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


def _name_open(graph: onnx.GraphProto, open: Mapping[int, str]) -> None:
    """Call open dimensions what they are, for the exporter numbers them."""
    shape = graph.input[0].type.tensor_type.shape
    new = {shape.dim[axis].dim_param: name for axis, name in open.items()}
    for value in [*graph.input, *graph.output, *graph.value_info]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.dim_param = re.sub(
                    r"\w+", lambda found: new.get(found[0], found[0]), dim.dim_param
                )


def _write(proto: onnx.ModelProto, path: Path) -> None:
    if proto.ByteSize() <= LARGEST_FILE:
        path.write_bytes(proto.SerializeToString(deterministic=True))
        return
    data = path.with_name(path.name + ".data")
    data.unlink(missing_ok=True)  # onnx would append to it
    onnx.save_model(
        proto, path, save_as_external_data=True, all_tensors_to_one_file=True, location=data.name
    )
