"""examples/pipelines: each file does what it says, by the tool it is written for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PIPELINES = ROOT / "examples" / "pipelines"

RECIPE = """\
import "presets/onnx.lotto"

model net {{ source = onnx("net-dense.onnx") }}

emit onnx "{name}.onnx" {{ ticket = {ticket} }}
"""


@pytest.fixture
def models(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two recipes and their model, and `lottoc` on the path."""
    for old in project.glob("*.lotto"):
        old.unlink()
    for name, ticket in {"pruned": "half", "quarter": "quarter"}.items():
        (project / f"{name}.lotto").write_text(RECIPE.format(name=name, ticket=ticket))
    bin = project / ".bin"
    bin.mkdir()
    (bin / "lottoc").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lottoc.cli "$@"\n')
    (bin / "lottoc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}{os.pathsep}{os.environ['PATH']}")
    return project


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def is_installed(*tools: str) -> bool:
    return all(shutil.which(tool) for tool in tools)


@pytest.mark.skipif(not is_installed("make"), reason="make is not installed")
def test_makefile(models: Path) -> None:
    shutil.copy(PIPELINES / "Makefile", models)
    run("make", "check")
    assert run("make").count("lottoc compile") == 2
    assert (models / "out" / "pruned" / "pruned.onnx").exists()
    assert (models / "out" / "quarter" / "quarter.onnx").exists()
    assert "Nothing to be done" in run("make")
    os.utime(models / "quarter.lotto")
    again = run("make")
    assert again.count("lottoc compile") == 1
    assert "lottoc compile quarter.lotto" in again
    os.utime(models / "net-dense.onnx")
    assert run("make").count("lottoc compile") == 2
    run("make", "clean")
    assert not (models / "out").exists()


@pytest.mark.parametrize(("generator", "tool"), [("Ninja", "ninja"), ("Unix Makefiles", "make")])
def test_cmake(models: Path, generator: str, tool: str) -> None:
    if not is_installed("cmake", tool):
        pytest.skip(f"cmake or {tool} is not installed")
    shutil.copy(PIPELINES / "CMakeLists.txt", models)
    run("cmake", "-B", "build", "-G", generator)
    build = ("cmake", "--build", "build")
    assert "Compiling pruned.lotto" in run(*build)
    report = json.loads((models / "build" / "pruned" / "report.json").read_text())
    assert report["artefacts"][0]["path"] == "pruned.onnx"
    assert "Compiling" not in run(*build)
    os.utime(models / "net-dense.onnx")
    assert "Compiling pruned.lotto" in run(*build)
    assert "Compiling" not in run(*build)
    (models / "build" / "pruned" / "pruned.onnx").unlink()
    assert "Compiling pruned.lotto" in run(*build)


def workflow() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    return dict(yaml.safe_load((PIPELINES / "github-workflow.yml").read_text()))


def steps(folder: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """The shell commands of the workflow by name, with their environment; not the installing."""
    job = workflow()["jobs"]["compile"]
    environment = {
        key: value.replace("${{ github.workspace }}", str(folder))
        for key, value in job["env"].items()
    }
    return {
        step["name"]: (step["run"], environment)
        for step in job["steps"]
        if "run" in step and step["name"] != "Install"
    }


def act(name: str, folder: Path) -> int:
    """Run one step as GitHub does."""
    command, environment = steps(folder)[name]
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command]
    return subprocess.run(shell, env={**os.environ, **environment}, check=False).returncode


def test_github_workflow(models: Path) -> None:
    names = list(steps(models))
    assert names[:3] == ["Formatting", "Check", "Compile"]
    for name in names:
        assert act(name, models) == 0, name
    assert (models / "out" / "quarter" / "quarter.onnx").exists()
    assert any((models / ".lottoc-store").iterdir())
    results = json.loads((models / "lottoc.sarif").read_text())["runs"][0]["results"]
    assert {result["level"] for result in results} <= {"note"}


def test_github_workflow_stops_at_mistakes(models: Path) -> None:
    (models / "quarter.lotto").write_text('emit  onnx "x.onnx" { ticket = nobody }\n')
    assert act("Formatting", models) == 1
    assert act("Check", models) == 2
    results = json.loads((models / "lottoc.sarif").read_text())["runs"][0]["results"]
    assert results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == (
        "quarter.lotto"
    )
    assert act("Compile", models) == 2
    assert (models / "out" / "pruned" / "pruned.onnx").exists()
    (models / "out" / "pruned" / "pruned.onnx").write_bytes(b"damaged")
    assert act("Verify", models) != 0


def test_pre_commit_hooks(models: Path) -> None:
    """pre-commit gives each hook the names of the files that match, several at a time."""
    yaml = pytest.importorskip("yaml")
    hooks = {h["id"]: h for h in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    assert set(hooks) == {"lottoc-fmt", "lottoc-check"}
    for hook in hooks.values():
        assert hook["language"] == "python"
        assert hook["files"] == r"\.lotto$"
        run(*hook["entry"].split(), "pruned.lotto", "quarter.lotto")
        (models / "slip.lotto").write_text("model  x {}\n")
        command = [*hook["entry"].split(), "pruned.lotto", "slip.lotto"]
        assert subprocess.run(command, capture_output=True, check=False).returncode != 0
