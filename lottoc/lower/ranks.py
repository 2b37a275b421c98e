"""Checking `rank` blocks: models put in an order by numbers that need no training."""

from __future__ import annotations

from collections.abc import Mapping

from lottoc.diagnostics import Label
from lottoc.grammar import syntax
from lottoc.lower.blocks import entries
from lottoc.lower.program import Data, Model, Rank
from lottoc.lower.read import Reader
from lottoc.proxies import PROXIES, proxy_class


def check_rank(
    reader: Reader, block: syntax.Block, models: Mapping[str, Model], data: Mapping[str, Data]
) -> Rank | None:
    """The models and proxies of a block; None after an error."""
    keys = entries(reader, block)
    if not {"models", "proxies"} <= set(keys):
        return None
    before = len(reader.findings.errors)
    named = reader.items(keys["models"].value, lambda item: _model(reader, item, models))
    proxies = reader.items(keys["proxies"].value, lambda item: read_proxy(reader, item))
    for entry, found in (("models", named), ("proxies", proxies)):
        value = reader.resolve(keys[entry].value)
        if not found and isinstance(value, syntax.ListValue) and not value.items:
            reader.findings.error("wrong-type", f"names no {entry}", value.span)
    source = _data(reader, block, keys, data)
    if len(reader.findings.errors) > before or source is None:
        return None
    return Rank(block.name, tuple(dict.fromkeys(named)), dict(proxies), source, block.name_span)


def _model(reader: Reader, item: syntax.Value, models: Mapping[str, Model]) -> str | None:
    if not isinstance(item, syntax.Name):
        reader.mismatch(item, "the name of a model")
    elif item.value not in models:
        reader.unknown(item.value, models, "model", item.span)
    elif models[item.value].source == "onnx":
        reader.findings.error(
            "needs-torch",
            "a proxy runs the network, and a network in an ONNX file is only read",
            Label(item.span),
            Label(models[item.value].span, "an ONNX file"),
            help='take the model from its source: torch("file.py:function")',
        )
    else:
        return item.value
    return None


def read_proxy(reader: Reader, item: syntax.Value) -> tuple[str, Mapping[str, object]] | None:
    """A proxy and its options."""
    head = reader.head(item, "a proxy such as synflow")
    if head is None:
        return None
    name, arguments = head
    if name not in PROXIES:
        reader.unknown(name, PROXIES, "proxy", item.span)
        return None
    shape = proxy_class(name)
    options = reader.options(arguments, shape, name)
    if options is None:
        return None
    try:
        shape(**options)
    except ValueError as error:
        reader.findings.error("out-of-range", f"{name}: {error}", item.span)
        return None
    return name, options


def _data(
    reader: Reader,
    block: syntax.Block,
    keys: Mapping[str, syntax.Entry],
    data: Mapping[str, Data],
) -> str | None:
    """The data set named, else the only one there is."""
    if "data" in keys:
        value = keys["data"].value
        if not isinstance(value, syntax.Name):
            reader.mismatch(value, "the name of a data")
        elif value.value in data:
            return value.value
        else:
            reader.unknown(value.value, data, "data", value.span)
    elif len(data) == 1:
        return next(iter(data))
    else:
        reader.findings.error(
            "needs-data",
            f'proxies look at examples, and rank "{block.name}" '
            + (f"must say which of {', '.join(data)}" if data else "has no data"),
            block.name_span,
            help="add  data = …" if data else 'add  data NAME { train = npz("data.npz", …) }',
        )
    return None
