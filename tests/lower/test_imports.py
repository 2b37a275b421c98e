"""`import`: blocks of other files, by name, with their own places and paths."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1]))

from onnx_toys import build

from lottoc.cli import app
from lottoc.diagnostics import Findings, InputError, LottoError, RecipeError, render
from lottoc.engine.store import Store
from lottoc.front import Request, front
from lottoc.lower.program import Program

PRESETS = sorted((Path(__file__).parents[2] / "examples" / "presets").glob("*.lotto"))
MODEL = 'model net { source = onnx("net.onnx") }\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    build("gemm", 32, 24).save(tmp_path, "net.onnx")
    return tmp_path


def check(folder: Path, **files: str) -> tuple[Program, Findings]:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.lotto"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    findings = Findings()
    _, program = front(Request(Path("main.lotto"), Store(folder / "s")), findings, deep=True)
    return program, findings


def said(folder: Path, kind: type[LottoError] = RecipeError, **files: str) -> str:
    with pytest.raises(kind) as caught:
        check(folder, **files)
    return "\n".join(render(d) for d in caught.value.diagnostics)


def test_blocks_come_in_by_name(folder: Path) -> None:
    program, findings = check(
        folder,
        main='import "tickets.lotto"\n' + MODEL + 'emit onnx "o.onnx" { ticket = half }\n',
        tickets="ticket half { layers = all   sparsity = amount }\nparam amount = 50%\n",
    )
    assert program.tickets["half"].found
    assert [d.code for d in findings.diagnostics] == []


def test_what_is_not_used_is_not_found_and_not_checked(folder: Path) -> None:
    program, findings = check(
        folder,
        main='import "t.lotto"\n' + MODEL + "ticket mine { like = b   sparsity = 70% }\n",
        t="ticket a { layers = conv   sparsity = 50% }\n"
        "ticket b { layers = all   sparsity = 60%  }\n"
        "training idle { optimizer = sgd(lr = 1)   batch = 1   length = 1 steps }\n",
    )
    assert set(program.tickets) == {"dense", "b", "mine"}
    assert findings.diagnostics == []


def test_paths_are_relative_to_their_own_file(folder: Path) -> None:
    build("gemm", 16, 8).save(folder, "moved.onnx")
    (folder / "lib").mkdir()
    (folder / "moved.onnx").rename(folder / "lib" / "net.onnx")
    program, _ = check(
        folder,
        main='import "lib/model.lotto"\nticket t { layers = all   sparsity = 50% }\n',
        lib__model=MODEL,
    )
    assert program.models["net"].path == Path("lib/net.onnx")


def test_imports_nest_and_a_diamond_is_read_once(folder: Path) -> None:
    program, _ = check(
        folder,
        main='import "a.lotto"\nimport "b.lotto"\nticket t { like = left   sparsity = 90% }\n'
        "ticket u { like = right   sparsity = 90% }\n",
        a='import "base.lotto"\nticket left { layers = all   sparsity = 10% }\n',
        b='import "base.lotto"\nticket right { layers = all   sparsity = 20% }\n',
        base=MODEL,
    )
    assert set(program.tickets) == {"dense", "left", "right", "t", "u"}
    assert [Path(s.name).name for s in program.imports] == ["a.lotto", "base.lotto", "b.lotto"]


def test_a_cycle_is_named(folder: Path) -> None:
    text = said(
        folder, main='import "a.lotto"\n' + MODEL, a='import "b.lotto"\n', b='import "a.lotto"\n'
    )
    assert "error[cyclic-import]: a.lotto imports itself: a.lotto → b.lotto → a.lotto" in text
    assert "--> b.lotto:1:8" in text


def test_a_recipe_that_others_import_back_is_read_once(folder: Path) -> None:
    text = said(folder, main='import "a.lotto"\n' + MODEL, a='import "main.lotto"\n')
    assert "main.lotto imports itself: main.lotto → a.lotto → main.lotto" in text
    assert text.count("error[") == 1


def test_the_importers_param_wins_and_d_sets_imported_ones(folder: Path) -> None:
    files = {
        "main": 'import "t.lotto"\nparam amount = 30%\n' + MODEL + "require half.params > 9\n",
        "t": "param amount = 50%\nparam other = 1\n"
        "ticket half { layers = all   sparsity = amount }\n",
    }
    program, _ = check(folder, **files)
    assert program.tickets["half"].found
    assert float(program.tickets["half"].found.density) == pytest.approx(0.7)
    run = CliRunner().invoke(app, ["check", "main.lotto", "-D", "other=2"])
    assert run.exit_code == 0


def test_a_name_given_twice_shows_both_places(folder: Path) -> None:
    ticket = "ticket half { layers = all   sparsity = 50% }\n"
    text = said(folder, main='import "t.lotto"\n' + MODEL + ticket, t=MODEL + ticket)
    assert 'error[duplicate-name]: the name "net" is taken' in text
    assert "main.lotto:2:7" in text
    assert "t.lotto" in text or "first named here" in text


def test_mistakes_show_the_file_they_are_in(folder: Path) -> None:
    text = said(
        folder,
        main='import "t.lotto"\n' + MODEL + "require half.sparsity > 0.1\n",
        t="\nticket half { layers = all   sparsty = 50% }\n",
    )
    assert "--> t.lotto:2:30" in text
    assert "ticket half { layers = all   sparsty = 50% }" in text
    text = said(folder, main='import "t.lotto"\n', t="ticket {\n")
    assert "--> t.lotto:1:8" in text


@pytest.mark.parametrize("name", ["none.lotto", ".", "bytes.lotto"])
def test_files_that_cannot_be_read(folder: Path, name: str) -> None:
    (folder / "bytes.lotto").write_bytes(b"\xff\xfe\x00")
    text = said(folder, InputError, main=f'import "{name}"\n' + MODEL)
    assert "error[recipe-not-readable]" in text
    assert "--> main.lotto:1:8" in text


def test_the_report_holds_the_hashes_of_imports(folder: Path) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "t.lotto").write_text("ticket most { like = half   sparsity = 90% }\n")
    (folder / "t.lotto").write_text('import "lib/t.lotto"\nimport "presets/onnx.lotto"\n')
    (folder / "main.lotto").write_text(
        'import "t.lotto"\n' + MODEL + 'emit onnx "o.onnx" { ticket = half }\n'
    )
    run = CliRunner().invoke(app, ["compile", "main.lotto", "-q", "-o", "out", "--store", "s"])
    assert run.exit_code == 0, run.stderr
    report = json.loads((folder / "out" / "report.json").read_text())
    files = {"t.lotto", "lib/t.lotto"}
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
    shipped = next(path for path in PRESETS if path.name == "onnx.lotto").read_bytes()
    hashes["presets/onnx.lotto"] = hashlib.sha256(shipped).hexdigest()
    assert report["recipe"]["imports"] == hashes


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_block_of_a_shipped_preset_is_good(preset: Path, folder: Path) -> None:
    import re

    text = preset.read_text()
    tickets = re.findall(r"^ticket (\w+)", text, re.M)
    uses = "".join(f'emit onnx "{name}.onnx" {{ ticket = {name} }}\n' for name in tickets)
    main = f'import "presets/{preset.name}"\n{MODEL}{uses}'
    if not tickets:
        main = f'import "presets/{preset.name}"\nmodel net {{ source = torch("net.py:net") }}\n'
        main += 'data d { train = npz("d.npz", x = "x", y = "y") }\n'
        for name in re.findall(r"^training (\w+)", text, re.M):
            main += f"ticket t_{name} {{ layers = all   sparsity = 50%   training = {name}\n"
            main += "  method = imp(rounds = 2) }\n"
        net = "import torch\ndef net():\n    return torch.nn.Sequential(torch.nn.Linear(4, 4))\n"
        (folder / "net.py").write_text(net)
    (folder / "main.lotto").write_text(main)
    run = CliRunner().invoke(app, ["check", "main.lotto", "--load-models", "--store", "s"])
    assert run.exit_code == 0, run.stderr
    assert "warning" not in run.stderr
