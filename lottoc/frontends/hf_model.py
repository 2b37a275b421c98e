"""Causal language models of transformers: built without weights, filled block by block."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lottoc.diagnostics import InputError, input_error
from lottoc.frontends.hf_files import Checkpoint, invalid, open_folder, open_imported
from lottoc.frontends.text import TextSource, hf_missing, windows
from lottoc.signature import Layer, Signature

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from lottoc.engine.store import Store
    from lottoc.layerwise.hf_walk import HfWalk
    from lottoc.layerwise.walk import Batch

BATCH_TOKENS = 2048
"""Tokens that run together."""


def open_hf(source: str, path: Path, store: Store) -> HfModel:
    """A model of a folder (`hf`), or of a GGUF file (`gguf`), which is imported once.

    Raises `InputError`: model-not-found, hf-missing, hf-invalid, safetensors-invalid.
    """
    return HfModel(open_folder(path) if source == "hf" else open_imported(import_gguf(path, store)))


class HfModel:
    """A model as transformers builds it, its weights left on disk.

    Attributes:
        signature: the linear layers in the order they stand in the model.
        checkpoint: where the weights are.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.module = self._build()
        self.blocks_name, self.blocks = _blocks(self.module, checkpoint.path)

    def _build(self) -> Any:
        with _transformers() as transformers:
            config = dict(self.checkpoint.config)
            kind = config.pop("model_type", None)
            if not isinstance(kind, str):
                raise invalid(self.checkpoint.path, "config.json names no model_type")
            try:
                made = transformers.AutoConfig.for_model(kind, **config)
                with _without_weights():
                    module = transformers.AutoModelForCausalLM.from_config(made, dtype="float32")
            except Exception as error:  # what transformers raises depends on what is wrong
                reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
                raise invalid(self.checkpoint.path, reason) from error
        return module.eval()

    @cached_property
    def signature(self) -> Signature:
        """Linear layers; shapes and types are those of the checkpoint."""
        from torch import nn

        layers = []
        for name, part in self.module.named_modules():
            if isinstance(part, nn.Linear):
                found = self.checkpoint.tensors[self.stored_name(f"{name}.weight")]
                layers.append(Layer(name, "linear", found.shape, found.dtype))
        return Signature(tuple(layers))

    @cached_property
    def tied(self) -> dict[str, str]:
        """Parameters that share their numbers with another one, which the checkpoint has."""
        head, embeddings = self.module.get_output_embeddings(), self.module.get_input_embeddings()
        names = {id(part): name for name, part in self.module.named_modules()}
        if head is None or embeddings is None:
            return {}
        mine, other = f"{names[id(head)]}.weight", f"{names[id(embeddings)]}.weight"
        return {mine: other} if mine not in self.checkpoint and other in self.checkpoint else {}

    def stored_name(self, parameter: str) -> str:
        """What the checkpoint calls a parameter. Raises `InputError` (hf-invalid)."""
        for name in (parameter, self.tied.get(parameter, ""), _bare(parameter)):
            if name in self.checkpoint:
                return name
        raise invalid(self.checkpoint.path, f"there is no tensor {parameter}")

    def layer(self, name: str) -> NDArray[Any]:
        """A layer's weight, [out, in], as a view of its file."""
        return self.checkpoint.get(self.stored_name(f"{name}.weight"))

    def walk(self, changed: Callable[[str], NDArray[Any] | None]) -> HfWalk:
        """A way through the network, with the weights that `changed` gives in the file's place."""
        from lottoc.layerwise.hf_walk import HfWalk

        return HfWalk(self, changed)

    def batches(self, data: Any) -> list[Batch]:
        """Examples of a text, or of tokens in an npz file. Raises `InputError`: hf-data."""
        from lottoc.frontends.data import InputsSource, open_inputs

        if isinstance(data, TextSource):
            ids = windows(data, self.checkpoint.tokenizer)
        elif isinstance(data, InputsSource) and [n for n, _ in data.inputs] == ["input_ids"]:
            ids = open_inputs(data)["input_ids"].astype("int64")
        else:
            raise input_error(
                "hf-data",
                "a language model is given text, and the data is something else",
                help=['write  text("file.txt", length = 2048), or  npz("f.npz", input_ids = "…")'],
            )
        self._check(ids)
        size = max(1, BATCH_TOKENS // ids.shape[1])
        return [{"input_ids": ids[i : i + size]} for i in range(0, len(ids), size)]

    def _check(self, ids: NDArray[Any]) -> None:
        words = int(self.module.config.vocab_size)
        if ids.ndim != 2 or int(ids.max()) >= words or int(ids.min()) < 0:
            raise input_error(
                "hf-data",
                f"tokens go up to {int(ids.max())}, and the model knows {words}",
                file=str(self.checkpoint.path),
                help=["the tokenizer must be the model's own"],
            )


def _bare(parameter: str) -> str:
    """A checkpoint of the model without its head names parameters without the first word."""
    return parameter.partition(".")[2]


def _blocks(module: Any, path: Path) -> tuple[str, Sequence[Any]]:
    """The blocks that follow one another: the longest list of modules of one class."""
    from torch import nn

    lists = [
        (name, part)
        for name, part in module.named_modules()
        if isinstance(part, nn.ModuleList) and len({type(p) for p in part}) == 1
    ]
    if not lists:
        raise invalid(path, "no list of blocks is found in the model")
    name, blocks = max(lists, key=lambda item: (len(item[1]), -item[0].count(".")))
    return name, list(blocks)


@contextmanager
def _without_weights() -> Iterator[None]:
    """Parameters are made without numbers; buffers, which are small, with them."""
    import torch
    from torch import nn

    register = nn.Module.register_parameter

    def registered(module: Any, name: str, parameter: Any) -> None:
        if parameter is not None:
            empty = torch.empty_like(parameter, device="meta")
            parameter = nn.Parameter(empty, requires_grad=False)
        register(module, name, parameter)

    patched: Any = nn.Module
    patched.register_parameter = registered
    try:
        yield
    finally:
        patched.register_parameter = register


@contextmanager
def _transformers() -> Iterator[Any]:
    """The library, kept from downloading and from talking."""
    import os

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import transformers
    except ImportError as error:
        raise hf_missing("a model of Hugging Face", "transformers") from error
    logging: Any = transformers.utils.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    yield transformers


def import_gguf(path: Path, store: Store) -> Path:
    """A GGUF file as one file of plain numbers in the store, made once.

    transformers takes the quantized numbers apart, which needs memory for all of them.
    Raises `InputError`: model-not-found, hf-missing, gguf-invalid.
    """
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or str(error)
        raise input_error(
            "model-not-found", f"cannot read the model: {reason}", file=str(path)
        ) from error
    key = hashlib.sha256(f"gguf {digest}".encode()).hexdigest()
    return store.get(key, ".model") or store.put(key, lambda to: _import(path, to), ".model")


def _import(path: Path, target: Path) -> None:
    from lottoc.frontends.tensor_file import Described, write_tensors

    with _transformers() as transformers:
        try:
            import gguf  # noqa: F401
        except ImportError as error:
            raise hf_missing("a GGUF file", "gguf") from error
        folder, name = str(path.resolve().parent), path.name
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
        except InputError:
            raise
        except Exception as error:  # what transformers raises depends on what is wrong
            reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else repr(error)
            raise input_error(
                "gguf-invalid",
                f"transformers cannot read the GGUF file: {reason}",
                file=str(path),
                help=["copy the file again; not every kind of model can be read from GGUF"],
            ) from error
    seen: set[int] = set()
    tensors: dict[str, torch.Tensor] = {}
    for key, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:  # of tied ones the first
            seen.add(tensor.data_ptr())
            tensors[key] = tensor.float().contiguous()
    config = json.loads(model.config.to_json_string(use_diff=False))
    with tempfile.TemporaryDirectory(prefix="lottoc-gguf-") as place:
        tokenizer.save_pretrained(place)
        text = (Path(place) / "tokenizer.json").read_text("utf-8")
    described = [(n, Described("float32", tuple(t.shape))) for n, t in sorted(tensors.items())]
    metadata = {"config": json.dumps(config, sort_keys=True), "tokenizer": text}
    write_tensors(target, described, lambda n: tensors[n].numpy(), metadata)
