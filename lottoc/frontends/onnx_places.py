"""At how many places one example uses the weights of an ONNX network: what its layers make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lottoc.diagnostics import InputError, input_error
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_model import OnnxModel
from lottoc.frontends.protobuf import Message

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH = 0
"""Which dimension of an input counts examples, as everywhere."""


Sizes = Sequence[int | str] | None
"""Of an input: a name where a size is open, None if nothing is said."""


def open_inputs(file: OnnxFile) -> list[str]:
    """Inputs that are open in more than the number of examples, as `input_ids [batch, length]`."""
    return [
        name if sizes is None else f"{name} [{', '.join(map(str, sizes))}]"
        for name, (sizes, _) in _inputs(file).items()
        if sizes is None or any(isinstance(size, str) for size in sizes[_BATCH + 1 :])
    ]


def _inputs(file: OnnxFile) -> dict[str, tuple[Sizes, int]]:
    """Sizes and element type of each input that is no initializer."""
    found: dict[str, tuple[Sizes, int]] = {}
    for name, message in file.inputs.items():
        if name in file.initializers:
            continue
        kind = message.message(2)
        tensor = kind.message(1) if kind else None
        shape = tensor.message(2) if tensor else None
        sizes = [_size(dim) for dim in shape.messages(1)] if shape else None
        found[name] = sizes, tensor.integer(1) if tensor else 0
    return found


def _size(dim: Message) -> int | str:
    return dim.integer(1) or dim.text(2) or "?"


def onnx_places(model: OnnxModel, data: Any) -> dict[str, NDArray[np.float64]]:
    """For each layer a number, or an array that broadcasts to its weight.

    The network runs once, in onnxruntime, on the first example of `data`, the arrays of a split, or
    without data on ones of the shapes that the model itself says. A model that is bound to a number
    of examples gets as many, and each has its share. Raises `InputError`: flops-unknown for a
    layer whose products are not seen, onnx-inputs, onnx-run, and what reading the data raises.
    """
    import numpy as np

    from lottoc.frontends.onnx_parts import Parts
    from lottoc.frontends.places import narrowed
    from lottoc.layerwise.onnx_batches import onnx_batches

    whole = [layer for layer, weight in model.weights.items() if not weight.in_parts]
    parts = Parts(model, [layer for layer in model.weights if layer not in set(whole)])
    made_by = {layer: _made(model, layer) for layer in whole}
    batch = _ones(model) if data is None else onnx_batches(model, data, 1)[0]
    examples = max((array.shape[_BATCH] for array in batch.values() if array.ndim), default=1)
    values = {value for made in made_by.values() for value in made}
    values |= {use.value for use in parts.uses}
    shapes = model.walk(lambda layer: None).shapes(batch, values)
    # of each product of a layer, a row of its weight makes as many numbers as it has places
    found = {
        layer: np.asarray(
            sum(math.prod(shapes[value]) for value in made)
            / (model.weights[layer].layer.shape[0] * examples),
            np.float64,
        )
        for layer, made in made_by.items()
    }
    apart = parts.places(shapes)
    return found | {layer: narrowed(array / examples) for layer, array in apart.items()}


def _made(model: OnnxModel, layer: str) -> list[str]:
    """The values that are products with the weight of a layer."""
    weight = model.weights[layer]
    outside = {id(node) for node in model.file.nodes}
    if not all(id(reader.node) in outside for reader in weight.readers):
        raise inside_body(model, layer)
    return [reader.node.outputs[0] for reader in weight.readers]


def inside_body(model: OnnxModel, layer: str) -> InputError:
    """What is in a body runs as often as its numbers say."""
    return input_error(
        "flops-unknown",
        f'the multiply-adds of layer "{layer}" cannot be counted: it is inside the body of an '
        "If, Loop or Scan",
        file=str(model.path),
        help=("compare  params  instead",),
    )


def _ones(model: OnnxModel) -> dict[str, NDArray[Any]]:
    """One example of the shapes that the model says: ones are tokens as well as numbers."""
    import numpy as np

    assert not open_inputs(model.file), "the compiler has seen to it that there is data"
    return {
        name: np.ones(
            [size if isinstance(size, int) else 1 for size in sizes or ()],
            schema.numpy_type(element),
        )
        for name, (sizes, element) in _inputs(model.file).items()
    }
