"""`lottoc --version` answers without a command."""

from __future__ import annotations

from typer.testing import CliRunner

from lottoc import __version__
from lottoc.cli import app


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"lottoc {__version__} (onnx ")


def test_no_command_is_a_mistake() -> None:
    assert CliRunner().invoke(app, []).exit_code == 2
