"""What a word of a recipe means, in Markdown."""

from __future__ import annotations

from lottoc.diagnostics import Findings, Span
from lottoc.grammar import syntax
from lottoc.lower.expressions import METRICS
from lottoc.lower.read import Reader
from lottoc.lower.selectors import Selector
from lottoc.lsp.analysis import Analysis
from lottoc.lsp.describe import describe, layer_table, percent
from lottoc.lsp.manual import manual
from lottoc.lsp.places import Place, place
from lottoc.lsp.vocabulary import documentation, options, planned
from lottoc.signature import Signature

Hover = tuple[str, Span]
"""Markdown, and the characters it is about."""


def hover(analysis: Analysis, offset: int) -> Hover | None:
    """What to say about an offset; None where nothing is known of it."""
    named = analysis.names.at(offset)
    if named:
        definition, span = named
        return describe(analysis, definition), span
    here = place(analysis.recipe, offset)
    if here is None:
        return None
    return _head(here, offset) or _key(here, offset) or _value(analysis, here, offset)


def _head(here: Place, offset: int) -> Hover | None:
    """The word that begins an item."""
    item = here.item
    word = item.kind if isinstance(item, syntax.Block) else item.span.text.split(maxsplit=1)[0]
    span = Span(item.span.source, item.span.start, item.span.start + len(word))
    meaning = manual().items.get(word)
    if not meaning or not span.start <= offset <= span.end:
        return None
    return f"**{word}**: {meaning}", span


def _key(here: Place, offset: int) -> Hover | None:
    entry = here.entry
    if entry is None or offset > entry.key_span.end:
        return None
    text = key_help(here.kind, entry.key)
    return (text, entry.key_span) if text else None


def key_help(kind: str, key: str) -> str | None:
    """What a key means: its row in the specification."""
    row = manual().key(kind, key)
    if row is None:
        return None
    return f"**{key}**: {row.meaning}\n\n- takes {row.type}\n- default: {row.default}"


def _value(analysis: Analysis, here: Place, offset: int) -> Hover | None:
    for node in reversed(here.values):
        found = _part(analysis, here, node, offset)
        if found:
            return found
    return None


def _part(analysis: Analysis, here: Place, node: syntax.Node, offset: int) -> Hover | None:
    match node:
        case syntax.Argument(name=str(name)) if offset <= node.span.start + len(name):
            return _option(here, node, name)
        case syntax.Attribute(name=name) if node.name_span.start <= offset:
            return _metric(name, node.name_span) if name in METRICS else None
        case syntax.Call(function=syntax.Name(value="collapse") as function) if not here.key:
            return _metric("collapse", function.span) if offset <= function.span.end else None
        case syntax.Name(value="dense") if here.key != "format":
            text = manual().about("ticket", "dense")
            return (text, node.span) if text else None
        case syntax.Ratio(kept=n, group=m) if here.key == "pattern" and 0 < n <= m:
            share = f"{n} of every {m} are kept: sparsity {percent(1 - n / m)}"
            return f"**{n}:{m}**: {manual().patterns.get('N:M', '')}\n\n{share}", node.span
    if here.key == "layers":
        return _selection(analysis, here, node)
    if isinstance(node, syntax.Name):
        text = word_help(here.kind, here.key, node.value)
        return (text, node.span) if text else None
    if isinstance(node, syntax.Call) and isinstance(node.function, syntax.Name):
        text = word_help(here.kind, here.key, node.function.value)
        span = node.function.span
        return (text, span) if text and offset <= span.end else None
    return None


def _metric(name: str, span: Span) -> Hover | None:
    section = manual().sections.get("metrics")
    text = "\n\n".join(section.paragraphs) if section else ""
    return (f"**{name}**\n\n{text}", span) if text else None


def _option(here: Place, node: syntax.Argument, name: str) -> Hover | None:
    calls = [v for v in here.values if isinstance(v, syntax.Call) and node in v.arguments]
    if not calls or not isinstance(calls[-1].function, syntax.Name):
        return None
    function = calls[-1].function.value
    for option in options(here.kind, here.key, function):
        if option.name == name:
            kind = " or ".join(f"`{c}`" for c in option.choices) or option.kind
            default = f"`{option.default}`" if option.default else "required"
            about = word_help(here.kind, here.key, function) or ""
            text = f"**{name}** of `{function}`: {kind}, default: {default}\n\n{about}"
            span = Span(node.span.source, node.span.start, node.span.start + len(name))
            return text.rstrip(), span
    return None


def word_help(kind: str, key: str, word: str) -> str | None:
    """What a word means as the value of a key: its own text, or the specification's."""
    if word in planned(key):
        return f"**{word}** is part of the language, but this version of lottoc does not have it"
    if key == "pattern" and word in manual().patterns:
        return f"**{word}**: {manual().patterns[word]}"
    parts = [documentation(kind, key, word), manual().about(kind, word) or ""]
    listed = ", ".join(
        f"`{o.name} = {o.default}`" if o.default else f"`{o.name}`"
        for o in options(kind, key, word)
    )
    parts.append(f"options: {listed}" if listed else "")
    said = [part for part in parts if part]
    return "\n\n".join([f"**{word}**", *said]) if said else key_help(kind, key)


def _selection(analysis: Analysis, here: Place, node: syntax.Node) -> Hover | None:
    """The layers that a selection, or a part of one, stands for."""
    if not isinstance(node, syntax.Name | syntax.String | syntax.Call | syntax.Binary):
        return None
    signature = signature_at(analysis, here.item)
    about = _selection_help(node)
    if signature is None:
        unknown = "the model's layers are not known yet: `lottoc check --load-models` learns them"
        return "\n\n".join([*about, unknown]), node.span
    findings = Findings()
    layers = Selector(Reader(findings, analysis.params), signature).layers(node)
    if findings.errors:
        return None
    return "\n\n".join([f"`{node.span.text}`", layer_table(layers), *about]), node.span


def _selection_help(node: syntax.Node) -> list[str]:
    text = manual().about("ticket", "linear") if isinstance(node, syntax.Name) else None
    return [text] if text else []


def signature_at(analysis: Analysis, item: syntax.Item) -> Signature | None:
    """The layers of the model that a ticket lives with, broken or not."""
    models = analysis.program.models
    seen: set[str] = set()
    while isinstance(item, syntax.Block) and item.name not in seen:
        seen.add(item.name)
        given = {e.key: e.value.value for e in item.entries if isinstance(e.value, syntax.Name)}
        if given.get("model") in models:
            return models[given["model"]].signature
        like = analysis.names.definitions.get(given.get("like", ""))
        if like is None:
            break
        item = like.item
    return next(iter(models.values())).signature if len(models) == 1 else None
