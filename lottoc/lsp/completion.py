"""What to offer while something is being typed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from lsprotocol.types import CompletionItemKind

from lottoc.grammar.syntax import Block
from lottoc.lower.expressions import METRICS
from lottoc.lsp.analysis import Analysis
from lottoc.lsp.context import Cursor, cursor
from lottoc.lsp.hover import key_help, signature_at, word_help
from lottoc.lsp.manual import manual
from lottoc.lsp.vocabulary import EMIT_KINDS, Option, keys, options, words


@dataclass(frozen=True)
class Offer:
    """A completion: what it is called, what it inserts (a snippet), and what it means."""

    label: str
    insert: str
    kind: CompletionItemKind
    about: str = ""


_BLOCKS = ("model", "data", "training", "ticket", "sanity", "split", "rank", "search")
_ITEMS = {
    **{kind: f"{kind} ${{1:name}} {{\n  $0\n}}" for kind in _BLOCKS},
    "emit": 'emit onnx "${1:model.onnx}" { ticket = $0 }',
    "param": "param ${1:name} = $0",
    "mask": "mask ${1:name} = $0",
    "require": "require $0",
}
_TEMPLATES = {
    "onnx": 'onnx("$0")',
    "torch": 'torch("${1:file}.py:${2:function}")',
    "hf": 'hf("$0")',
    "gguf": 'gguf("$0")',
    "text": 'text("$1", length = ${2:2048}, samples = ${3:128})',
    "npz": 'npz("$1", x = "${2:x}", y = "${3:y}")',
    "sgd": "sgd(lr = ${1:0.1})",
    "imp": "imp(rounds = ${1:10}, rewind = ${2:0 steps})",
    "step": "step(milestones = [$0] steps)",
    "size": "size(>= ${1:4096})",
    "shuffle": "shuffle($0)",
    "collapse": "collapse($0)",
    "choices": "choices(${1:width} = [$0])",
    "by_class": "by_class([${1:0..4}], [${2:5..9}])",
}
_FOUND = {
    "rank": {"best": "best"},
    "search": {"best": "best"},
    "split": {
        "core": "core",
        "specialist": "specialist(${1:1})",
        "specialists": "specialists",
    },
}
"""What blocks find, and how it is written."""
_NAMED_KINDS = {
    "model": ("model",),
    "data": ("data",),
    "training": ("training",),
    "like": ("ticket",),
    "ticket": ("ticket",),
    "tickets": ("ticket",),
    "models": ("model",),
}
_SUFFIXES = {
    "onnx": (".onnx",),
    "gguf": (".gguf",),
    "npz": (".npz",),
    "text": (".txt",),
    "torch": (".py",),
    "import": (".lotto",),
}
_MOST_FILES = 200


def complete(analysis: Analysis, offset: int) -> tuple[int, list[Offer]]:
    """Where the word being typed begins, and what it may become."""
    at = cursor(analysis.source, offset)
    return at.start, list(_offers(analysis, at))


def _offers(analysis: Analysis, at: Cursor) -> Iterator[Offer]:
    match at.wanted:
        case "item":
            for word, snippet in _ITEMS.items():
                about = manual().items.get(word, "")
                yield Offer(word, snippet, CompletionItemKind.Keyword, about)
        case "emit":
            for word, suffix in EMIT_KINDS.items():
                yield Offer(word, f'{word} "${{1:model{suffix}}}" {{ ticket = $0 }}', _WORD)
        case "key":
            yield from _units(at)
            for key in keys(at.kind):
                if key not in at.given:
                    help = key_help(at.kind, key) or ""
                    yield Offer(key, f"{key} = $0", CompletionItemKind.Property, help)
        case "argument":
            for option in options(at.kind, at.key, at.function):
                if option.name not in at.given:
                    yield _argument(option)
            if at.function in ("shuffle", "collapse", "drop"):
                yield from _named(analysis, ("ticket",))
        case "value":
            yield from _values(analysis, at)
        case "property":
            yield from _properties(analysis, at)
        case "text":
            yield from _texts(analysis, at)


_WORD = CompletionItemKind.EnumMember


def _argument(option: Option) -> Offer:
    default = f"default: {option.default}" if option.default else "required"
    about = f"{' or '.join(option.choices) or option.kind}, {default}"
    return Offer(option.name, f"{option.name} = $0", CompletionItemKind.Field, about)


def _units(at: Cursor) -> Iterator[Offer]:
    if at.after_number:
        yield Offer("steps", "steps", CompletionItemKind.Unit)
        yield Offer("epochs", "epochs", CompletionItemKind.Unit)


def _values(analysis: Analysis, at: Cursor) -> Iterator[Offer]:
    if at.argument:
        yield from _units(at)
        for option in options(at.kind, at.key, at.function):
            if option.name == at.argument:
                yield from (Offer(choice, choice, _WORD) for choice in option.choices)
    elif at.kind == "require":
        yield from _named(analysis, ("ticket",), dense=True)
        yield Offer("collapse", _TEMPLATES["collapse"], CompletionItemKind.Function)
        yield Offer("none", "none", _WORD)
    elif at.kind == "mask" or at.key == "mask":
        yield Offer("shuffle", _TEMPLATES["shuffle"], CompletionItemKind.Function)
        for offer in _named(analysis, ("ticket",), apart_from=at.name):
            yield Offer(f"{offer.label}.mask", f"{offer.label}.mask", offer.kind, offer.about)
        yield from _named(analysis, ("mask",), apart_from=at.name)
    elif at.key in _NAMED_KINDS:
        dense = at.kind == "emit"
        yield from _named(analysis, _NAMED_KINDS[at.key], dense=dense, apart_from=at.name)
        return
    else:
        yield from _words(at)
        yield from _layer_names(analysis, at, quoted=True)
    yield from _named(analysis, ("param",))


def _words(at: Cursor) -> Iterator[Offer]:
    for word in words(at.kind, at.key, at.name):
        snippet = _TEMPLATES.get(word, word)
        kind = CompletionItemKind.Function if snippet != word else _WORD
        yield Offer(word, snippet, kind, word_help(at.kind, at.key, word) or "")


def _named(
    analysis: Analysis, kinds: tuple[str, ...], *, dense: bool = False, apart_from: str = ""
) -> Iterator[Offer]:
    for definition in analysis.names.definitions.values():
        if definition.kind in kinds and definition.name != apart_from:
            text = definition.item.span.text
            about = f"```lotto\n{text}\n```" if len(text) < 1000 else ""
            yield Offer(definition.name, definition.name, CompletionItemKind.Variable, about)
    if dense:
        about = manual().about("ticket", "dense") or ""
        yield Offer("dense", "dense", CompletionItemKind.Variable, about)


def _properties(analysis: Analysis, at: Cursor) -> Iterator[Offer]:
    base = analysis.names.definitions.get(at.base)
    if base is not None and base.kind in _FOUND:
        for word, snippet in _FOUND[base.kind].items():
            yield Offer(word, snippet, CompletionItemKind.Property)
        return
    if at.base != "dense" and (base is None or base.kind != "ticket"):
        return
    section = manual().sections.get("metrics")
    about = "\n\n".join(section.paragraphs) if section else ""
    if at.kind == "require":
        for metric in METRICS:
            yield Offer(metric, metric, CompletionItemKind.Property, about)
    elif at.base != "dense":
        yield Offer("mask", "mask", CompletionItemKind.Property)


def _texts(analysis: Analysis, at: Cursor) -> Iterator[Offer]:
    if at.key == "target":
        for word in words(at.kind, at.key, at.name):
            yield Offer(word.strip('"'), word.strip('"'), _WORD)
    elif at.key == "layers":
        yield from _layer_names(analysis, at, quoted=False)
    elif not at.argument:
        yield from _files(analysis, at.function or at.kind, at.typed)


def _layer_names(analysis: Analysis, at: Cursor, *, quoted: bool) -> Iterator[Offer]:
    if at.key != "layers":
        return
    block = analysis.names.definitions.get(at.name)
    item = block.item if block else next(iter(analysis.recipe.items), None)
    signature = signature_at(analysis, item) if isinstance(item, Block) else None
    for layer in signature or ():
        shape = " × ".join(map(str, layer.shape))
        text = f'"{layer.name}"' if quoted else layer.name
        yield Offer(text, _escaped(text), CompletionItemKind.Value, f"{layer.kind}, {shape}")


def _files(analysis: Analysis, function: str, typed: str) -> Iterator[Offer]:
    """Files and folders that a path may go on with."""
    suffixes = _SUFFIXES.get(function)
    if suffixes is None or len(typed) > 1000:
        return
    folder, _, _ = typed.rpartition("/")
    try:
        with os.scandir(analysis.folder / folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)[:_MOST_FILES]
            kept = [(e.name, e.is_dir()) for e in found if not e.name.startswith(".")]
    except (OSError, ValueError):
        return
    before = f"{folder}/" if folder else ""
    for name, is_folder in kept:
        if is_folder:
            yield Offer(f"{before}{name}/", _escaped(f"{before}{name}/"), CompletionItemKind.Folder)
        elif name.endswith(suffixes):
            yield Offer(before + name, _escaped(before + name), CompletionItemKind.File)


def _escaped(text: str) -> str:
    """The text as a snippet that inserts just it."""
    return text.replace("\\", "\\\\").replace("$", "\\$").replace("}", "\\}")
