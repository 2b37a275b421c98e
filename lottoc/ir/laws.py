"""The laws of a whole module: what no operation can see by itself.

Values are made before they are used, a name stands for one model, and a layer that an operation
names is a layer of its model, of the shape that its type says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.utils.exceptions import VerifyException

from lottoc.diagnostics import Diagnostic, LottoError, RecipeError
from lottoc.ir import lotto, mask
from lottoc.ir.place import labels
from lottoc.ir.plain import strings
from lottoc.masks.factors import misfit
from lottoc.signature import Layer

_MOST = 50
"""So many findings are reported in one run."""

Finding = tuple[Operation, str]


def verify(module: ModuleOp) -> None:
    """Verify every operation, then the module; raises `RecipeError` (ir-invalid)."""
    found = broken_laws(module)
    if found:
        raise RecipeError(
            [Diagnostic("ir-invalid", message, labels(op)) for op, message in found[:_MOST]]
        )


def verify_after(name: str, module: ModuleOp) -> None:
    """Verify what a pass made; a broken law is then the pass's fault (pass-broke-ir, exit 4)."""
    found = broken_laws(module)
    if found:
        op, message = found[0]
        text = f"after the pass {name}, {op.name} is invalid: {message}"
        help = ("this is a fault of lottoc; please report it with the IR",)
        raise LottoError([Diagnostic("pass-broke-ir", text, labels(op), help)])


def broken_laws(module: ModuleOp) -> Sequence[Finding]:
    """Every broken law of operations, else of the module, in the order of the text."""
    return list(_structure(module)) or list(_operations(module)) or list(_module(module))


def _structure(module: ModuleOp) -> Iterator[Finding]:
    """A module is one list of operations, each using only what stands before it."""
    blocks = [block for region in module.regions for block in region.blocks]
    if len(blocks) != 1 or blocks[0].args:
        yield module, "a module is one block without arguments"
        return
    seen: set[Operation] = set()
    for op in module.ops:
        if isinstance(op, ModuleOp):
            yield op, "a module cannot stand in a module"
        for value in op.operands:
            if value.owner not in seen:
                yield op, f"uses what a later {_maker(value)} makes"
        seen.add(op)


def _maker(value: SSAValue) -> str:
    return value.owner.name if isinstance(value.owner, Operation) else "block"


def _operations(module: ModuleOp) -> Iterator[Finding]:
    for op in module.walk():
        try:
            op.verify(verify_nested_ops=False)
        except VerifyException as error:
            yield op, in_house_style(str(error))


def in_house_style(message: str) -> str:
    """A message of xDSL's as ours are: one line, lower case, no full stop, not endless."""
    line = " ".join(message.split()).rstrip(".! ") or "this is not IR"
    acronym = len(line) > 1 and line[1].isupper()
    return line[:500] if acronym else line[0].lower() + line[1:500]


def _module(module: ModuleOp) -> Iterator[Finding]:
    models: dict[str, dict[str, Layer]] = {}
    for op in module.ops:
        if isinstance(op, lotto.ModelOp):
            if op.model.data in models:
                yield op, f'"{op.model.data}" is the name of an earlier model'
            models[op.model.data] = {a.layer.name: a.layer for a in op.layers}
        named = op.properties.get("layers")
        if isinstance(named, ArrayAttr) and not isinstance(op, lotto.ModelOp):
            yield from _layers(op, [n.data for n in named if isinstance(n, StringAttr)], models)
        if isinstance(op, lotto.SubsetSumOp | lotto.ApproximationOp):
            yield from _factors(op, models)
        if isinstance(op, lotto.PruneOp) and isinstance(op.scores.owner, lotto.ScoreOp):
            scored = strings(op.scores.owner.layers)
            for name in strings(op.layers):
                if name not in scored:
                    yield op, f'layer "{name}" is not scored'
        yield from _shapes(op, models)


def _layers(
    op: Operation, names: Sequence[str], models: dict[str, dict[str, Layer]]
) -> Iterator[Finding]:
    match op:
        case mask.RepairOp():
            model = lotto.model_of(op.wiring)
        case lotto.ProxyOp() | lotto.ApproximationOp():
            model = lotto.model_of(op.weights)
        case _:
            model = lotto.model_of(op.results[0])
    if not names:
        yield op, "names no layer"
    if model not in models:
        yield op, f'there is no lotto.model "{model}" before it'
        return
    for name, times in Counter(names).items():
        if name not in models[model]:
            yield op, f'model "{model}" has no layer "{name}"'
        if times > 1:
            yield op, f'layer "{name}" is named {times} times'


def _factors(
    op: lotto.SubsetSumOp | lotto.ApproximationOp, models: dict[str, dict[str, Layer]]
) -> Iterator[Finding]:
    """Two layers can multiply to one of the target."""
    known = models.get(lotto.model_of(op.weights), {})
    other = models.get(lotto.model_of(op.toward), {})
    for name in strings(op.target):
        if name not in other:
            yield op, f'model "{lotto.model_of(op.toward)}" has no layer "{name}"'
    names = strings(op.layers)
    for first, second, target in zip(names[::2], names[1::2], strings(op.target), strict=True):
        if first in known and second in known and target in other:
            problem = misfit(known[first], known[second], other[target])
            if problem:
                yield op, problem


def _shapes(op: Operation, models: dict[str, dict[str, Layer]]) -> Iterator[Finding]:
    match op:
        case mask.WeightOp():
            yield from _layers_shape(op, lotto.model_of(op.weights), models)
        case mask.LayerOp():
            layer = models.get(lotto.model_of(op.masks), {}).get(op.layer.data)
            if layer is None:
                yield op, f'model "{lotto.model_of(op.masks)}" has no layer "{op.layer.data}"'
            elif layer.shape != mask.mask_type(op.result).shape:
                yield op, _differ(layer.name, layer.shape, mask.mask_type(op.result).shape)
        case mask.ScoreOp() if isinstance(op.weight.owner, mask.WeightOp):
            if op.layer != op.weight.owner.layer:
                yield op, f'scores layer "{op.weight.owner.layer.data}" as "{op.layer.data}"'
            yield from _gathered(op, op.weight.owner)
        case mask.BundleOp() | mask.RepairOp():
            whole = op.wiring if isinstance(op, mask.RepairOp) else op.result
            known = models.get(lotto.model_of(whole), {})
            for name, value in zip(strings(op.layers), op.masks, strict=True):
                if name in known and mask.mask_type(value).shape != known[name].shape:
                    yield op, _differ(name, known[name].shape, mask.mask_type(value).shape)
        case lotto.EmitOp() if op.masks is not None and isinstance(op.masks.owner, mask.BundleOp):
            yield from _ordered(op, op.masks.owner)
        case _:
            return


def _ordered(op: lotto.EmitOp, bundle: mask.BundleOp) -> Iterator[Finding]:
    """An artefact is ordered as the masks that it is under."""
    masks = dict(zip(strings(bundle.layers), bundle.masks, strict=True))
    names = strings(op.ordered) if op.ordered is not None else []
    given = dict(zip(names, op.orders, strict=True))
    for name in [name for name in names if name not in masks]:
        yield op, f'orders the channels of layer "{name}", which has no mask'
    for name, value in masks.items():
        order = value.owner.order if isinstance(value.owner, mask.KeepOp) else None
        if given.get(name) is not order:
            yield op, f'layer "{name}" is {"not " * (name not in given)}in the order of its mask'


def _gathered(op: mask.ScoreOp, weight: mask.WeightOp) -> Iterator[Finding]:
    if op.statistics is None or not isinstance(op.statistics.owner, lotto.GatherOp):
        return
    gathered, scored = lotto.model_of(op.statistics), lotto.model_of(weight.weights)
    if gathered != scored:
        yield op, f'scores a weight of "{scored}" with what was gathered over "{gathered}"'
    elif op.layer.data not in strings(op.statistics.owner.layers):
        yield op, f'nothing was gathered of layer "{op.layer.data}"'


def _layers_shape(
    op: mask.WeightOp, model: str, models: dict[str, dict[str, Layer]]
) -> Iterator[Finding]:
    layer = models.get(model, {}).get(op.layer.data)
    said = mask.weight_type(op.result).shape
    if layer is None:
        yield op, f'model "{model}" has no layer "{op.layer.data}"'
    elif layer.shape != said:
        yield op, _differ(op.layer.data, layer.shape, said)


def _differ(name: str, shape: Sequence[int], said: Sequence[int]) -> str:
    return f'layer "{name}" has shape {"x".join(map(str, shape))}, not {"x".join(map(str, said))}'
