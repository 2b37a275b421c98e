"""`lottoc compile` from the outside: artefacts, report, exit codes, reuse, resumption."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from lottoc.cli import app


def lottoc(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def outputs(path: Path, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {session.get_inputs()[0].name: x})
    return np.asarray(result)


def test_a_trained_ticket_end_to_end(project: Path) -> None:
    result = lottoc("compile", "trained.lotto", "-o", "out")
    assert result.exit_code == 0, result.output
    for name in ("dense", "winning", "random_init", "signs", "shuffled"):
        assert name in result.output
    report = json.loads((project / "out" / "report.json").read_text())
    winning = report["tickets"]["winning"]
    assert winning["weights"] == 16 * 32 + 32 * 16
    assert winning["kept"] == 1024 - (1024 * 4) // 5
    assert [m["moment"] for m in winning["moments"]] == ["round 1", "round 2", "round 3"]
    sparsities = [m["sparsity"] for m in winning["moments"]]
    assert sparsities == sorted(sparsities)
    (artefact,) = report["artefacts"]
    content = (project / "out" / "net.onnx").read_bytes()
    assert artefact["sha256"] == hashlib.sha256(content).hexdigest()
    assert artefact["bytes"] == len(content)
    # the accuracy in the report is the accuracy of the file that is shipped
    data = np.load(project / "blobs.npz")
    right = outputs(project / "out" / "net.onnx", data["x_test"]).argmax(1) == data["y_test"]
    assert right.mean() == pytest.approx(winning["metrics"]["accuracy"])
    # controls keep the ticket's counts, layer by layer
    for control in ("random_init", "signs", "shuffled"):
        kept = [layer["kept"] for layer in report["tickets"][control]["layers"]]
        assert kept == [layer["kept"] for layer in winning["layers"]]


def test_the_second_compile_trains_nothing_and_gives_the_same_bytes(project: Path) -> None:
    assert lottoc("compile", "trained.lotto", "-o", "a").exit_code == 0
    again = lottoc("compile", "trained.lotto", "-o", "b")
    assert "all results reused" in again.output
    fresh = lottoc("compile", "trained.lotto", "-o", "c", "--store", "other-store")
    assert "trainings" in fresh.output
    assert contents(project / "a") == contents(project / "b") == contents(project / "c")


def test_renaming_a_ticket_finds_its_results_again(project: Path) -> None:
    assert lottoc("compile", "trained.lotto", "-o", "a").exit_code == 0
    text = (project / "trained.lotto").read_text().replace("winning", "golden")
    (project / "renamed.lotto").write_text(text)
    assert "all results reused" in lottoc("compile", "renamed.lotto", "-o", "b").output


def test_changing_the_target_reuses_the_dense_training(project: Path) -> None:
    assert lottoc("compile", "trained.lotto", "-o", "a").exit_code == 0
    result = lottoc("compile", "trained.lotto", "-o", "b", "-D", "target=50%")
    assert result.exit_code == 0
    # three rounds and three controls; θ_10 and the dense training are found
    assert "6 of them trainings" in result.output


def test_onnx_in_onnx_out(project: Path) -> None:
    result = lottoc("compile", "pruned.lotto", "-o", "out")
    assert result.exit_code == 0, result.output
    x = np.random.default_rng(5).normal(size=(7, 16)).astype(np.float32)
    half = outputs(project / "out" / "half.onnx", x)
    np.testing.assert_array_equal(half, outputs(project / "out" / "sparse.onnx", x))
    assert not np.allclose(half, outputs(project / "net-dense.onnx", x))
    report = json.loads((project / "out" / "report.json").read_text())
    layers = report["tickets"]["half"]["layers"]
    assert {layer["pattern"] for layer in layers} == {"2:4"}
    assert {layer["sparsity"] for layer in layers} == {0.5}
    assert report["artefacts"][0]["layers"][0]["format"] == "packed"


def test_onnx_in_onnx_out_needs_no_torch(project: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from lottoc.cli import app; "
        "app(['compile', 'pruned.lotto', '-o', 'out'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (project / "out" / "half.onnx").exists()


def test_check_is_quick_and_loads_no_torch(project: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['onnxruntime'] = None;"
        "from lottoc.cli import app; app(['check', 'trained.lotto'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "layers-unknown" in done.stderr  # nobody has loaded the model yet


def test_check_knows_a_torch_models_layers_once_they_have_been_seen(project: Path) -> None:
    text = (project / "trained.lotto").read_text().replace('"4"', '"5"')
    (project / "wrong.lotto").write_text(text)
    assert lottoc("check", "wrong.lotto").exit_code == 0
    assert lottoc("check", "wrong.lotto", "--load-models").exit_code == 2
    assert lottoc("check", "wrong.lotto").exit_code == 2


def test_a_failed_require_exits_1_names_both_values_and_writes_nothing(project: Path) -> None:
    text = (project / "pruned.lotto").read_text() + "\nrequire half.sparsity > 60%\n"
    (project / "hard.lotto").write_text(text)
    result = lottoc("compile", "hard.lotto", "-o", "out")
    assert result.exit_code == 1
    assert "require-failed" in result.stderr
    assert "0.5 > 0.6" in result.stderr
    assert not (project / "out").exists()


def test_a_failed_build_keeps_the_artefacts_of_the_last_good_one(project: Path) -> None:
    assert lottoc("compile", "pruned.lotto", "-o", "out").exit_code == 0
    before = contents(project / "out")
    text = (project / "pruned.lotto").read_text() + "\nrequire half.sparsity > 60%\n"
    (project / "pruned.lotto").write_text(text)
    assert lottoc("compile", "pruned.lotto", "-o", "out").exit_code == 1
    assert contents(project / "out") == before


BAD = {
    "a missing recipe": ("nothing.lotto", None, 3, "recipe-not-readable"),
    "a folder": (".", None, 3, "recipe-not-readable"),
    "a syntax error": ("r.lotto", "ticket half { layers = }", 2, "missing-value"),
    "an unknown name": (
        "r.lotto",
        'model m { source = onnx("net-dense.onnx") }\nticket t { layers = all criterion = x }',
        2,
        "unknown-name",
    ),
    "missing data": (
        "r.lotto",
        'model m { source = torch("net.py:net") }\ndata d { train = npz("no.npz") }\n'
        "training t { optimizer = sgd(lr = 0.1) batch = 10 length = 10 steps }\n"
        "ticket w { layers = all sparsity = 50% }",
        3,
        "data-not-found",
    ),
    "a pickle": (
        "r.lotto",
        'model m { source = torch("net.py:net") }\n'
        'data d { train = npz("pickle.npz", x = "x", y = "y") }\n'
        "training t { optimizer = sgd(lr = 0.1) batch = 10 length = 10 steps }\n"
        "ticket w { layers = all sparsity = 50% }\n"
        'emit onnx "w.onnx" { ticket = w }',
        3,
        "npz-object-array",
    ),
    "a wrong shape": (
        "r.lotto",
        'model m { source = torch("net.py:net") }\n'
        'data d { train = npz("wide.npz", x = "x", y = "y") }\n'
        "training t { optimizer = sgd(lr = 0.1) batch = 10 length = 10 steps }\n"
        "ticket w { layers = all sparsity = 50% }\n"
        'emit onnx "w.onnx" { ticket = w }',
        3,
        "model-data-shape",
    ),
    "a layer that must collapse": (
        "r.lotto",
        'model m { source = onnx("net-dense.onnx") }\n'
        "ticket w { layers = all scope = layerwise density = 0 }\n"
        'emit onnx "w.onnx" { ticket = w }',
        2,
        "layer-collapse",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_a_coded_error(project: Path, case: str) -> None:
    name, text, code, diagnostic = BAD[case]
    np.savez(project / "pickle.npz", x=np.array([{}], dtype=object), y=np.zeros(1, np.int64))
    np.savez(project / "wide.npz", x=np.zeros((20, 17), np.float32), y=np.zeros(20, np.int64))
    if text is not None:
        (project / name).write_text(text)
    result = lottoc("compile", name, "-o", "out")
    assert result.exit_code == code, result.output
    assert f"error[{diagnostic}]" in result.stderr
    assert "Traceback" not in result.output
    assert not list(project.glob("out/*"))


def test_json_output_is_json_alone(project: Path) -> None:
    result = lottoc("compile", "pruned.lotto", "-o", "out", "--format", "json")
    found = json.loads(result.stdout)
    assert found["exit_code"] == 0
    assert found["diagnostics"] == []
    (project / "r.lotto").write_text("tickt x { }")
    found = json.loads(lottoc("check", "r.lotto", "--format", "json").stdout)
    assert found["exit_code"] == 2
    assert found["diagnostics"][0]["labels"][0]["line"] == 1


def test_an_output_folder_that_cannot_be_written(project: Path) -> None:
    (project / "out").write_text("a file stands here")
    result = lottoc("compile", "pruned.lotto", "-o", "out")
    assert result.exit_code == 3
    assert "output-not-writable" in result.stderr
    assert (project / "out").read_text() == "a file stands here"


def test_ir_of_both_stages_round_trips(project: Path) -> None:
    from lottoc.ir.text import from_text, to_text

    for stage, word in (("recipe", "lotto.find"), ("masks", "mask.keep_global")):
        text = lottoc("ir", "--stage", stage, "trained.lotto").stdout
        assert word in text
        assert to_text(from_text(text)) == text


def test_rewinding_is_the_reuse_of_one_value(project: Path) -> None:
    """Three rounds start from one θ_10, and the dense training is the ticket's first."""
    lines = lottoc("ir", "--stage", "masks", "trained.lotto").stdout.splitlines()
    trains = [line.split() for line in lines if "lotto.train" in line]
    starts = [t[3] for t in trains if t[t.index("from") + 1] == "10"]
    assert len(trains) == 1 + 1 + 3 + 3
    assert starts.count(starts[0]) == 5  # dense, three rounds, and the shuffled control


def test_killed_at_random_moments_it_goes_on(project: Path) -> None:
    """SIGKILL while training and, with everything trained, while writing."""
    assert lottoc("compile", "trained.lotto", "-o", "whole", "--store", "s1").exit_code == 0
    expected = contents(project / "whole")
    draw = random.Random(1)
    command = [sys.executable, "-m", "lottoc.cli", "compile", "trained.lotto", "-q", "-o", "out"]
    for _ in range(4):
        process = subprocess.Popen(command, start_new_session=True)
        time.sleep(draw.uniform(1.5, 6.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        visible = (p for p in (project / "out").glob("*") if not p.name.startswith("."))
        seen = {p.name: p.read_bytes() for p in visible}
        assert all(expected[name] == content for name, content in seen.items())
    assert subprocess.run(command, check=False).returncode == 0
    assert contents(project / "out") == expected  # nothing half-written, nothing left over


def test_werror_and_quiet(project: Path) -> None:
    text = "param unused = 3\n" + (project / "pruned.lotto").read_text()
    (project / "r.lotto").write_text(text)
    assert lottoc("check", "r.lotto").exit_code == 0
    assert lottoc("check", "r.lotto", "--werror").exit_code == 2
    assert lottoc("check", "r.lotto", "-q").output == ""


def test_define_must_name_a_param(project: Path) -> None:
    result = lottoc("check", "trained.lotto", "-D", "tarjet=90%")
    assert result.exit_code == 2
    assert 'did you mean "target"?' in result.stderr
