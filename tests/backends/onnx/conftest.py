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


@pytest.fixture
def measured_in_process(in_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of what watches models at work."""
    for name in ("verify", "alone", "activations"):
        module = importlib.import_module(f"lottoc.backends.onnx.{name}")
        monkeypatch.setattr(module, "call_apart", lambda function, *given: function(*given))
