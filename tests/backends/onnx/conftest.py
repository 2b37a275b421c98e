"""What tests of ONNX artefacts share."""

from __future__ import annotations

import importlib

import pytest

from lottoc.backends.onnx.run import do


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run jobs here: the child processes have tests of their own."""
    for name in ("verify", "alone"):
        module = importlib.import_module(f"lottoc.backends.onnx.{name}")
        monkeypatch.setattr(module, "run_apart", do)
