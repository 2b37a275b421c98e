"""A Hugging Face folder of a pruned model: weights dense with zeros, masks beside them in bits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.failure import failure
from lottoc.diagnostics import InputError, LottoError
from lottoc.frontends.hf_files import CONFIG, SINGLE, TOKENIZER, open_folder
from lottoc.frontends.hf_model import HfModel
from lottoc.frontends.tensor_file import Described, TensorFile, write_tensors
from lottoc.masks.mask import Mask

MASKS = "masks.safetensors"
"""One uint8 tensor a layer, named like the layer: 1 bit a weight in C order of [out, in], the first
in the highest bit, 1 for kept; the metadata says each layer's shape."""

Changed = Callable[[str], NDArray[Any] | None]


@dataclass(frozen=True)
class HfLayer:
    """What was written of a layer."""

    name: str
    shape: tuple[int, ...]
    kept: int
    format: str = "dense"

    @property
    def sparsity(self) -> float:
        """Share of zeros that the mask asks for."""
        return 1 - self.kept / int(np.prod(self.shape))


def emit(
    model: HfModel, folder: Path, masks: Mapping[str, Mask], changed: Changed
) -> list[HfLayer]:
    """Write the model with `mask * weight` for each masked layer, one tensor in memory at a time.

    A pruned output layer that shares its weight with the embedding gets one of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = _Content(model, masks, changed)
    described = content.described()
    write_tensors(folder / SINGLE, list(described.items()), content.get, {"format": "pt"})
    _write_masks(folder / MASKS, masks)
    for file in model.checkpoint.path.glob("*.json") if model.checkpoint.path.is_dir() else ():
        if not file.name.endswith(".index.json"):
            shutil.copyfile(file, folder / file.name)
    config = dict(model.checkpoint.config)
    if content.untied:
        config["tie_word_embeddings"] = False
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    if model.checkpoint.tokenizer is not None and not (folder / TOKENIZER).exists():
        (folder / TOKENIZER).write_text(model.checkpoint.tokenizer, "utf-8")
        kind = {"tokenizer_class": "PreTrainedTokenizerFast"}
        (folder / "tokenizer_config.json").write_text(json.dumps(kind) + "\n", "utf-8")
    return [HfLayer(name, mask.shape, mask.kept) for name, mask in masks.items()]


class _Content:
    """Every tensor that the new file holds."""

    def __init__(self, model: HfModel, masks: Mapping[str, Mask], changed: Changed) -> None:
        self.model, self.masks, self.changed = model, masks, changed
        tied = {p.removesuffix(".weight") for p in model.tied}
        self.untied = {n for n in tied if n in masks or changed(n) is not None}
        self.layers = {
            (f"{layer.name}.weight" if layer.name in tied else self._stored(layer.name)): layer.name
            for layer in model.signature
            if layer.name not in tied or layer.name in self.untied
        }

    def _stored(self, layer: str) -> str:
        return self.model.stored_name(f"{layer}.weight")

    def described(self) -> dict[str, Described]:
        found = self.model.checkpoint.tensors
        for name in self.untied:
            found[f"{name}.weight"] = found[self._stored(name)]
        return dict(sorted(found.items()))

    def get(self, name: str) -> NDArray[Any]:
        layer = self.layers.get(name)
        if layer is None:
            return self.model.checkpoint.get(name)
        weight = self.changed(layer)
        weight = self.model.layer(layer) if weight is None else weight
        mask = self.masks.get(layer)
        if mask is None:
            return weight
        return np.where(mask.to_bool(), weight, np.zeros((), weight.dtype))


def _write_masks(path: Path, masks: Mapping[str, Mask]) -> None:
    described = [(name, Described("uint8", (len(masks[name].bits),))) for name in sorted(masks)]
    shapes = {name: "x".join(map(str, mask.shape)) for name, mask in masks.items()}
    write_tensors(path, described, lambda name: masks[name].bits, shapes)


def verify(
    model: HfModel, folder: Path, masks: Mapping[str, Mask], changed: Changed
) -> dict[str, Any]:
    """Read the folder back: every tensor and mask bit by bit, then run it beside the masked model.

    Raises `LottoError` (verify-failed).
    """
    content = _Content(model, masks, changed)
    try:
        written = HfModel(open_folder(folder))
        for name, tensor in content.described().items():
            if written.checkpoint.tensors.get(name) != tensor:
                raise _wrong(folder, f"tensor {name} is not what was written")
            if not _same(written.checkpoint.get(name), content.get(name)):
                raise _wrong(folder, f"tensor {name} differs from mask times weight")
        stored = TensorFile(folder / MASKS)
        for name, mask in masks.items():
            if not _same(stored.get(name), mask.bits):
                raise _wrong(folder, f"the mask of {name} differs")
    except (InputError, KeyError) as error:
        raise _wrong(folder, str(error)) from error
    ids = np.arange(2 * 8).reshape(2, 8) % int(model.module.config.vocab_size)

    def masked(layer: str) -> NDArray[Any] | None:
        name = next((n for n, found in content.layers.items() if found == layer), None)
        return content.get(name) if name is not None and layer in masks else changed(layer)

    batch = [{"input_ids": ids}]
    expected = model.walk(masked).nll(batch, lambda steps: None)
    found = written.walk(lambda layer: None).nll(batch, lambda steps: None)
    if found != expected and not (np.isnan(found) and np.isnan(expected)):
        raise _wrong(folder, f"the model gives {found:g} where {expected:g} is expected")
    return {"tensors": len(content.described()), "layers": len(masks), "error": 0.0}


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Equal bit by bit: -0.0 differs from 0.0, and NaN equals itself."""
    left, right = (np.ascontiguousarray(a).reshape(-1).view(np.uint8) for a in (one, other))
    return np.array_equal(left, right)


def _wrong(folder: Path, message: str) -> LottoError:
    return failure(folder, message)
