"""No damage to a recipe brings the front half of the compiler down, or keeps it long."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from mutations import answer, make_folder, mutants

sys.path.insert(0, str(Path(__file__).parents[1]))

from onnx_toys import build

MANY = 50_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mutants")
    toy = build("gemm", 64, 64)
    make_folder(path, lambda file: toy.save(file.parent, file.name))
    return path


@pytest.mark.parametrize("seed", range(6))
def test_mutants_are_answered(seed: int, folder: Path) -> None:
    for content in mutants(seed, 100):
        answer(content, folder)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 150))
def test_many_mutants_are_answered(seed: int, folder: Path) -> None:
    for content in mutants(seed, int(os.environ.get("LOTTOC_MUTANTS", MANY)) // 50):
        answer(content, folder)
