"""A language model of transformers as a dense ONNX model, to be written under its masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lottoc.backends.fx.language import example, language_network
from lottoc.backends.fx.network import Masks
from lottoc.frontends.exporting import TOKENS, at_batch
from lottoc.frontends.hf_model import HfModel
from lottoc.frontends.torch_export import export_module


def export_language(
    model: HfModel,
    masks: Masks,
    changed: Callable[[str], NDArray[Any] | None],
    path: Path,
    batch: int | None = None,
) -> list[str]:
    """Write the model as ONNX: `input_ids` [batch, length] in, `logits` out, both sizes open.

    With `batch` that is the one size of a batch that it takes.

    It computes in float32, as it was measured: onnxruntime has few kernels for narrower types on a
    CPU. `changed` gives the weights that take the place of the file's. Layers under `masks` get a
    weight of their own, not masked yet, so that an output layer leaves the embedding as it was.
    Gives what `export_module` does. Raises `InputError`: export-failed, export-batch, hf-invalid.
    """

    def own(layer: str) -> NDArray[Any] | None:
        new = changed(layer)
        return model.layer(layer) if new is None and masks(layer) is not None else new

    module = language_network(model, lambda layer: None, own).module.float()
    sample, open = at_batch(example(model), batch, TOKENS)
    return export_module(module, sample, path, model.signature, open, "logits")
