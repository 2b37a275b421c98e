"""How long an editor waits for `lottoc lsp`: from a keystroke to its diagnostics, and for answers.

    python benchmarks/editor_latency.py [--repeats 100]

Speaks the protocol with a server in a child process, over pipes, about `examples/lenet` and about
a recipe of 200 tickets. The time to diagnostics holds the pause that the server waits for (10 ms,
or twice its last check). Writes `results/editor_latency.json`, in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lenet_curve import machine

ROOT = Path(__file__).resolve().parents[1]
LENET = (ROOT / "examples" / "lenet" / "lenet.lotto").read_text()
MANY = "\n".join(
    f"ticket t{i} {{ layers = linear   sparsity = {i % 99 + 1}% }}" for i in range(200)
)


class Server:
    """A server and the wire to it."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "lottoc.cli", "lsp"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.send({"id": 0, "method": "initialize", "params": {"capabilities": {}}})
        self.until(lambda m: m.get("id") == 0)

    def send(self, message: dict[str, Any]) -> None:
        """Write a message."""
        assert self.process.stdin
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def until(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read messages up to one that fits."""
        assert self.process.stdout
        length = 0
        while True:
            line = self.process.stdout.readline()
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            elif not line.strip():
                message: dict[str, Any] = json.loads(self.process.stdout.read(length))
                if fits(message):
                    return message

    def request(self, number: int, method: str, params: dict[str, Any]) -> None:
        """Ask, and wait for the answer."""
        self.send({"id": number, "method": f"textDocument/{method}", "params": params})
        assert "error" not in self.until(lambda m: m.get("id") == number)


def waits(text: str, repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds for each kind of answer about a text."""
    server = Server()
    uri = (ROOT / "examples" / "lenet" / "unsaved.lotto").as_uri()
    item = {"uri": uri, "languageId": "lotto", "version": 0, "text": text}
    server.send({"method": "textDocument/didOpen", "params": {"textDocument": item}})
    server.until(lambda m: "diagnostics" in m.get("params", {}))
    column = text.split("\n")[-2].index("t")
    where = {
        "textDocument": {"uri": uri},
        "position": {"line": text.count("\n") - 1, "character": column},
    }
    spent: dict[str, list[float]] = {"diagnostics": [], "hover": [], "completion": []}
    for number in range(1, repeats + 1):
        place = {"line": 0, "character": 0}
        change = {"range": {"start": place, "end": place}, "text": "#" if number == 1 else " "}
        params = {"textDocument": {"uri": uri, "version": number}, "contentChanges": [change]}
        began = time.perf_counter()
        server.send({"method": "textDocument/didChange", "params": params})
        server.until(lambda m, n=number: m.get("params", {}).get("version") == n)
        spent["diagnostics"].append(time.perf_counter() - began)
        for kind in ("hover", "completion"):
            began = time.perf_counter()
            server.request(1000 * number + len(kind), kind, where)
            spent[kind].append(time.perf_counter() - began)
    server.process.kill()
    return {kind: summary(times) for kind, times in spent.items()}


def summary(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(1000 * s for s in seconds)
    middle = statistics.median(ordered)
    return {"median": round(middle, 1), "p95": round(ordered[int(0.95 * len(ordered))], 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=100)
    repeats = parser.parse_args().repeats
    result = {
        "machine": machine(),
        "lenet": waits(LENET, repeats),
        "200 tickets": waits(f"{LENET}\n{MANY}\n", repeats),
    }
    path = ROOT / "benchmarks" / "results" / "editor_latency.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
