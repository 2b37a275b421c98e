"""`lottoc check` and `lottoc fmt` answer at once, because they load nothing that is heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("numpy", "onnx", "onnx_ir", "onnxruntime", "torch", "xdsl", "safetensors", "rich")
CODE = f"""
import sys
from lottoc.cli import main
try:
    main()
except SystemExit as end:
    print(end.code, [name for name in {HEAVY} if name in sys.modules])
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "-q", "pruned.lotto"],
        ["check", "-q", "trained.lotto"],
        ["fmt", "-q", "pruned.lotto"],
        ["--help"],
    ],
)
def test_nothing_heavy_is_loaded(project: Path, arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
