"""The server: open documents, when they are checked, and what is asked of them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import FeatureRequestError
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from lottoc import __version__
from lottoc.engine.store import Store, default_root
from lottoc.lsp.analysis import Analysis, analyse
from lottoc.lsp.models import RememberingCatalog
from lottoc.lsp.protocol import Protocol
from lottoc.lsp.publish import published
from lottoc.lsp.text import WIDTHS, Width, changed

_SOON = 0.01
_LATEST = 1.0


@dataclass
class Document:
    """An open text; it is analysed once a version."""

    uri: str
    text: str
    version: int | None
    analysis: Analysis | None = None
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def path(self) -> Path:
        """The file; for a text that has none yet, a name in the working folder."""
        return Path(to_fs_path(self.uri) or "untitled.lotto")


class Server(LanguageServer):
    """Holds the documents. What goes wrong in it is logged to the editor and ends nothing."""

    protocol: Protocol

    def __init__(self) -> None:
        super().__init__("lottoc", __version__, protocol_cls=Protocol)
        self.documents: dict[str, Document] = {}
        self.catalog = RememberingCatalog(Store(default_root()))
        self.asked_to_stop = False

    @property
    def width(self) -> Width:
        """How wide a text is in the encoding agreed on."""
        capabilities = getattr(self.protocol, "server_capabilities", None)
        encoding = getattr(capabilities, "position_encoding", None) or "utf-16"
        return WIDTHS[getattr(encoding, "value", encoding)]

    def opened(self, item: types.TextDocumentItem) -> None:
        """Take a document in and check it at once."""
        self.closed(item.uri, silently=True)
        self.catalog.forget()
        document = Document(item.uri, item.text, item.version)
        self.documents[item.uri] = document
        self.publish(document)

    def changed(self, params: types.DidChangeTextDocumentParams) -> None:
        """Edit a document; it is checked when its writer pauses."""
        document = self.documents.get(params.text_document.uri)
        if document is None:
            self.log(f"a change of a document that is not open: {params.text_document.uri}")
            return
        for change in params.content_changes:
            document.text = changed(document.text, change, self.width)
        document.version = params.text_document.version
        pause = 2 * document.analysis.seconds if document.analysis else 0
        document.analysis = None
        if document.timer:
            document.timer.cancel()
        delay = min(_LATEST, max(_SOON, pause))
        document.timer = asyncio.get_running_loop().call_later(delay, self.publish, document)

    def closed(self, uri: str, *, silently: bool = False) -> None:
        """Let go of a document and take its diagnostics back."""
        document = self.documents.pop(uri, None)
        if document and document.timer:
            document.timer.cancel()
        if document and not silently:
            self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))

    def refresh(self) -> None:
        """Check all documents anew: files they name may have changed."""
        self.catalog.forget()
        for document in self.documents.values():
            document.analysis = None
            self.publish(document)

    def analysis(self, uri: str) -> Analysis | None:
        """What is known of a document as it is now; None if it is not open."""
        document = self.documents.get(uri)
        return self._analysis(document) if document else None

    def _analysis(self, document: Document) -> Analysis:
        if document.analysis is None:
            document.analysis = analyse(document.text, document.path, self.catalog, self.width)
        return document.analysis

    def publish(self, document: Document) -> None:
        """Send the diagnostics of a document."""
        try:
            analysis = self._analysis(document)
            found = [published(analysis, d, document.uri) for d in analysis.diagnostics]
        except Exception as error:
            self.fault("checking", error)
            return
        self.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(document.uri, found, document.version)
        )

    def fault(self, what: str, error: Exception) -> None:
        """Tell the editor's log of a fault of our own."""
        self.log(f"{what}: {type(error).__name__}: {error}; this is a fault of lottoc")

    def log(self, message: str) -> None:
        """Write a line to the editor's log."""
        self.window_log_message(types.LogMessageParams(types.MessageType.Error, message))

    def report_server_error(self, error: Exception, source: Any) -> None:
        """What pygls could not do with a message; a request's error is its answer already."""
        if source is FeatureRequestError:
            return
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            self.protocol.parse_error(error)
        else:
            self.log(f"a message was not understood: {error}")
