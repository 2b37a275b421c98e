"""A folder with models and data, and an editor that has a server running in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from lsp_client import Client

SIZES = {"fc1": (32, 16), "fc2": (12, 32), "head": (2, 12)}
NET = """
import torch


def other():
    return None


def net():
    return torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
"""


def write_model(path: Path) -> None:
    """Linear layers fc1 (16 → 32), fc2 (32 → 12) and head (12 → 2)."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes, weights, value = [], [], "x"
    for name, shape in SIZES.items():
        weights.append(numpy_helper.from_array(np.ones(shape, np.float32), f"{name}.weight"))
        nodes.append(helper.make_node("Gemm", [value, f"{name}.weight"], [f"y_{name}"], transB=1))
        value = f"y_{name}"
    ends = [
        [helper.make_tensor_value_info(end, TensorProto.FLOAT, ["n", width])]
        for end, width in (("x", 16), (value, 2))
    ]
    graph = helper.make_graph(nodes, "net", *ends, weights)
    opsets = [helper.make_opsetid("", 18)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("editor")
    write_model(path / "net.onnx")
    (path / "net.py").write_text(NET)
    images = np.zeros((40, 16), np.float32)
    labels = np.zeros(40, np.int64)
    np.savez(path / "data.npz", x_train=images, y_train=labels, x_test=images[:10], y_test=labels)
    return path


@pytest.fixture(scope="session")
def environment(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOTTOC_STORE", str(folder / "store"))
        yield


@pytest.fixture(scope="session")
def shared(folder: Path, environment: None) -> Iterator[Client]:
    snippets = {"completion": {"completionItem": {"snippetSupport": True}}}
    client = Client(folder, capabilities={"textDocument": snippets})
    yield client
    code, said = client.stop()
    assert (code, said) == (0, "")


@pytest.fixture
def editor(shared: Client) -> Client:
    """A running server. It must have outlived the test, with no fault in its log."""
    shared.waiting.clear()
    yield shared
    logged = [m for m in shared.waiting if m.get("method") == "window/logMessage"]
    assert logged == []
    assert shared.process.poll() is None
