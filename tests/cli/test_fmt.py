"""`lottoc fmt`: files replaced whole or not at all, and exit codes that tell what happened."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lottoc import rewrite
from lottoc.cli import app

UGLY = "ticket a {\n layers=all # c\n}\n"
NEAT = "ticket a {\n  layers = all                          # c\n}\n"
WRONG = "ticket a { layers all }\n"


def fmt(*arguments: object, stdin: bytes | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["fmt", *map(str, arguments)], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_is_formatted_in_place_and_then_left_alone(here: Path) -> None:
    (here / "a.lotto").write_text(UGLY)
    assert fmt("a.lotto") == (0, "formatted a.lotto\n1 formatted, 0 as they should be\n", "")
    assert (here / "a.lotto").read_text() == NEAT
    before = (here / "a.lotto").stat()
    assert fmt("a.lotto") == (0, "0 formatted, 1 as they should be\n", "")
    assert (here / "a.lotto").stat().st_ino == before.st_ino
    assert (here / "a.lotto").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("options", [["--check"], ["--diff"], ["--check", "--diff"]])
def test_checks_write_nothing(here: Path, options: list[str]) -> None:
    (here / "a.lotto").write_text(UGLY)
    (here / "b.lotto").write_text(NEAT)
    code, out, _ = fmt(*options, "a.lotto", "b.lotto")
    assert code == 1
    assert "a.lotto" in out
    assert "b.lotto" not in out
    assert (here / "a.lotto").read_text() == UGLY
    assert fmt(*options, "b.lotto")[0] == 0


def test_a_diff_can_be_applied_by_eye(here: Path) -> None:
    (here / "a.lotto").write_text(UGLY.rstrip("\n"))
    _, out, _ = fmt("--diff", "a.lotto")
    assert out.splitlines() == [
        "--- a.lotto (now)",
        "+++ a.lotto (formatted)",
        "@@ -1,3 +1,3 @@",
        " ticket a {",
        "- layers=all # c",
        "-}",
        "\\ No newline at end of file",
        "+  layers = all                          # c",
        "+}",
    ]


def test_folders_are_searched_hidden_ones_left_out(here: Path) -> None:
    for name in ("x/a.lotto", "x/y/b.lotto", ".venv/c.lotto", "x/.git/d.lotto", "x/e.txt"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(UGLY)
    code, out, _ = fmt()
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()[:-1]] == ["x/a.lotto", "x/y/b.lotto"]
    assert (here / ".venv" / "c.lotto").read_text() == UGLY
    assert (here / "x" / "e.txt").read_text() == UGLY
    assert fmt("x", "x/a.lotto", "x/e.txt")[1].endswith("1 formatted, 2 as they should be\n")


def test_wrong_recipes_are_left_alone_and_the_others_formatted(here: Path) -> None:
    (here / "a.lotto").write_text(WRONG)
    (here / "b.lotto").write_text(UGLY)
    code, out, err = fmt("a.lotto", "b.lotto")
    assert code == 2
    assert out == "formatted b.lotto\n1 formatted, 0 as they should be, 1 left alone\n"
    assert err.startswith("error[missing-equals]: expected `=` after `layers`, found `all`\n")
    assert "--> a.lotto:1:19" in err
    assert (here / "a.lotto").read_text() == WRONG
    assert (here / "b.lotto").read_text() == NEAT
    assert fmt("--check", "a.lotto", "b.lotto")[0] == 2


def test_files_that_cannot_be_read(here: Path) -> None:
    (here / "latin.lotto").write_bytes(b"# caf\xe9\n")
    (here / "b.lotto").write_text(UGLY)
    os.mkfifo(here / "pipe.lotto")
    code, out, err = fmt("latin.lotto", "none.lotto", "pipe.lotto", "b.lotto")
    assert code == 3
    assert err.count("error[recipe-not-readable]") == 3
    assert "latin.lotto is not UTF-8 text (byte 5)" in err
    assert out.endswith("1 formatted, 0 as they should be, 3 left alone\n")
    assert (here / "latin.lotto").read_bytes() == b"# caf\xe9\n"
    assert (here / "b.lotto").read_text() == NEAT


def test_permissions_and_links_stay(here: Path) -> None:
    (here / "real").mkdir()
    (here / "real" / "a.lotto").write_text(UGLY)
    (here / "real" / "a.lotto").chmod(0o640)
    (here / "link.lotto").symlink_to(here / "real" / "a.lotto")
    assert fmt("link.lotto")[0] == 0
    assert (here / "link.lotto").is_symlink()
    assert (here / "real" / "a.lotto").read_text() == NEAT
    assert stat.S_IMODE((here / "real" / "a.lotto").stat().st_mode) == 0o640
    assert os.listdir(here / "real") == ["a.lotto"]


def test_a_failed_write_leaves_the_file_and_no_other(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "a.lotto").write_text(UGLY)

    def full(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rewrite.os, "replace", full)
    code, _, err = fmt("a.lotto")
    assert code == 3
    assert err.startswith("error[output-not-writable]: cannot write a.lotto: No space left on")
    assert os.listdir(here) == ["a.lotto"]
    assert (here / "a.lotto").read_text() == UGLY


def test_a_read_only_file_is_not_replaced(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "a.lotto").write_text(UGLY)
    monkeypatch.setattr(rewrite.os, "access", lambda path, mode: False)
    assert fmt("a.lotto")[0] == 3
    assert (here / "a.lotto").read_text() == UGLY


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf" + NEAT.encode(), NEAT.replace("\n", "\r\n")])
def test_a_mark_and_foreign_line_ends_are_changes(here: Path, before: bytes | str) -> None:
    (here / "a.lotto").write_bytes(before if isinstance(before, bytes) else before.encode())
    code, out, _ = fmt("--diff", "a.lotto")
    assert (code, out != "") == (1, True)
    assert fmt("a.lotto")[0] == 0
    assert (here / "a.lotto").read_bytes() == NEAT.encode()


def test_standard_input() -> None:
    assert fmt("-", stdin=UGLY.encode()) == (0, NEAT, "")
    assert fmt("-", stdin="# θ\r\n".encode()) == (0, "# θ\n", "")
    assert fmt("--check", "-", stdin=UGLY.encode()) == (1, "", "")
    assert fmt("--check", "-", stdin=NEAT.encode()) == (0, "", "")
    code, out, _ = fmt("--diff", "-", stdin=UGLY.encode())
    assert (code, out.splitlines()[0]) == (1, "--- <stdin> (now)")
    code, out, err = fmt("-", stdin=WRONG.encode())
    assert (code, out) == (2, "")
    assert "--> <stdin>:1:19" in err
    code, out, err = fmt("-", stdin=b"\xff")
    assert (code, out) == (3, "")
    assert err.startswith("error[recipe-not-readable]: <stdin> is not UTF-8 text (byte 0)")


def test_standard_input_goes_alone(here: Path) -> None:
    (here / "a.lotto").write_text(UGLY)
    code, _, err = fmt("-", "a.lotto")
    assert code == 2
    assert "standard input is formatted alone" in err
    assert (here / "a.lotto").read_text() == UGLY


def test_for_machines(here: Path) -> None:
    (here / "a.lotto").write_text(UGLY)
    (here / "b.lotto").write_text(WRONG)
    code, out, _ = fmt("--check", "--format", "json", ".")
    said = json.loads(out)
    assert code == said["exit_code"] == 2
    assert said["changed"] == ["a.lotto"]
    assert [d["code"] for d in said["diagnostics"]] == ["missing-equals"]


def test_quiet_says_nothing_but_errors(here: Path) -> None:
    (here / "a.lotto").write_text(UGLY)
    assert fmt("--quiet", "--check") == (1, "", "")
    assert fmt("--quiet") == (0, "", "")
    assert (here / "a.lotto").read_text() == NEAT
