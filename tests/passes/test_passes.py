"""Every pass as text in, text out: pages whose RUN lines call the real command.

`// RUN: lottoc opt %s --passes cse | filecheck %s`, with `not` in front where the command must
fail, and `2>&1` where the page reads what it says on standard error.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filecheck.matcher import Matcher
from filecheck.options import Options
from typer.testing import CliRunner

from lottoc.cli import app
from lottoc.passes import PASSES, pass_class, summary

HERE = Path(__file__).parent
RUN = re.compile(r"^// RUN: (not )?lottoc (.*?)( 2>&1)? \| filecheck %s(?: --check-prefix (\w+))?$")


@dataclass(frozen=True)
class Run:
    """One RUN line of a page."""

    page: Path
    fails: bool
    arguments: tuple[str, ...]
    mixed: bool
    prefix: str

    def output(self) -> str:
        result = CliRunner().invoke(app, list(self.arguments))
        assert result.exit_code == (2 if self.fails else 0), result.output
        return result.output if self.mixed else result.stdout

    def accepts(self, text: str, tmp_path: Path) -> bool:
        target = tmp_path / "out.mlir"
        target.write_text(text)
        options = Options(str(self.page), str(target), check_prefixes=self.prefix)
        return Matcher.from_opts(options).run() == 0


def runs(page: Path) -> list[Run]:
    found = []
    for line in page.read_text().splitlines():
        if line.startswith("// RUN:"):
            match = RUN.fullmatch(line)
            assert match is not None, f"{page.name}: {line}"
            arguments = shlex.split(match[2].replace("%s", shlex.quote(str(page))))
            prefix = match[4] or "CHECK"
            found.append(Run(page, bool(match[1]), tuple(arguments), bool(match[3]), prefix))
    return found


PAGES = sorted(HERE.glob("*.mlir"))
RUNS = [run for page in PAGES for run in runs(page)]
NAMES = [f"{run.page.stem}-{run.prefix}-{index}" for index, run in enumerate(RUNS)]


@pytest.mark.parametrize("run", RUNS, ids=NAMES)
def test_run(run: Run, tmp_path: Path) -> None:
    text = run.output()
    assert run.accepts(text, tmp_path)
    if not run.fails:
        page = tmp_path / "again.mlir"
        page.write_text(text)
        assert CliRunner().invoke(app, ["opt", str(page)]).stdout == text


@pytest.mark.parametrize("run", RUNS, ids=NAMES)
def test_run_can_fail(run: Run, tmp_path: Path) -> None:
    """A page that also accepts an empty module checks nothing."""
    assert not run.accepts("builtin.module {\n}\n", tmp_path)


def test_every_page_has_a_run_line_and_every_prefix_a_run() -> None:
    for page in PAGES:
        prefixes = {run.prefix for run in runs(page)}
        checks = set(re.findall(r"^// (\w+)(?:-NEXT|-NOT|-COUNT-\d+)?: ", page.read_text(), re.M))
        assert checks - {"RUN"} == prefixes, page.name


@pytest.mark.parametrize("name", ["cse.mlir", "check-collapse.mlir"])
def test_the_lines_run_in_a_shell(name: str, tmp_path: Path) -> None:
    """As they stand, `not` being what LLVM's tool of that name is."""
    page = HERE / name
    line = page.read_text().splitlines()[0].removeprefix("// RUN: ").replace("%s", str(page))
    tools = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-c", f'not() {{ ! "$@"; }}; set -o pipefail; {line}'],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_pass_has_a_page() -> None:
    assert set(PASSES) <= {page.stem for page in PAGES}


def test_pass_names_are_their_keys_and_each_says_what_it_does() -> None:
    assert {name: pass_class(name).name for name in PASSES} == {name: name for name in PASSES}
    assert all(summary(name).endswith(".") for name in PASSES)
