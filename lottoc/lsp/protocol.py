"""The wire: JSON-RPC as pygls speaks it, with answers to what cannot be understood.

Documents are kept by the server itself, because a line ends where the protocol says it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.protocol import LanguageServerProtocol, lsp_method

if TYPE_CHECKING:
    from lottoc.lsp.server import Server


class Protocol(LanguageServerProtocol):
    """pygls' protocol; a request that makes no sense is refused rather than left unanswered."""

    @property
    def _owner(self) -> Server:
        return cast("Server", self._server)

    def structure_message(self, data: dict[str, Any]) -> Any:
        """A message from its JSON."""
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            if "id" in data and "method" in data:
                self._send_response(data["id"], error=error.to_response_error())
            raise

    def parse_error(self, error: Exception) -> None:
        """Say that a message was no JSON."""
        text = f"not JSON: {error}"
        self._send_data(
            types.ResponseErrorMessage(
                error=types.ResponseError(types.ErrorCodes.ParseError.value, text), id=None
            )
        )

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        """A document comes to life."""
        self._owner.opened(params.text_document)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        """A document is edited."""
        self._owner.changed(params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        """A document is put away."""
        self._owner.closed(params.text_document.uri)
