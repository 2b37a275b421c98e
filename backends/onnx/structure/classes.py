"""Which layers of a model file read the same channels, where these may be put in another order."""

from __future__ import annotations

from pathlib import Path

from lottoc.backends.onnx.apart import call_apart
from lottoc.backends.onnx.structure.rewritten import load_graph
from lottoc.backends.onnx.structure.stage import APART, refuse_invalid, unfit
from lottoc.frontends.onnx_model import OnnxModel


def layer_classes(model: OnnxModel) -> dict[str, int]:
    """By layer: a number that it shares with all that read the same channels.

    Layers that must keep the order they have are left out, all of them if the graph cannot be
    rewritten. Raises `InputError` (onnx-invalid).
    """
    if unfit(model) is not None:
        return {}
    path = model.path.resolve()
    try:
        of = call_apart(classes_in, path) if model.file_bytes >= APART else classes_in(path)
    except Exception:
        refuse_invalid(model.path)
        raise
    stored = {name: weight.stored.name for name, weight in model.weights.items()}
    return {name: of[weight] for name, weight in stored.items() if weight in of}


def classes_in(path: Path) -> dict[str, int]:
    """The same by the names of weights."""
    from lottoc.backends.onnx.structure.spaces import channel_classes

    of, _ = channel_classes(load_graph(path, path.parent, path).graph)
    return dict(of)
