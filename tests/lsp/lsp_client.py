"""A small editor: starts `lottoc lsp` as a child process and speaks the protocol with it."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

PATIENCE = 20.0
TRAINED = """model net { source = torch("net.py:net") }
data set { train = npz("data.npz", x = "x_train", y = "y_train") }
training sgd { optimizer = sgd(lr = 0.1)   batch = 10   length = 40 steps }
ticket one { layers = linear   sparsity = 50%   method = imp(rounds = 2, rewind = 1 steps) }
"""


class ServerError(Exception):
    """The error that a request was answered with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Client:
    """One server and the messages it has sent that nobody has asked for yet."""

    def __init__(self, folder: Path, **capabilities: Any) -> None:
        command = [sys.executable, "-m", "lottoc.cli", "lsp", "--stdio"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe)
        self.inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        self.waiting: list[dict[str, Any]] = []
        self.versions: dict[str, int] = {}
        self.last_id = 0
        threading.Thread(target=self._read, daemon=True).start()
        self.hello = self.request("initialize", processId=None, rootUri=None, **capabilities)
        self.notify("initialized")

    def _read(self) -> None:
        assert self.process.stdout
        length = 0
        while line := self.process.stdout.readline():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            elif not line.strip():
                self.inbox.put(json.loads(self.process.stdout.read(length)))

    def raw(self, body: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def send(self, **message: Any) -> None:
        self.raw(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def notify(self, method: str, **params: Any) -> None:
        self.send(method=method, params=params)

    def request(self, method: str, **params: Any) -> Any:
        self.last_id += 1
        self.send(id=self.last_id, method=method, params=params)
        answer = self.wait(lambda m: m.get("id") == self.last_id and "method" not in m)
        if "error" in answer:
            raise ServerError(answer["error"]["code"], answer["error"]["message"])
        return answer.get("result")

    def wait(self, fits: Any) -> dict[str, Any]:
        """The first message that fits, those that came before included."""
        end = time.monotonic() + PATIENCE
        while True:
            for message in self.waiting:
                if fits(message):
                    self.waiting.remove(message)
                    return message
            self.waiting.append(self.inbox.get(timeout=max(0.01, end - time.monotonic())))

    def open(self, path: Path, text: str) -> list[dict[str, Any]]:
        """Open a text as if the file held it; gives the diagnostics."""
        uri = path.as_uri()
        self.versions[uri] = 1
        item = {"uri": uri, "languageId": "lotto", "version": 1, "text": text}
        self.notify("textDocument/didOpen", textDocument=item)
        return self.diagnostics(uri)

    def change(self, uri: str, *changes: dict[str, Any]) -> None:
        self.versions[uri] += 1
        document = {"uri": uri, "version": self.versions[uri]}
        self.notify("textDocument/didChange", textDocument=document, contentChanges=changes)

    def replace(self, uri: str, text: str) -> list[dict[str, Any]]:
        self.change(uri, {"text": text})
        return self.diagnostics(uri)

    def diagnostics(self, uri: str) -> list[dict[str, Any]]:
        """The diagnostics of the present version."""

        def fits(message: dict[str, Any]) -> bool:
            params = message.get("params") or {}
            return (
                message.get("method") == "textDocument/publishDiagnostics"
                and params["uri"] == uri
                and params.get("version") == self.versions[uri]
            )

        found: list[dict[str, Any]] = self.wait(fits)["params"]["diagnostics"]
        return found

    def at(self, method: str, uri: str, line: int, character: int, **more: Any) -> Any:
        """A request about a position."""
        position = {"line": line, "character": character}
        return self.request(
            f"textDocument/{method}", textDocument={"uri": uri}, position=position, **more
        )

    def stop(self) -> tuple[int, str]:
        """Shut the server down; its exit code and what it wrote to standard error."""
        self.request("shutdown")
        self.notify("exit")
        assert self.process.stderr
        code = self.process.wait(timeout=PATIENCE)
        return code, self.process.stderr.read().decode()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def where(text: str, words: str, nth: int = 0, shift: int = 0) -> tuple[int, int]:
    """Line and column (in UTF-16 code units) of an occurrence of some words."""
    at = -1
    for _ in range(nth + 1):
        at = text.index(words, at + 1)
    at += shift
    start = text.rfind("\n", 0, at) + 1
    return text.count("\n", 0, at), len(text[start:at].encode("utf-16-le")) // 2


def piece(text: str, found: dict[str, Any]) -> str:
    """The part of a text that a range (in UTF-16 code units) covers."""
    lines = text.split("\n")

    def offset(place: dict[str, int]) -> int:
        before = sum(len(line) + 1 for line in lines[: place["line"]])
        units = lines[place["line"]].encode("utf-16-le")[: 2 * place["character"]]
        return before + len(units.decode("utf-16-le"))

    return text[offset(found["start"]) : offset(found["end"])]


def edited(text: str, edits: list[dict[str, Any]]) -> str:
    """A text after the edits of an editor, none of which overlap."""
    for edit in sorted(edits, key=lambda e: tuple(e["range"]["start"].values()), reverse=True):
        line, column = edit["range"]["start"]["line"], edit["range"]["start"]["character"]
        lines = text.split("\n")
        units = lines[line].encode("utf-16-le")[: 2 * column].decode("utf-16-le")
        at = sum(len(each) + 1 for each in lines[:line]) + len(units)
        text = text[:at] + edit["newText"] + text[at + len(piece(text, edit["range"])) :]
    return text
