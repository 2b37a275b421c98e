"""Checking `search` blocks: a space of architectures, and how many of them may be trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lottoc.diagnostics import Label
from lottoc.frontends.torch_call import Value
from lottoc.grammar import syntax
from lottoc.lower.blocks import entries
from lottoc.lower.program import Data, Search, Training
from lottoc.lower.ranks import read_proxy
from lottoc.lower.read import Reader
from lottoc.lower.sources import model_source
from lottoc.lower.splits import NpzSplit

TRIALS = 20


def check_search(
    reader: Reader,
    block: syntax.Block,
    folder: Path,
    data: Mapping[str, Data],
    trainings: Mapping[str, Training],
) -> Search | None:
    """The space and the budget of a block; None after an error."""
    keys = entries(reader, block)
    if not {"source", "space"} <= set(keys):
        return None
    before = len(reader.findings.errors)
    located = model_source(reader, keys["source"].value, folder)
    if located is not None and located[0] != "torch":
        reader.findings.error(
            "needs-torch",
            "a search builds networks, and a file holds one",
            Label(keys["source"].value.span),
            help='take them from a function:  torch("file.py:function")',
        )
    space = _space(reader, keys["space"].value)
    trials = reader.integer(keys["trials"].value, least=1) if "trials" in keys else TRIALS
    seed = reader.integer(keys["seed"].value, least=0) if "seed" in keys else 0
    proxies = (
        reader.items(keys["proxies"].value, lambda item: read_proxy(reader, item))
        if "proxies" in keys
        else []
    )
    on = _one(reader, block, keys, "data", data)
    by = _one(reader, block, keys, "training", trainings)
    if on is not None and not _tested(data[on]):
        reader.findings.error(
            "no-test-data",
            f'networks cannot be compared on "{on}"',
            Label(block.name_span, "needs accuracy on a test split"),
            help='give it examples to choose by:  test = npz("data.npz", …)',
        )
    if len(reader.findings.errors) > before or located is None or on is None or by is None:
        return None
    assert trials is not None
    assert seed is not None
    path, function = located[1], located[2]
    return Search(
        block.name, path, function, space, on, by, trials, dict(proxies), seed, block.name_span
    )


def _tested(data: Data) -> bool:
    return all(isinstance(data.splits.get(name), NpzSplit) for name in ("train", "test"))


def _space(reader: Reader, value: syntax.Value) -> dict[str, tuple[Value, ...]]:
    """`choices(width = [16, 32], depth = [1..4])`."""
    value = reader.resolve(value)
    match value:
        case syntax.Call(function=syntax.Name(value="choices"), arguments=arguments) if arguments:
            pass
        case _:
            help = "for example  space = choices(width = [16, 32], depth = [1..4])"
            reader.mismatch(value, "a space of choices", help=help)
            return {}
    space: dict[str, tuple[Value, ...]] = {}
    for argument in arguments:
        if argument.name is None:
            help = f"write  choices(width = {argument.value.span.text})"
            reader.mismatch(argument.value, "choices by the name of an argument", help=help)
            continue
        before = len(reader.findings.errors)
        found = [
            v for part in reader.items(argument.value, lambda i: _values(reader, i)) for v in part
        ]
        unread = len(reader.findings.errors) > before
        if not unread and len({*map(repr, found)}) != max(len(found), 1):
            message = f"{argument.name} has no choice" if not found else "a choice stands twice"
            reader.findings.error("wrong-type", message, argument.value.span)
        space[argument.name] = tuple(found)
    return space


def _values(reader: Reader, item: syntax.Value) -> list[Value] | None:
    match item:
        case syntax.Range(start=start, stop=stop) if stop >= start:
            return list(range(start, stop + 1))
        case syntax.Range(start=start, stop=stop):
            help = f"write  {stop}..{start}"
            reader.findings.error("wrong-type", "the range is empty", item.span, help=help)
            return None
        case syntax.String(value=text):
            return [text]
        case syntax.Name(value="true" | "false" as word):
            return [word == "true"]
    exact = reader.fraction(item)
    if exact is None:
        return None
    return [int(exact) if exact.denominator == 1 else float(exact)]


def _one(
    reader: Reader,
    block: syntax.Block,
    keys: Mapping[str, syntax.Entry],
    key: str,
    known: Mapping[str, object],
) -> str | None:
    """The one named, else the only one there is."""
    if key in keys:
        value = keys[key].value
        if not isinstance(value, syntax.Name):
            reader.mismatch(value, f"the name of a {key}")
        elif value.value in known:
            return value.value
        else:
            reader.unknown(value.value, known, key, value.span)
        return None
    if len(known) == 1:
        return next(iter(known))
    reader.findings.error(
        "missing-key",
        f'search "{block.name}" must say '
        + (f"which of {', '.join(known)}" if known else f"a {key}, and there is none"),
        Label(block.name_span, f"needs a {key}"),
        help=f"add  {key} = …" if known else f"add a {key} block",
    )
    return None
