"""Loading a torch model once, in another process, because the person asked for it.

That runs the model's Python file, which the server itself never does.
"""

from __future__ import annotations

import asyncio
import sys

from lsprotocol import types

from lottoc.lsp.server import Server

LOAD_MODELS = "lottoc.loadModels"


def load_action(uri: str, shown: types.Diagnostic) -> types.CodeAction:
    """The cure for layers that are not known."""
    title = "load the model once to learn its layers (runs its Python file)"
    return types.CodeAction(
        title,
        kind=types.CodeActionKind.QuickFix,
        diagnostics=[shown],
        command=types.Command(title, LOAD_MODELS, arguments=[uri]),
    )


async def load_models(ls: Server, uri: str) -> None:
    """Run `lottoc check --load-models` on a saved recipe, then look at all documents again."""
    document = ls.documents.get(uri)
    if document is None:
        return
    arguments = ["-m", "lottoc.cli", "check", "--load-models", "--quiet", str(document.path)]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await child.communicate()
    if child.returncode:
        first = errors.decode(errors="replace").partition("\n")[0]
        ls.window_show_message(types.ShowMessageParams(types.MessageType.Error, first))
    ls.refresh()
