"""What an editor may ask: each request of the protocol, and who answers it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lottoc.diagnostics import Span
from lottoc.fixes import fixes
from lottoc.grammar.format import format_recipe
from lottoc.lsp.analysis import Analysis
from lottoc.lsp.completion import Offer, complete
from lottoc.lsp.definition import definition
from lottoc.lsp.highlight import KINDS, highlights
from lottoc.lsp.hover import hover
from lottoc.lsp.load import LOAD_MODELS, load_action, load_models
from lottoc.lsp.outline import folds, outline
from lottoc.lsp.publish import published
from lottoc.lsp.rename import RenameRefused, renamable, rename
from lottoc.lsp.server import Server

P = TypeVar("P")
Handler = Callable[[Server, P], Any]

_TRIGGERS = [".", "=", '"', "(", ",", "[", " ", "/"]


def create_server() -> Server:
    """A server that answers everything this module knows."""
    server = Server()
    for method, handler, options in _FEATURES:
        server.feature(method, options)(_safe(handler))
    server.command(LOAD_MODELS)(load_models)
    return server


def _safe(handler: Handler[Any]) -> Handler[Any]:
    """The handler, with its own faults logged and answered with nothing."""

    @functools.wraps(handler)
    def run(ls: Server, params: Any) -> Any:
        try:
            return handler(ls, params)
        except RenameRefused as refused:
            code = types.LSPErrorCodes.RequestFailed.value
            raise JsonRpcException(str(refused), code) from None
        except Exception as error:
            ls.fault(handler.__name__.strip("_"), error)
            return None

    return run


def _asked(
    ls: Server, params: types.TextDocumentPositionParams | Any
) -> tuple[Analysis, int] | None:
    """The document that is asked about, and the offset in it."""
    analysis = ls.analysis(params.text_document.uri)
    return (analysis, analysis.text.offset(params.position)) if analysis else None


def _range(analysis: Analysis, span: Span) -> types.Range:
    return analysis.text.range(span.start, span.end)


def _hover(ls: Server, params: types.HoverParams) -> types.Hover | None:
    asked = _asked(ls, params)
    found = hover(*asked) if asked else None
    if asked is None or found is None:
        return None
    text, span = found
    content = types.MarkupContent(types.MarkupKind.Markdown, text)
    return types.Hover(content, _range(asked[0], span))


def _completion(ls: Server, params: types.CompletionParams) -> types.CompletionList | None:
    asked = _asked(ls, params)
    if asked is None:
        return None
    analysis, offset = asked
    if _is_idle_space(params, analysis, offset):
        return types.CompletionList(False, [])
    start, offers = complete(analysis, offset)
    place, snippets = analysis.text.range(start, offset), _takes_snippets(ls)
    items = [_item(rank, offer, place, snippets) for rank, offer in enumerate(offers)]
    return types.CompletionList(False, items)


def _item(rank: int, offer: Offer, place: types.Range, snippets: bool) -> types.CompletionItem:
    about = types.MarkupContent(types.MarkupKind.Markdown, offer.about) if offer.about else None
    form = types.InsertTextFormat
    return types.CompletionItem(
        offer.label,
        kind=offer.kind,
        documentation=about,
        sort_text=f"{rank:04}",
        filter_text=offer.label,
        insert_text_format=form.Snippet if snippets else form.PlainText,
        text_edit=types.TextEdit(place, offer.insert if snippets else _plain(offer.insert)),
    )


def _is_idle_space(params: types.CompletionParams, analysis: Analysis, offset: int) -> bool:
    """Whether a space was typed where nothing waits for a value."""
    context = params.context
    if context is None or context.trigger_character != " ":
        return False
    return not analysis.source.text[:offset].rstrip().endswith(("=", ",", "-", "|", "&", "^"))


def _takes_snippets(ls: Server) -> bool:
    document = ls.client_capabilities.text_document
    item = document.completion.completion_item if document and document.completion else None
    return bool(item and item.snippet_support)


def _plain(snippet: str) -> str:
    """The text of a snippet, its gaps filled with what stands in them."""
    filled = re.sub(r"(?<!\\)\$\{\d+:([^}]*)\}|(?<!\\)\$\d+", lambda m: m[1] or "", snippet)
    return re.sub(r"\\([\\$}])", r"\1", filled)


def _definition(ls: Server, params: types.DefinitionParams) -> types.Location | None:
    asked = _asked(ls, params)
    return definition(*asked, params.text_document.uri) if asked else None


def _places(
    ls: Server, params: types.ReferenceParams | types.DocumentHighlightParams
) -> tuple[Analysis, list[Span], Span] | None:
    """Where the name at a position occurs, and where it is defined."""
    asked = _asked(ls, params)
    named = asked[0].names.at(asked[1]) if asked else None
    if asked is None or named is None:
        return None
    return asked[0], asked[0].names.places(named[0].name), named[0].span


def _references(ls: Server, params: types.ReferenceParams) -> list[types.Location] | None:
    found = _places(ls, params)
    if found is None:
        return None
    analysis, spans, own = found
    keep = spans if params.context.include_declaration else [s for s in spans if s != own]
    return [types.Location(params.text_document.uri, _range(analysis, s)) for s in keep]


def _highlight(
    ls: Server, params: types.DocumentHighlightParams
) -> list[types.DocumentHighlight] | None:
    found = _places(ls, params)
    if found is None:
        return None
    analysis, spans, own = found
    read, write = types.DocumentHighlightKind.Read, types.DocumentHighlightKind.Write
    return [
        types.DocumentHighlight(_range(analysis, s), write if s == own else read) for s in spans
    ]


def _prepare_rename(ls: Server, params: types.PrepareRenameParams) -> types.Range | None:
    asked = _asked(ls, params)
    return _range(asked[0], renamable(*asked)) if asked else None


def _rename(ls: Server, params: types.RenameParams) -> types.WorkspaceEdit | None:
    asked = _asked(ls, params)
    if asked is None:
        return None
    edits: Sequence[types.TextEdit] = [
        types.TextEdit(_range(asked[0], span), params.new_name)
        for span in rename(*asked, params.new_name)
    ]
    return types.WorkspaceEdit({params.text_document.uri: edits})


def _symbols(ls: Server, params: types.DocumentSymbolParams) -> list[types.DocumentSymbol] | None:
    analysis = ls.analysis(params.text_document.uri)
    return outline(analysis) if analysis else None


def _highlights(ls: Server, params: types.SemanticTokensParams) -> types.SemanticTokens | None:
    analysis = ls.analysis(params.text_document.uri)
    return types.SemanticTokens(highlights(analysis)) if analysis else None


def _folding(ls: Server, params: types.FoldingRangeParams) -> list[types.FoldingRange] | None:
    analysis = ls.analysis(params.text_document.uri)
    return folds(analysis) if analysis else None


def _actions(ls: Server, params: types.CodeActionParams) -> list[types.CodeAction] | None:
    uri = params.text_document.uri
    analysis = ls.analysis(uri)
    if analysis is None:
        return None
    actions = []
    for found in analysis.diagnostics:
        shown = published(analysis, found, uri)
        if not _overlap(shown.range, params.range):
            continue
        if found.code == "layers-unknown":
            actions.append(load_action(uri, shown))
        for fix in fixes(analysis.source, analysis.recipe, found):
            edit = types.TextEdit(analysis.text.range(fix.start, fix.end), fix.text)
            actions.append(
                types.CodeAction(
                    fix.title,
                    kind=types.CodeActionKind.QuickFix,
                    diagnostics=[shown],
                    is_preferred=fix.sure,
                    edit=types.WorkspaceEdit({uri: [edit]}),
                )
            )
    return actions


def _formatting(ls: Server, params: types.DocumentFormattingParams) -> list[types.TextEdit] | None:
    """The whole text in the one style; nothing while it does not parse."""
    analysis = ls.analysis(params.text_document.uri)
    if analysis is None or not analysis.well_formed:
        return None
    text = analysis.source.text
    result = format_recipe(analysis.source)
    if result == text:
        return []
    return [types.TextEdit(analysis.text.range(0, len(text)), result)]


def _overlap(one: types.Range, other: types.Range) -> bool:
    return one.start <= other.end and other.start <= one.end


def _saved(ls: Server, params: types.DidSaveTextDocumentParams) -> None:
    ls.refresh()


def _files_changed(ls: Server, params: types.DidChangeWatchedFilesParams) -> None:
    ls.refresh()


def _shutdown(ls: Server, params: None) -> None:
    ls.asked_to_stop = True


_FEATURES: tuple[tuple[str, Handler[Any], Any], ...] = (
    (types.TEXT_DOCUMENT_HOVER, _hover, None),
    (
        types.TEXT_DOCUMENT_COMPLETION,
        _completion,
        types.CompletionOptions(trigger_characters=_TRIGGERS),
    ),
    (types.TEXT_DOCUMENT_DEFINITION, _definition, None),
    (types.TEXT_DOCUMENT_REFERENCES, _references, None),
    (types.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT, _highlight, None),
    (types.TEXT_DOCUMENT_PREPARE_RENAME, _prepare_rename, None),
    (types.TEXT_DOCUMENT_RENAME, _rename, types.RenameOptions(prepare_provider=True)),
    (types.TEXT_DOCUMENT_DOCUMENT_SYMBOL, _symbols, None),
    (types.TEXT_DOCUMENT_FOLDING_RANGE, _folding, None),
    (
        types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL,
        _highlights,
        types.SemanticTokensLegend(KINDS, []),
    ),
    (
        types.TEXT_DOCUMENT_CODE_ACTION,
        _actions,
        types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix]),
    ),
    (types.TEXT_DOCUMENT_FORMATTING, _formatting, None),
    (types.TEXT_DOCUMENT_DID_SAVE, _saved, None),
    (types.WORKSPACE_DID_CHANGE_WATCHED_FILES, _files_changed, None),
    (types.SHUTDOWN, _shutdown, None),
)
