"""Writing artefacts whole or not at all: staged, read back and verified."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lottoc.diagnostics import LottoError
from lottoc.engine.evaluate import Engine
from lottoc.engine.models import model_op
from lottoc.exported import Masks, dense_model, sample
from lottoc.ir import lotto
from lottoc.ir import mask as mask_ir
from lottoc.ir.plain import from_dictionary, strings
from lottoc.masks.mask import Mask
from lottoc.masks.patterns.nm import NofM
from lottoc.progress import Progress
from lottoc.staging import files, named

if TYPE_CHECKING:
    from lottoc.backends.fx.network import Network
    from lottoc.backends.onnx.activations import Activations
    from lottoc.backends.onnx.structure.cost import Workload

_AT_ONCE = 4
"""Values of layers that are looked at together: batches are smaller by this."""


@dataclass(frozen=True)
class Artefact:
    """A written and verified file."""

    path: str
    ticket: str
    kind: str
    sha256: str
    bytes: int
    dense_bytes: int
    """Size of the same model without any mask, stored densely."""
    layers: list[dict[str, Any]]
    verified: dict[str, Any]


@dataclass(frozen=True)
class _Written:
    """What a backend says of a file it has written and verified."""

    dense_bytes: int
    layers: list[dict[str, Any]]
    verified: dict[str, Any]


def emit(
    op: lotto.EmitOp,
    swaps: Sequence[lotto.SwapOp],
    engine: Engine,
    folder: Path,
    progress: Progress,
) -> list[Artefact]:
    """Write one artefact into the staging folder, read it back and verify it; `swaps` beside it.

    Errors name the artefact where they would name a staged file, which is gone when they are read.
    """
    try:
        return _emit(op, swaps, engine, folder, progress)
    except LottoError as error:
        error.diagnostics = [named(d, op.path.data, folder) for d in error.diagnostics]
        raise


def _emit(
    op: lotto.EmitOp,
    swaps: Sequence[lotto.SwapOp],
    engine: Engine,
    folder: Path,
    progress: Progress,
) -> list[Artefact]:
    if swaps:
        return _emit_core(op, swaps, engine, folder, progress)
    path = folder / op.path.data
    path.parent.mkdir(parents=True, exist_ok=True)
    masks: Mapping[str, Mask] = engine.value(op.masks) if op.masks is not None else {}

    def mask(name: str) -> NDArray[np.bool_] | None:
        return masks[name].to_bool() if name in masks else None

    with progress.task(f"writing and verifying {op.path.data}", 2) as advance:
        written = _BACKENDS[op.kind.data](op, engine, folder, mask, advance)
    return [_artefact(path, op.path.data, op.ticket.data, op.kind.data, written)]


def _artefact(path: Path, name: str, ticket: str, kind: str, written: _Written) -> Artefact:
    return Artefact(
        name,
        ticket,
        kind,
        _sha256(path),
        sum(p.stat().st_size for p in files(path)),
        written.dense_bytes,
        written.layers,
        written.verified,
    )


def _emit_core(
    op: lotto.EmitOp,
    swaps: Sequence[lotto.SwapOp],
    engine: Engine,
    folder: Path,
    progress: Progress,
) -> list[Artefact]:
    """A model, and files that turn it into other tickets: each is run with the model."""
    from lottoc.backends import onnx
    from lottoc.backends.onnx.swap import swap_path

    path = folder / op.path.data
    path.parent.mkdir(parents=True, exist_ok=True)

    def other(each: lotto.EmitOp | lotto.SwapOp) -> onnx.Other:
        masks: Mapping[str, Mask] = engine.value(each.masks) if each.masks is not None else {}
        known = {name: mask.to_bool() for name, mask in masks.items()}
        return onnx.Other(dense_model(each, engine, folder, known.get), known)

    own, others = other(op), [other(swap) for swap in swaps]
    format = str(from_dictionary(op.options)["format"])
    with progress.task(f"writing and verifying {op.path.data}", 2 + len(swaps)) as advance:
        layers = onnx.emit_core(own.model, path, own.masks, others, format=format)
        advance(1)
        verified = onnx.verify_core(path, own.model, own.masks)
        advance(1)
        rows = [{**asdict(layer), "sparsity": layer.sparsity} for layer in layers]
        dense = own.model.file_bytes
        written = _Written(dense, rows, asdict(verified))
        artefacts = [_artefact(path, op.path.data, op.ticket.data, op.kind.data, written)]
        for number, (swap, ticket) in enumerate(zip(swaps, others, strict=True), start=1):
            file = swap_path(path, number)
            verified = onnx.verify_core(path, ticket.model, ticket.masks, file)
            name = file.relative_to(folder).as_posix()
            written = _Written(dense, [], asdict(verified))
            artefacts.append(_artefact(file, name, swap.ticket.data, "swap", written))
            advance(1)
    return artefacts


def _emit_onnx(
    op: lotto.EmitOp, engine: Engine, folder: Path, mask: Masks, advance: Callable[[int], None]
) -> _Written:
    from lottoc.backends import onnx

    path, options = folder / op.path.data, from_dictionary(op.options)
    model = dense_model(op, engine, folder, mask)
    format, values = str(options["format"]), str(options["values"])
    work = workload(options)
    known: Any = {"format": format, "workload": work, "orders": _orders(op, engine)}
    if options.get("activations", "same") != "same":
        known["activations"] = _activations(op, engine, options)
    weights = _new_weights(op, engine)
    layers = onnx.emit(model, path, mask, weights, values=values, **known)
    advance(1)
    verified = onnx.verify(path, model, mask, weights, **known)
    advance(1)
    for layer in layers:
        if layer.order:
            engine.trace("ordered", f"{op.path.data}: channels of {layer.name} {layer.order}", "")
    rows = [{**asdict(layer), "sparsity": layer.sparsity} for layer in layers]
    return _Written(model.file_bytes, rows, asdict(verified))


def _activations(op: lotto.EmitOp, engine: Engine, options: Mapping[str, Any]) -> Activations:
    """The examples that the ranges of activations are taken from."""
    from lottoc.backends.onnx.activations import Activations
    from lottoc.layerwise.onnx_batches import onnx_batches

    assert op.data is not None
    data: Any = engine.value(op.data)
    split, samples = data.split(str(options["split"])), int(options["samples"])
    return Activations(lambda model: onnx_batches(model, split, samples, share=_AT_ONCE))


def _emit_fx(
    op: lotto.EmitOp, engine: Engine, folder: Path, mask: Masks, advance: Callable[[int], None]
) -> _Written:
    from lottoc.backends.fx.emit import dense_bytes, emit
    from lottoc.backends.fx.verify import verify

    path, options = folder / op.path.data, from_dictionary(op.options)
    network, examples = _torch_network(op, engine, mask)
    chosen = {key: str(options[key]) for key in ("format", "values", "target") if key in options}
    batches: Any = options.get("batch", [1])
    layers = emit(network, path, examples, batches=tuple(batches), **chosen)
    advance(1)
    verified = verify(path, network, examples)
    advance(1)
    rows = [{**asdict(layer), "sparsity": layer.sparsity} for layer in layers]
    return _Written(dense_bytes(network), rows, asdict(verified))


def _torch_network(op: lotto.EmitOp, engine: Engine, mask: Masks) -> tuple[Network, NDArray[Any]]:
    """The ticket's network in torch, and a few examples of what it takes."""
    source, held = model_op(op.weights), engine.value(op.weights)
    model = engine.value(source.result)
    if source.source.data == "torch":
        from lottoc.backends.fx.network import masked_network

        return masked_network(model, held, mask), sample(op, engine)
    from lottoc.backends.fx.language import example, language_network
    from lottoc.layerwise.results import changed_layer

    network = language_network(model, mask, lambda layer: changed_layer(held, layer))
    return network, example(model)


def _emit_hf(
    op: lotto.EmitOp, engine: Engine, folder: Path, mask: Masks, advance: Callable[[int], None]
) -> _Written:
    from lottoc.backends.hf.emit import emit, verify
    from lottoc.layerwise.results import changed_layer

    path, model = folder / op.path.data, engine.value(model_op(op.weights).result)
    held = engine.value(op.weights)
    masks = engine.value(op.masks) if op.masks is not None else {}

    def changed(layer: str) -> NDArray[Any] | None:
        return changed_layer(held, layer)

    layers = emit(model, path, masks, changed)
    advance(1)
    verified = verify(model, path, masks, changed)
    advance(1)
    rows = [{**asdict(layer), "sparsity": layer.sparsity} for layer in layers]
    return _Written(model.checkpoint.bytes, rows, verified)


def _emit_adapter(
    op: lotto.EmitOp, engine: Engine, folder: Path, mask: Masks, advance: Callable[[int], None]
) -> _Written:
    from lottoc.backends.adapter.emit import emit, verify

    assert op.masks is not None
    assert op.base is not None
    path, masks = folder / op.path.data, engine.value(op.masks)
    base, tuned = engine.value(op.base), engine.value(op.weights)
    layers = emit(path, op.ticket.data, base, tuned, masks)
    advance(1)
    verified = verify(path, base, tuned)
    advance(1)
    rows = [{**asdict(layer), "sparsity": layer.sparsity} for layer in layers]
    return _Written(tuned.model_bytes, rows, verified)


_BACKENDS: Mapping[str, Callable[..., _Written]] = {
    "onnx": _emit_onnx,
    "fx": _emit_fx,
    "adapter": _emit_adapter,
    "hf": _emit_hf,
}


def _orders(op: lotto.EmitOp, engine: Engine) -> dict[str, NDArray[np.int64] | None]:
    """For N:M layers the order of the mask, or None where it has none."""
    bundle = op.masks.owner if op.masks is not None else None
    if not isinstance(bundle, mask_ir.BundleOp):
        return {}
    plain = [
        name
        for name, value in zip(strings(bundle.layers), bundle.masks, strict=True)
        if isinstance(mask_ir.mask_type(value).pattern, NofM)
    ]
    names = strings(op.ordered) if op.ordered is not None else []
    given = zip(names, map(engine.value, op.orders), strict=True)
    return dict.fromkeys(plain) | dict(given)


def _new_weights(
    op: lotto.EmitOp, engine: Engine
) -> Callable[[str], NDArray[np.generic] | None] | None:
    """The weights that took the place of an ONNX file's own; what is exported already has its."""
    from lottoc.layerwise.results import NewWeights

    held = engine.value(op.weights)
    own = model_op(op.weights).source.data == "onnx"
    return held.changed if own and isinstance(held, NewWeights) else None


def workload(options: Mapping[str, Any]) -> Workload:
    """What an artefact is compiled for, from the options of its operation."""
    from lottoc.backends.onnx.structure.cost import WORKLOAD, Workload
    from lottoc.backends.onnx.target import find_target

    target = find_target(str(options["target"]), Path()) if "target" in options else None
    return Workload(target or WORKLOAD.target, tuple(options.get("batch", WORKLOAD.batches)))


def _sha256(path: Path) -> str:
    """Of a folder, that of the names and digests of its files."""
    digest = hashlib.sha256()
    if path.is_dir():
        for part in files(path):
            digest.update(f"{part.name} {_sha256(part)}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
