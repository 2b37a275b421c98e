"""The tool as a shell sees it: completion in a real bash, and help that shows an example."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lottoc.cli import COMMANDS, app

NAMES = [module.__name__.rpartition(".")[2] for module in COMMANDS]


@pytest.mark.parametrize("module", COMMANDS, ids=NAMES)
def test_help_says_what_and_shows_an_example(module) -> None:  # type: ignore[no-untyped-def]
    name = module.__name__.rpartition(".")[2]
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    example = module.EXAMPLE
    assert example.startswith("Example: lottoc ")
    assert f"lottoc {name}" in example
    assert " ".join(example.split()) in " ".join(result.stdout.split())
    function = getattr(module, name)
    assert function.__doc__.splitlines()[0] in " ".join(result.stdout.split())


def test_every_command_file_is_registered() -> None:
    folder = Path(sys.modules["lottoc.commands"].__file__ or "").parent
    files = {path.stem for path in folder.glob("*.py") if "EXAMPLE" in path.read_text()}
    assert files == set(NAMES)
    assert len(set(NAMES)) == len(NAMES)


def complete(*words: str) -> list[str]:
    """What typer answers the shell for the last of these words."""
    environment = {
        "_LOTTOC_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["lottoc", *words]),
        "COMP_CWORD": str(len(words)),
    }
    result = CliRunner().invoke(app, [], prog_name="lottoc", env=environment)
    assert result.exit_code == 0
    return result.stdout.split()


def test_commands_options_and_choices_are_completed() -> None:
    assert set(complete("")) == set(NAMES)
    assert complete("che") == ["check"]
    assert {"--depfile", "--verbose", "--store"} <= set(complete("compile", "--"))
    assert complete("cache", "pr") == ["prune"]
    assert complete("check", "--format", "sa") == ["sarif"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_in_a_real_bash(tmp_path: Path) -> None:
    script = tmp_path / "lottoc"
    script.write_text(f"#!{sys.executable}\nfrom lottoc.cli import main\nmain()\n")
    script.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    session = """
        set -eu
        eval "$(_LOTTOC_COMPLETE=source_bash lottoc)"
        function=$(complete -p lottoc | grep -o -- '-F [^ ]*' | cut -d' ' -f2)
        COMP_WORDS=(lottoc ins) COMP_CWORD=1 COMPREPLY=()
        "$function" lottoc ins lottoc
        echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", session],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["inspect"], done.stderr
