"""SARIF as its schema demands it: every result has a rule, a level, a place within the file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from sarif_schema import faults
from test_gallery import CASES, folder  # noqa: F401 - a fixture

from lottoc.cli import app
from lottoc.diagnostics import Diagnostic, Label, Source, Span
from lottoc.sarif import to_sarif

WRONG = """model net { source = onnx("nett.onnx") }
# θ: a character of two bytes
ticket a { layers = all   sparsity = 50%   density = 50%   scope = globl }
ticket a { layers = all   sparsity = 50% }
param unused = 1
"""
NAME = "my recipes/wrong θ #1 50%.lotto"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(tmp_path)
    Path(NAME).parent.mkdir()
    Path(NAME).write_text(WRONG)
    run = CliRunner().invoke(app, ["check", NAME, "--format", "sarif"])
    assert run.exit_code == 2
    assert run.stderr == ""
    return json.loads(run.stdout)


def results(log: dict) -> dict[str, dict]:
    return {result["ruleId"]: result for result in log["runs"][0]["results"]}


def covered(region: dict, text: str = WRONG) -> str:
    """The characters of a region that lies in one line."""
    assert region["startLine"] == region["endLine"]
    return text.splitlines()[region["startLine"] - 1][
        region["startColumn"] - 1 : region["endColumn"] - 1
    ]


def test_the_log_is_of_its_schema(log: dict) -> None:
    assert list(faults(log)) == []
    assert "sarif" in log["$schema"]
    assert log["runs"][0]["columnKind"] == "unicodeCodePoints"
    assert log["runs"][0]["tool"]["driver"]["name"] == "lottoc"


def test_the_schema_is_no_rubber_stamp(log: dict) -> None:
    result = log["runs"][0]["results"][0]
    place = result["locations"][0]["physicalLocation"]
    place["artifactLocation"]["uri"] = NAME
    place["region"]["startLine"] = 0
    result["level"] = "fatal"
    result["hint"] = ""
    del result["message"]
    assert len(list(faults(log))) == 5


def test_every_result_has_its_rule(log: dict) -> None:
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    for rule in rules:
        assert rule["help"]["text"].startswith(rule["id"])
        assert rule["help"]["markdown"]


def test_places(log: dict) -> None:
    found = results(log)
    assert found.keys() == {"model-not-found", "duplicate-name"}
    for result in found.values():
        for place in (*result["locations"], *result.get("relatedLocations", ())):
            uri = place["physicalLocation"]["artifactLocation"]["uri"]
            assert unquote(uri) == NAME
    (place,) = found["model-not-found"]["locations"]
    assert covered(place["physicalLocation"]["region"]) == 'onnx("nett.onnx")'
    assert "nett.onnx" in found["model-not-found"]["message"]["text"]
    (place,) = found["duplicate-name"]["locations"]
    assert place["message"]["text"] == "named again here"
    assert place["physicalLocation"]["region"]["startLine"] == 4
    (place,) = found["duplicate-name"]["relatedLocations"]
    assert place["message"]["text"] == "first named here"
    assert covered(place["physicalLocation"]["region"]) == "a"


def edited(text: str, result: dict) -> list[str]:
    """The text after each of the fixes of a result; all of them lie in one line."""
    lines, after = text.splitlines(keepends=True), []
    for fix in result.get("fixes", ()):
        (change,) = fix["artifactChanges"]
        (replacement,) = change["replacements"]
        region = replacement["deletedRegion"]
        assert region["startLine"] == region["endLine"]
        number, start, end = region["startLine"] - 1, region["startColumn"], region["endColumn"]
        line = lines[number]
        line = line[: start - 1] + replacement["insertedContent"]["text"] + line[end - 1 :]
        after.append("".join([*lines[:number], line, *lines[number + 1 :]]))
    return after


MODEL = 'model net { source = onnx("net.onnx") }\n'


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (
            "ticket t { layers = linaer   sparsity = 50% }",
            "ticket t { layers = linear   sparsity = 50% }",
        ),
        (
            "ticket t { layers = linear   pattern = 2:4 }",
            'ticket t { layers = linear - "head"   pattern = 2:4 }',
        ),
        (
            "ticket t { layers = all   sparsity = 90 }",
            "ticket t { layers = all   sparsity = 90% }",
        ),
        ("ticket t { layers all   sparsity = 90% }", "ticket t { layers = all   sparsity = 90% }"),
        (
            'ticket t { layers = "fc1"   pattern = 2:4   sparsity = 50% }',
            'ticket t { layers = "fc1"   pattern = 2:4   }',
        ),
        (
            "ticket t { layers = all   sparsity = 50% }\nrequire t.sparsity >= 45",
            "ticket t { layers = all   sparsity = 50% }\nrequire t.sparsity >= 45%",
        ),
    ],
)
def test_fixes_fix(wrong: str, right: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.chdir(folder)
    text = f"# θ\n{MODEL}{wrong}\n"
    Path("fix.lotto").write_text(text)
    run = CliRunner().invoke(app, ["check", "fix.lotto", "--format", "sarif", "--store", "s"])
    log = json.loads(run.stdout)
    assert list(faults(log)) == []
    (result,) = log["runs"][0]["results"]
    assert edited(text, result) == [f"# θ\n{MODEL}{right}\n"]
    Path("fix.lotto").write_text(f"# θ\n{MODEL}{right}\n")
    again = CliRunner().invoke(app, ["check", "fix.lotto", "--format", "sarif", "--store", "s"])
    assert json.loads(again.stdout)["runs"][0]["results"] == []


def test_every_wrong_recipe_of_the_gallery(
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    for case in CASES:
        Path("r.lotto").write_text(case.values[2])
        arguments = ["check", "r.lotto", "--format", "sarif", "--store", "s", "--load-models"]
        run = CliRunner().invoke(app, arguments)
        assert run.exit_code in (0, 2, 3), case.id
        log = json.loads(run.stdout)
        assert list(faults(log)) == [], case.id
        assert log["runs"][0]["results"], case.id


@pytest.mark.parametrize("arguments", [["-D", "x=1"], ["-D", "amount=)"]])
def test_a_value_of_the_command_line_is_in_no_file(
    arguments: list[str],
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    Path("d.lotto").write_text(f"param amount = 50%\n{MODEL}")
    run = CliRunner().invoke(app, ["check", "d.lotto", "--format", "sarif", *arguments])
    assert run.exit_code == 2
    log = json.loads(run.stdout)
    assert list(faults(log)) == []
    assert all("locations" not in result for result in log["runs"][0]["results"])


def test_no_finding_is_an_empty_run(tmp_path: Path) -> None:
    (tmp_path / "empty.lotto").write_text("")
    run = CliRunner().invoke(app, ["check", str(tmp_path / "empty.lotto"), "--format", "sarif"])
    assert run.exit_code == 0
    log = json.loads(run.stdout)
    assert list(faults(log)) == []
    assert log["runs"][0]["results"] == []


TEXTS = st.text(st.sampled_from("aé θ\U0001f9e0\t\n\r=%#"), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(
    st.text(min_size=1, max_size=20).filter(lambda name: "\0" not in name),
    TEXTS,
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.text(max_size=5)), max_size=3),
    st.lists(TEXTS, max_size=2),
    st.none() | TEXTS,
)
def test_any_diagnostic_is_written(
    name: str,
    text: str,
    places: list[tuple[int, int, str]],
    help: list[str],
    file: str | None,
) -> None:
    source = Source(name, text)
    labels = tuple(
        Label(Span(source, min(a, b, len(text)), min(max(a, b), len(text))), said)
        for a, b, said in places
    )
    found = [Diagnostic("nm-axis", text, labels, tuple(help), "note", file)] * 2
    log = to_sarif([*found, Diagnostic("never-heard-of", text)])
    assert list(faults(json.loads(json.dumps(log)))) == []
    assert [result["ruleIndex"] for result in log["runs"][0]["results"]] == [1, 1, 0]
