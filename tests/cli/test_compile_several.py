"""`lottoc compile` of several recipes: folders, exit codes, one store, and what machines read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lottoc.cli import app

MODEL = 'model net { source = onnx("net-dense.onnx") }\n'
HALF = MODEL + 'ticket t { layers = all   pattern = 2:4 }\nemit onnx "t.onnx" { ticket = t }\n'
THIRD = MODEL + 'ticket t { layers = all   sparsity = 70% }\nemit onnx "t.onnx" { ticket = t }\n'


def lottoc(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def recipes(project: Path) -> Path:
    (project / "half.lotto").write_text(HALF)
    (project / "third.lotto").write_text(THIRD)
    (project / "strict.lotto").write_text(HALF + "require t.sparsity >= 90%\n")
    (project / "slip.lotto").write_text(HALF.replace("layers", "layer"))
    (project / "gone.lotto").write_text(HALF.replace("net-dense", "gone"))
    return project


def test_each_goes_to_its_own_folder_and_equals_a_compile_alone(recipes: Path) -> None:
    result = lottoc("compile", "half.lotto", "third.lotto", "-o", "out")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (recipes / "out").iterdir()) == ["half", "third"]
    for name in ("half", "third"):
        assert f"{name}.lotto:" in result.stdout
        assert lottoc("compile", f"{name}.lotto", "-o", f"alone-{name}").exit_code == 0
        for file in ("t.onnx", "report.json"):
            together = (recipes / "out" / name / file).read_bytes()
            assert together == (recipes / f"alone-{name}" / file).read_bytes()


def test_the_store_is_shared(recipes: Path) -> None:
    (recipes / "same.lotto").write_text(HALF.replace("t {", "other {").replace("= t ", "= other "))
    result = lottoc("compile", "half.lotto", "same.lotto", "-o", "out", "--format", "json")
    first, second = json.loads(result.stdout)["builds"]
    assert first["computed"] > 0
    assert second["computed"] == 0


@pytest.mark.parametrize(
    ("failing", "code"),
    [(["strict"], 1), (["slip"], 2), (["gone"], 3), (["strict", "gone", "slip"], 3)],
)
def test_the_worst_exit_code_and_nobody_is_stopped(
    failing: list[str], code: int, recipes: Path
) -> None:
    names = [failing[0], "half", *failing[1:], "third"]
    result = lottoc("compile", *[f"{name}.lotto" for name in names], "-o", "out")
    assert result.exit_code == code, result.output
    assert sorted(p.parent.name for p in recipes.glob("out/*/t.onnx")) == ["half", "third"]
    for name in failing:
        assert f"{name}.lotto: failed" in result.stdout
        assert f"{name}.lotto:" in result.stderr
    assert not (recipes / "out" / "t.onnx").exists()


def test_a_fault_of_lottoc_stops_nobody(recipes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lottoc.driver

    real = lottoc.driver.compile_recipe

    def faulty(request, folder, findings):  # type: ignore[no-untyped-def]
        if request.recipe.stem == "half":
            raise ZeroDivisionError("oops")
        return real(request, folder, findings)

    monkeypatch.delenv("LOTTOC_TRACEBACK", raising=False)
    monkeypatch.setattr(lottoc.driver, "compile_recipe", faulty)
    result = CliRunner().invoke(app, ["compile", "half.lotto", "third.lotto", "-o", "out"])
    assert result.exit_code == 4
    assert "error[internal]: half.lotto: ZeroDivisionError: oops" in result.stderr
    assert (recipes / "out" / "third" / "t.onnx").exists()


def test_two_of_one_name_are_refused_before_anything_is_made(recipes: Path) -> None:
    (recipes / "sub").mkdir()
    (recipes / "sub" / "half.lotto").write_text(HALF)
    result = lottoc("compile", "half.lotto", "sub/half.lotto", "-o", "out")
    assert result.exit_code == 2
    assert "error[same-output]" in result.stderr
    assert not (recipes / "out").exists()


def test_json_lists_artefacts_with_bytes_and_digest(recipes: Path) -> None:
    names = ["half.lotto", "gone.lotto"]
    result = lottoc("compile", *names, "-o", "out", "--format", "json")
    answer = json.loads(result.stdout)
    assert answer["exit_code"] == result.exit_code == 3
    half, gone = answer["builds"]
    assert gone == {"recipe": "gone.lotto", "exit_code": 3}
    (artefact,) = half["artefacts"]
    content = Path(artefact["path"]).read_bytes()
    assert artefact["path"] == "out/half/t.onnx"
    assert artefact["bytes"] == len(content)
    assert artefact["sha256"] == hashlib.sha256(content).hexdigest()
    alone = json.loads(lottoc("compile", "half.lotto", "--format", "json").stdout)
    assert alone["artefacts"][0]["sha256"] == artefact["sha256"]


def test_verbose_tells_of_every_result(recipes: Path) -> None:
    first = lottoc("compile", "half.lotto", "-v", "--format", "json")
    lines = first.stderr.splitlines()
    assert (
        len([x for x in lines if x.startswith("computed")]) == json.loads(first.stdout)["computed"]
    )
    assert not [x for x in lines if x.startswith("reused")]
    assert any("keep fc1  half.lotto:2:8" in x for x in lines)
    again = lottoc("compile", "half.lotto", "-v")
    lines = again.stderr.splitlines()
    assert [x for x in lines if x.startswith("reused")]
    assert not [x for x in lines if x.startswith("computed")]
    assert "reused" not in lottoc("compile", "half.lotto").stderr


def test_check_of_several_checks_each(recipes: Path) -> None:
    names = ["slip.lotto", "half.lotto", "gone.lotto", "third.lotto"]
    result = lottoc("check", *names)
    assert result.exit_code == 3
    assert "half.lotto: 1 ticket" in result.stdout
    assert "third.lotto: 1 ticket" in result.stdout
    assert "slip.lotto:2" in result.stderr
    assert "gone.lotto:1" in result.stderr
    answer = json.loads(lottoc("check", *names, "--format", "json").stdout)
    assert [r["exit_code"] for r in answer["recipes"]] == [2, 0, 3, 0]
    assert {d["labels"][0]["file"] for d in answer["diagnostics"]} == {"slip.lotto", "gone.lotto"}
    alone = json.loads(lottoc("check", "half.lotto", "--format", "json").stdout)
    assert alone["tickets"] == ["dense", "t"]


def test_warnings_that_fail_the_run_say_so_in_json(recipes: Path) -> None:
    (recipes / "idle.lotto").write_text("param unused = 1\n" + HALF)
    for command in ("check", "compile"):
        result = lottoc(command, "idle.lotto", "--werror", "--format", "json")
        assert result.exit_code == 2
        assert json.loads(result.stdout)["exit_code"] == 2
