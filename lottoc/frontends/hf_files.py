"""The files of a Hugging Face folder, or a GGUF file, without any library of theirs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lottoc.diagnostics import InputError, input_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.frontends.tensor_file import Described, TensorFile

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
TOKENIZER = "tokenizer.json"
CONFIG = "config.json"


def model_files(path: Path) -> list[Path]:
    """What a model is made of: the GGUF file, or configuration, tokenizer and weights.

    Raises `InputError`: model-not-found.
    """
    if path.is_file():
        return [path]
    found = sorted([*path.glob("*.json"), *path.glob("*.safetensors")])
    if path / CONFIG in found and any(file.suffix == ".safetensors" for file in found):
        return found
    lacks = CONFIG if path / CONFIG not in found else "a .safetensors file"
    reason = f"the folder has no {lacks}" if path.is_dir() else "there is no such file or folder"
    help = ["paths in a recipe are relative to the recipe's own folder"]
    if list(path.glob("*.bin")):
        help = ["pickled weights can run code and are not read: save them as safetensors"]
    raise input_error(
        "model-not-found", f"cannot read the model: {reason}", file=str(path), help=help
    )


def model_digest(path: Path) -> str:
    """SHA-256 over names and bytes of the files."""
    digests = []
    for file in model_files(path):
        try:
            with file.open("rb") as stream:
                digests.append(f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}")
        except OSError as error:
            raise input_error(
                "model-not-found",
                f"cannot read the model: {error.strerror or error}",
                file=str(file),
            ) from error
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


class Checkpoint:
    """Configuration, tokenizer and weights of a model; weights are mapped when asked for."""

    def __init__(
        self,
        path: Path,
        config: Mapping[str, Any],
        tokenizer: str | None,
        files: Mapping[str, TensorFile],
    ) -> None:
        self.path, self.config, self.tokenizer, self._files = path, config, tokenizer, files

    @property
    def tensors(self) -> dict[str, Described]:
        """Every tensor, in the order of their names."""
        return {name: self._files[name].tensors[name] for name in sorted(self._files)}

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def get(self, name: str) -> NDArray[Any]:
        """A tensor as a view of its file."""
        return self._files[name].get(name)

    @property
    def bytes(self) -> int:
        """Size of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def open_folder(path: Path) -> Checkpoint:
    """A folder as `save_pretrained` writes it. Raises `InputError`: model-not-found, hf-invalid,
    safetensors-invalid."""
    from lottoc.frontends.tensor_file import TensorFile

    files = model_files(path)
    config = _json(path / CONFIG)
    tokenizer = path / TOKENIZER
    weights = {f.name: TensorFile(f) for f in files if f.suffix == ".safetensors"}
    if SINGLE in weights:  # whatever lies beside it is something else, such as masks
        of = dict.fromkeys(weights[SINGLE].tensors, weights[SINGLE])
    elif path / INDEX in files:
        placed = _json(path / INDEX).get("weight_map", {})
        missing = sorted(set(placed.values()) - weights.keys())
        if missing:
            raise invalid(path, f"{INDEX} names {missing[0]}, which is not there")
        of = {name: weights[file] for name, file in placed.items()}
    else:
        of = {name: file for file in weights.values() for name in file.tensors}
    for name, file in of.items():
        if name not in file:
            raise invalid(path, f"{file.path.name} does not hold {name}")
    text = tokenizer.read_text("utf-8") if tokenizer in files else None
    return Checkpoint(path, config, text, of)


def open_imported(path: Path) -> Checkpoint:
    """A model that was imported into one file, configuration and tokenizer as its metadata."""
    from lottoc.frontends.tensor_file import TensorFile

    file = TensorFile(path)
    config = json.loads(file.metadata["config"])
    of = dict.fromkeys(file.tensors, file)
    return Checkpoint(path, config, file.metadata.get("tokenizer"), of)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise invalid(path, f"it is no JSON: {error}") from error


def invalid(path: Path, reason: str) -> InputError:
    """The folder is not what transformers would write."""
    return input_error(
        "hf-invalid",
        f"not a model of transformers, or damaged: {reason}",
        file=str(path),
        help=["save it again with  model.save_pretrained(…)"],
    )
