"""Opens an ONNX model: its prunable layers at once, its weights one layer at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_layers import LayerFinder, Stored, Weight
from lottoc.frontends.onnx_tensor import Tensor
from lottoc.signature import Signature

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lottoc.layerwise.onnx_walk import OnnxWalk
    from lottoc.layerwise.walk import Batch


class OnnxModel:
    """A model whose weights stay on disk.

    Attributes:
        signature: prunable layers in network order, shapes canonical.
        skipped: (name, reason) of weights that cannot be pruned in this version.
        weights: for each layer, by name, where it is stored and which nodes read it.
    """

    def __init__(self, file: OnnxFile) -> None:
        self.file = file
        self.path = file.path
        self._tensors: dict[str, Tensor] = dict(file.initializers)
        for node in file.nodes:
            constant = file.constant(node)
            if constant is not None:
                self._tensors[constant.name] = constant
        stored = {t.name: Stored(t.name, t.data_type, t.dims) for t in self._tensors.values()}
        found, self.skipped = LayerFinder(file, stored).find()
        self.weights: dict[str, Weight] = {weight.layer.name: weight for weight in found}
        self.signature = Signature(tuple(weight.layer for weight in found))
        for weight in found:
            self.tensor(weight.layer.name).check_length()

    def tensor(self, name: str) -> Tensor:
        """The stored tensor of a layer."""
        return self._tensors[self.weights[name].stored.name]

    def layer(self, name: str) -> NDArray[np.generic]:
        """A layer's weight, canonical ([out, in] or [out, in / groups, *kernel]) and read-only.

        It is a view of the mapped file where the layout allows; bfloat16 weights have the type
        `ml_dtypes.bfloat16`. Raises `InputError` if the file does not hold it.
        """
        with self.file.damage_is_an_error():
            stored = self.tensor(name).read()
        return stored.T if self.weights[name].transposed else stored

    def walk(self, changed: Callable[[str], NDArray[Any] | None]) -> OnnxWalk:
        """A way through the network, with the weights that `changed` gives in the file's place."""
        from lottoc.layerwise.onnx_walk import OnnxWalk

        return OnnxWalk(self, changed)

    def batches(self, data: Any) -> list[Batch]:
        """Examples of a data set as the model's inputs want them."""
        from lottoc.layerwise.onnx_batches import onnx_batches

        return onnx_batches(self, data)

    @property
    def shared(self) -> dict[str, tuple[str, ...]]:
        """Layers whose weight is also read as something else, with the nodes that do so."""
        return {name: weight.others for name, weight in self.weights.items() if weight.others}

    @property
    def file_bytes(self) -> int:
        """Size of the model file and its external data."""
        return sum(path.stat().st_size for path in self.files())

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the model file; with external data, of the files' digests in a row."""
        digests = []
        for path in self.files():
            with open(path, "rb") as stream:
                digests.append(hashlib.file_digest(stream, "sha256"))
        if len(digests) == 1:
            return digests[0].hexdigest()
        return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()

    def files(self) -> list[Path]:
        """The model file and those that hold its external data."""
        external = {
            t.external: t.extent.path for t in self.file.tensors() if t.external and t.extent
        }
        return [self.path, *(external[location] for location in sorted(external))]


def open_onnx(path: Path) -> OnnxModel:
    """Open a model without reading its weights.

    Raises `InputError`: `model-not-found`, `onnx-invalid` for a file that is damaged or no ONNX
    model, `onnx-external-data` for data files that are missing, too short or outside the folder.
    """
    file = OnnxFile(Path(path))
    with file.damage_is_an_error():
        for _ in file.tensors():
            pass
        return OnnxModel(file)
