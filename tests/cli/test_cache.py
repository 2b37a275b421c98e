"""`lottoc cache`: the store is shown as it is, and only what was asked for is deleted."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lottoc.cli import app

DAY = 86400


def lottoc(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def cache(*arguments: str) -> dict[str, object]:
    result = lottoc("cache", *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


@pytest.fixture
def store(project: Path) -> Path:
    """The store after a compile, with a file of somebody else in one of its folders."""
    assert lottoc("compile", "pruned.lotto", "-o", "out", "-q").exit_code == 0
    folder = project / "store"
    (folder / "ab").mkdir(exist_ok=True)
    (folder / "ab" / "letter.txt").write_text("mine")
    return folder


def files(store: Path) -> list[Path]:
    return sorted(p for p in store.rglob("*") if p.is_file() and p.name != "letter.txt")


def test_list_and_size_say_what_is_on_disk(store: Path) -> None:
    listed = cache("list")
    assert listed["results"] == len(files(store)) > 0
    assert listed["bytes"] == sum(p.stat().st_size for p in files(store))
    assert cache("size")["bytes"] == listed["bytes"]
    text = lottoc("cache", "list").stdout.splitlines()
    assert len(text) == len(files(store)) + 1
    assert text[-1].endswith(str(store))


def test_prune_by_age_deletes_what_is_old(store: Path) -> None:
    old, *young = files(store)
    os.utime(old, (time.time() - 3 * DAY,) * 2)
    size = old.stat().st_size
    assert cache("prune", "--older-than", "4d")["freed"] == 0
    assert cache("prune", "--older-than", "2d")["freed"] == size
    assert files(store) == young


def test_prune_by_size_deletes_what_was_used_longest_ago(store: Path) -> None:
    everything = files(store)
    for number, path in enumerate(everything):
        os.utime(path, (time.time() - number * DAY,) * 2)
    limit = everything[0].stat().st_size
    left = cache("prune", "--max-size", f"{limit}B")
    assert files(store) == everything[:1]
    assert left["bytes"] == limit


def test_clear_deletes_results_and_nothing_else(store: Path) -> None:
    refused = lottoc("cache", "clear")
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert files(store)
    cache("clear", "--yes")
    assert files(store) == []
    assert (store / "ab" / "letter.txt").read_text() == "mine"
    again = lottoc("compile", "pruned.lotto", "-o", "again")
    assert again.exit_code == 0
    assert "results computed" in again.output


@pytest.mark.parametrize(
    "arguments",
    [
        "prune",
        "prune --older-than 5",
        "prune --max-size 3",
        "list --older-than 1d",
        "size --yes",
    ],
)
def test_misfits_are_refused(arguments: str, store: Path) -> None:
    before = files(store)
    assert lottoc("cache", *arguments.split()).exit_code == 2
    assert files(store) == before


def test_a_store_that_is_not_there_is_empty_and_stays_away(tmp_path: Path) -> None:
    assert cache("size", "--store", str(tmp_path / "none"))["results"] == 0
    assert not (tmp_path / "none").exists()
