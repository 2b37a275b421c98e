"""The service as a process: it starts, bears nonsense, and ends as it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from lsp_client import PATIENCE, Client, ServerError

TEXT = "ticket a { }"


@pytest.fixture
def client(folder: Path, environment: None) -> Client:
    return Client(folder, capabilities={})


def alive(client: Client, folder: Path) -> bool:
    return [d["code"] for d in client.open(folder / "alive.lotto", TEXT)] == ["missing-key"]


def test_shutdown_then_exit_is_good_and_silent(client: Client) -> None:
    assert client.stop() == (0, "")


def test_exit_without_shutdown_is_not(client: Client) -> None:
    client.notify("exit")
    assert client.process.wait(timeout=PATIENCE) == 1


def test_an_editor_that_dies_takes_the_server_along(client: Client) -> None:
    assert client.process.stdin
    client.process.stdin.close()
    assert client.process.wait(timeout=PATIENCE) == 1


def test_nonsense_is_answered_and_survived(client: Client, folder: Path) -> None:
    client.raw(b'{"jsonrpc": "2.0", "id": 99, "method": ')
    assert client.wait(lambda m: "error" in m)["error"]["code"] == -32700
    client.raw(b"\xff\xfe")
    assert client.wait(lambda m: "error" in m)["error"]["code"] == -32700
    for body in (b"[]", b"null", b"3", b'{"a": 1}', b'{"jsonrpc": "2.0"}', b'{"jsonrpc":"1.0"}'):
        client.raw(body)
    with pytest.raises(ServerError) as unknown:
        client.request("textDocument/unheardOf")
    assert unknown.value.code == -32601
    client.notify("$/unheardOf", a=1)
    with pytest.raises(ServerError) as wrong:
        client.request("textDocument/hover", textDocument={"uri": 3}, position={"line": "x"})
    assert wrong.value.code == -32602
    assert alive(client, folder)
    client.kill()


def test_questions_about_what_is_not_there(client: Client, folder: Path) -> None:
    uri = (folder / "nowhere.lotto").as_uri()
    for method in ("hover", "completion", "definition", "documentHighlight", "prepareRename"):
        assert client.at(method, uri, 5, 5) is None
    client.versions[uri] = 1
    client.change(uri, {"text": "x"})
    client.notify("textDocument/didClose", textDocument={"uri": uri})
    assert alive(client, folder)
    for method in ("hover", "completion", "definition", "documentHighlight"):
        client.at(method, (folder / "alive.lotto").as_uri(), 10**6, 10**6)
    for uri in ("untitled:Untitled-1", "file:///%00/x.lotto", "http://[", ""):
        client.versions[uri] = 1
        item = {
            "uri": uri,
            "languageId": "lotto",
            "version": 1,
            "text": 'model m { source = onnx("x") }',
        }
        client.notify("textDocument/didOpen", textDocument=item)
        client.at("hover", uri, 0, 2)
    assert alive(client, folder)
    client.kill()


def test_without_pygls_it_says_how_to_get_it() -> None:
    program = (
        "import sys, importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda name, *a: None if name == 'pygls' else find(name, *a);"
        "sys.argv = ['lottoc', 'lsp']; from lottoc.cli import main; main()"
    )
    command = [sys.executable, "-c", program]
    answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert answer.returncode == 3
    assert "error[lsp-not-installed]" in answer.stderr
    assert 'pip install "lottoc[lsp]"' in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""


def test_models_are_loaded_on_demand_in_another_process(client: Client, folder: Path) -> None:
    """The one command of the server: it asks `lottoc check`, which here fails, and says so."""
    path = folder / "load.lotto"
    path.write_text('model net { source = torch("missing.py:net") }\n')
    client.open(path, path.read_text())
    client.request(
        "workspace/executeCommand", command="lottoc.loadModels", arguments=[path.as_uri()]
    )
    shown = client.wait(lambda m: m.get("method") == "window/showMessage")
    assert "model-not-found" in shown["params"]["message"]
    client.kill()
