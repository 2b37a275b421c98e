"""What all tests share: options, and a small project with models, data and recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# how long an example takes says how busy the machine is, not whether the code is right
settings.register_profile("lottoc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lottoc")

NET = """
import torch
from torch import nn

def net():
    hidden = [nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(16, 4))
"""

TRAINED = """
param target = 80%

model net { source = torch("net.py:net")   seed = 3 }

data blobs {
  train = npz("blobs.npz", x = "x_train", y = "y_train")
  test  = npz("blobs.npz", x = "x_test",  y = "y_test")
}

training sgd { optimizer = sgd(lr = 0.1, momentum = 0.9)   batch = 20   length = 120 steps }

ticket winning {
  layers   = linear - "4"
  sparsity = target
  method   = imp(rounds = 3, rewind = 10 steps)
}

ticket random_init { like = winning   weights = reinit }
ticket signs       { like = winning   weights = signs }
ticket shuffled    { like = winning   mask = shuffle(winning) }

require winning.accuracy >= dense.accuracy - 20%
require collapse(winning) == none

emit onnx "net.onnx" { ticket = winning   format = packed }
"""

PRUNED = """
model net { source = onnx("net-dense.onnx") }

ticket half { layers = "fc1" | "fc2"   criterion = magnitude   pattern = 2:4 }

emit onnx "half.onnx"   { ticket = half   format = packed }
emit onnx "sparse.onnx" { ticket = half   format = sparse }
"""


def blobs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Four Gaussian blobs in 16 dimensions."""
    draw = np.random.default_rng(seed)
    centers = np.random.default_rng(99).normal(size=(4, 16))
    labels = draw.integers(0, 4, size=n)
    return (centers[labels] + draw.normal(size=(n, 16))).astype(np.float32), labels


def dense_onnx(path: Path) -> None:
    """fc1 (16 → 32), Relu, fc2 (32 → 4)."""
    from onnx import TensorProto, helper, numpy_helper, save

    draw = np.random.default_rng(0)
    weights = {"fc1.weight": (32, 16), "fc2.weight": (4, 32)}
    tensors = [
        numpy_helper.from_array(draw.normal(size=shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "fc1.weight"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "fc2.weight"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        tensors,
    )
    opsets = [helper.make_opsetid("", 18)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "trained.lotto").write_text(TRAINED)
    (tmp_path / "pruned.lotto").write_text(PRUNED)
    x_train, y_train = blobs(200, 0)
    x_test, y_test = blobs(100, 1)
    np.savez(tmp_path / "blobs.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    dense_onnx(tmp_path / "net-dense.onnx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOTTOC_STORE", str(tmp_path / "store"))
    return tmp_path


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite expected texts of galleries")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "slow" in (config.getoption("-m") or ""):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run by make test-slow"))
