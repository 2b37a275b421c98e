"""The recipe of examples/table1 on a handful of images: a residual network, a transformer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lottoc.diagnostics import Findings
from lottoc.driver import compile_recipe
from lottoc.engine.store import Store
from lottoc.front import Request

EXAMPLE = Path(__file__).parents[2] / "examples" / "table1"
SHORT = {"length": "6 steps", "rewind": "2 steps", "rounds": "1", "batch": "4", "target": "50%"}


@pytest.mark.parametrize(
    ("network", "layers"),
    [
        ("resnet.py:resnet18_narrow", ["stem", "stages.2.shortcut.0", "stages.7.conv2", "head"]),
        ("vit.py:vit_small", ["patch", "blocks.0.attention.query", "blocks.1.attention.out"]),
    ],
)
def test_the_table_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str, layers: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("table1.lotto", "resnet.py", "vit.py"):
        shutil.copy(EXAMPLE / name, tmp_path)
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (12, 3, 16, 16), dtype=np.uint8)
    labels = np.arange(12) % 10
    np.savez("cifar16.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    defines = {**SHORT, "network": f'"{network}"'}
    request = Request(Path("table1.lotto"), Store(tmp_path / "s"), defines)
    outcome = compile_recipe(request, tmp_path / "out", Findings())
    # dense in two pieces, one round of each of two tickets, three controls
    assert outcome.trained == 2 + 2 + 3
    report = json.loads((tmp_path / "out" / "report.json").read_text())["tickets"]
    assert list(report) == ["dense", "pruned", "winning", "drawn", "shuffled", "signs"]
    kept = {row["name"]: row["kept"] / row["weights"] for row in report["winning"]["layers"]}
    assert set(layers) <= set(kept)
    assert all(0 < kept[name] < 1 for name in layers)
    assert report["shuffled"]["kept"] == report["winning"]["kept"]
