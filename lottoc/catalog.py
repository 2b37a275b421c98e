"""Where the compiler learns what models and data sets are, loading as little as it can."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lottoc.engine.store import Store
from lottoc.frontends.torch_call import call_text
from lottoc.lower.program import Data, Model, Rank, Search, SourceKind, Training
from lottoc.lower.splits import NpzSplit
from lottoc.progress import Progress, Silent
from lottoc.signature import Layer, Signature


@dataclass
class Catalog:
    """Signatures of models and headers of data files.

    A torch model's signature costs the import of torch, so it is kept in the store; unless
    `deep`, a model never seen before stays unknown, and digests of ONNX files are not taken.
    """

    store: Store
    deep: bool = True
    settles: bool = False
    """Whether what a rank or a search finds is measured, or stood in for by any candidate."""
    progress: Progress = field(default_factory=Silent)
    stand_ins: dict[str, str] = field(default_factory=dict, init=False)
    """By the name of a rank or a search, which candidate stood in for what it finds."""

    def best(self, rank: Rank, models: Mapping[str, Model], data: Data) -> str:
        """The model that a rank puts first, or a stand-in."""
        if not self.settles:
            self.stand_ins[rank.name] = rank.models[0]
            return rank.models[0]
        from lottoc.contests import Contest

        return Contest(self.store, self.progress, self).best_of(rank, models, data)

    def explore(self, search: Search, data: Data, training: Training) -> Search:
        """The search with what was trained for it, or one stand-in that nobody has trained."""
        if self.settles:
            from lottoc.contests import Contest

            return Contest(self.store, self.progress, self).explore(search, data, training)
        first = {name: values[0] for name, values in search.space.items()}
        function = self.stand_ins[search.name] = call_text(search.function, first)
        signature, digest = self.signature("torch", search.path, function)
        name = f"{search.name}.best"
        seed, span = search.seed, search.span
        model = Model(name, "torch", search.path, function, seed, signature, digest, span)
        return replace(search, tried=(model,), best=name)

    def signature(
        self, source: SourceKind, path: Path, function: str
    ) -> tuple[Signature | None, str]:
        """The signature, if it can be known, and the digest."""
        if source == "onnx":
            return self._onnx(path)
        if source == "torch":
            return self._torch(path, function)
        return self._hf(source, path)

    def _onnx(self, path: Path) -> tuple[Signature, str]:
        from lottoc.frontends.onnx_model import open_onnx

        model = open_onnx(path)
        return model.signature, model.digest if self.deep else ""

    def open_inputs(self, path: Path) -> list[str]:
        """Inputs of an ONNX file whose shape is open in more than the number of examples."""
        from lottoc.frontends.onnx_file import OnnxFile
        from lottoc.frontends.onnx_places import open_inputs

        file = OnnxFile(path)
        with file.damage_is_an_error():
            return open_inputs(file)

    def _torch(self, path: Path, function: str) -> tuple[Signature | None, str]:
        from lottoc.frontends.torch_digest import torch_digest

        def signature() -> Signature:
            from lottoc.frontends.torch_model import open_torch

            return open_torch(path, function).signature()

        return self._kept(torch_digest(path, function), signature)

    def _hf(self, source: SourceKind, path: Path) -> tuple[Signature | None, str]:
        from lottoc.frontends.hf_files import model_digest

        def signature() -> Signature:
            from lottoc.frontends.hf_model import open_hf

            return open_hf(source, path, self.store).signature

        return self._kept(model_digest(path), signature)

    def _kept(self, digest: str, learn: Callable[[], Signature]) -> tuple[Signature | None, str]:
        """A signature that is kept in the store, because to learn it costs the import of torch."""
        key = hashlib.sha256(f"signature 2 {digest}".encode()).hexdigest()
        stored = self.store.get(key, ".json")
        if stored is not None:
            return _signature_from(json.loads(stored.read_bytes())), digest
        if not self.deep:
            return None, digest
        signature = learn()
        text = json.dumps([asdict(layer) for layer in signature]).encode()
        self.store.put(key, lambda target: _write(target, text), ".json")
        return signature, digest

    def reads(self, model: Model, data: Data | None) -> dict[str, int]:
        """By layer the number of the channels it reads, where these may be put in another order.

        An ONNX file is asked for its graph, a torch model exported for examples like those of
        `data`. Kept in the store. Raises `InputError`: what the export raises, onnx-invalid.
        """
        shape = "" if data is None else f" {self._sample(data)[1:]}"
        key = hashlib.sha256(f"channels 2 {model.digest}{shape}".encode()).hexdigest()
        stored = self.store.get(key, ".json")
        if stored is not None:
            found: dict[str, int] = json.loads(stored.read_bytes())
            return found
        found = self._reads(model, data)
        text = json.dumps(found, sort_keys=True).encode()
        self.store.put(key, lambda target: _write(target, text), ".json")
        return found

    def _reads(self, model: Model, data: Data | None) -> dict[str, int]:
        from lottoc.backends.onnx.structure.classes import layer_classes
        from lottoc.frontends.onnx_model import open_onnx

        if model.source == "onnx":
            return layer_classes(open_onnx(model.path))
        if model.source != "torch":
            return {}
        from lottoc.frontends.data import open_npz
        from lottoc.frontends.torch_model import open_torch

        assert data is not None
        npz, torch_model = data.splits["train"], open_torch(model.path, model.function)
        assert isinstance(npz, NpzSplit)
        sample = open_npz(npz.source("train")).x[:2]
        with tempfile.TemporaryDirectory(prefix="lottoc-channels-") as folder:
            path = Path(folder) / "model.onnx"
            torch_model.export_onnx(torch_model.initial_state(model.seed), sample, path)
            return layer_classes(open_onnx(path))

    def _sample(self, data: Data) -> tuple[int, ...]:
        from lottoc.frontends.data import npz_shape

        npz = data.splits.get("train")
        return npz_shape(npz.source("train"))[0] if isinstance(npz, NpzSplit) else ()

    def digest(self, data: Data) -> str:
        """Digest of the bytes of every file of a data set, and of what is read from them."""
        hashes = [
            f"{name} {_split_digest(split.source(name))}"
            for name, split in sorted(data.splits.items())
        ]
        return hashlib.sha256("\n".join(hashes).encode()).hexdigest()

    def examples(self, data: Data, split: str) -> int:
        """Number of examples, from the header of the file."""
        from lottoc.frontends.data import NpzSource, npz_shape

        npz = data.splits[split]
        assert isinstance(npz, NpzSplit)
        shape, _ = npz_shape(NpzSource(npz.path, npz.x, npz.y))
        return int(shape[0])


def _split_digest(source: Any) -> str:
    from lottoc.frontends.data import data_digest
    from lottoc.frontends.text import TextSource, text_digest

    return text_digest(source) if isinstance(source, TextSource) else data_digest(source)


def _signature_from(layers: list[dict[str, object]]) -> Signature:
    return Signature(
        tuple(Layer(**{**x, "shape": tuple(x["shape"])}) for x in layers)  # type: ignore[arg-type]
    )


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
