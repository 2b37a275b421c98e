"""Swap files: onnxruntime makes of a core what each file says, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_toys import CONV, LINEAR, Toy, build, random_mask, run

from lottoc.backends.onnx import Other, emit_core, inspect, verify_core
from lottoc.backends.onnx.alone import check_alone
from lottoc.backends.onnx.run import Job, _swapped, do
from lottoc.backends.onnx.swap import swap_path
from lottoc.diagnostics import InputError, LottoError
from lottoc.frontends.onnx_model import open_onnx

FORMATS = ("dense", "sparse", "packed", "auto")


def family(
    toy: Toy, density: float, extra: tuple[float, ...], folder: Path
) -> tuple[np.ndarray, list[tuple[np.ndarray, onnx.ModelProto]]]:
    """A core mask; tickets that keep more, with weights of their own where the core keeps none."""
    core = random_mask(toy.shape, density)
    own = open_onnx(toy.save(folder)).layer(toy.layer)
    found = []
    for seed, share in enumerate(extra, start=1):
        draw = np.random.default_rng(seed)
        mask = core | (draw.random(toy.shape) < share)
        other = draw.normal(size=toy.shape).astype(own.dtype)
        weight = np.where(core, own, other)
        found.append((mask, toy.masked(np.ones(toy.shape, np.bool_), weight)))
    return core, found


def write(
    toy: Toy,
    core: np.ndarray,
    others: list[tuple[np.ndarray, onnx.ModelProto]],
    folder: Path,
    **o: str,
) -> tuple[Path, list[Other]]:
    models = []
    for number, (mask, proto) in enumerate(others):
        path = folder / f"other{number}.onnx"
        path.write_bytes(proto.SerializeToString())
        models.append(Other(open_onnx(path), {toy.layer: mask}))
    output = folder / "core.onnx"
    emit_core(open_onnx(folder / "model.onnx"), output, {toy.layer: core}, models, **o)
    return output, models


def swapped(core: Path, number: int, x: dict[str, np.ndarray]) -> np.ndarray:
    """As docs/disentangled-tickets.md says: onnxruntime and two files, nothing of lottoc."""
    options = onnxruntime.SessionOptions()
    swap = Path(f"{core}.{number}.swap").read_bytes()
    options.add_external_initializers_from_files_in_memory(
        [f"{core.name}.swap"], [swap], [len(swap)]
    )
    session = onnxruntime.InferenceSession(str(core), options)
    return np.asarray(session.run(None, x)[0])


@st.composite
def cases(draw: st.DrawFn) -> tuple[Toy, float, tuple[float, ...], str]:
    kind = draw(st.sampled_from(LINEAR + CONV))
    toy = build(
        kind, draw(st.integers(2, 13)), draw(st.integers(2, 11)), seed=draw(st.integers(0, 99))
    )
    extra = draw(st.lists(st.sampled_from([0.0, 0.05, 0.4, 1.0]), min_size=1, max_size=3))
    density = draw(st.sampled_from([0.0, 0.1, 0.5]))
    return toy, density, (*extra, 0.7), draw(st.sampled_from(FORMATS))


@given(cases())
@settings(max_examples=25, deadline=None)
def test_onnxruntime_makes_of_a_core_what_a_file_says(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[Toy, float, tuple[float, ...], str]
) -> None:
    toy, density, extra, format = case
    folder = tmp_path_factory.mktemp("case")
    core, others = family(toy, density, extra, folder)
    if all(np.array_equal(mask, core) for mask, _ in others):  # by chance, in tiny layers
        with pytest.raises(InputError, match="no specialist keeps anything"):
            write(toy, core, others, folder, format=format)
        return
    output, _ = write(toy, core, others, folder, format=format)
    x = toy.inputs[0]
    unswapped = run(toy.masked(core).SerializeToString(), x)
    np.testing.assert_allclose(run(output, x), unswapped, rtol=1e-5, atol=1e-6)
    for number, (mask, proto) in enumerate(others, start=1):
        ticket = Toy(proto, toy.weight, toy.layer, toy.shape, toy.transposed)
        expected = run(ticket.masked(mask).SerializeToString(), x)
        np.testing.assert_allclose(swapped(output, number, x), expected, rtol=1e-5, atol=1e-6)
        sizes = {swap_path(output, n).stat().st_size for n in range(len(others) + 1)}
        assert len(sizes) == 1


@pytest.mark.parametrize("format", ["dense", "packed"])
def test_it_runs_as_if_it_were_dense(format: str, tmp_path: Path) -> None:
    toy = build("gemm", 24, 40)
    core, others = family(toy, 0.1, (0.2, 0.1), tmp_path)
    output, _ = write(toy, core, others, tmp_path, format=format)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(str(output), options)
    optimized = onnx.load(tmp_path / "optimized.onnx")
    assert "ScatterElements" not in {node.op_type for node in optimized.graph.node}


def test_a_swap_file_may_take_the_place_of_the_cores_own(tmp_path: Path) -> None:
    toy = build("matmul", 6, 10)
    core, others = family(toy, 0.2, (0.3, 0.3), tmp_path)
    output, _ = write(toy, core, others, tmp_path)
    wanted = swapped(output, 2, toy.inputs[0])
    shutil.copy(swap_path(output, 2), swap_path(output))
    np.testing.assert_array_equal(run(output, toy.inputs[0]), wanted)


def test_every_ticket_is_verified_and_a_changed_weight_is_found(tmp_path: Path) -> None:
    toy = build("gemm", 12, 9)
    core, others = family(toy, 0.2, (0.3, 0.1), tmp_path)
    output, models = write(toy, core, others, tmp_path, format="packed")
    own = open_onnx(tmp_path / "model.onnx")
    assert verify_core(output, own, {toy.layer: core}).max_error == 0
    for number, other in enumerate(models, start=1):
        file = swap_path(output, number)
        assert verify_core(output, other.model, other.masks, file).trials
        good = file.read_bytes()
        bad = bytearray(good)
        bad[-1] ^= 0x40  # the last value
        file.write_bytes(bytes(bad))
        with pytest.raises(LottoError, match="differ from mask times weight"):
            verify_core(output, other.model, other.masks, file)
        file.write_bytes(good[:-1])
        with pytest.raises(LottoError, match="bytes, not"):
            verify_core(output, other.model, other.masks, file)
        file.write_bytes(good)
    with pytest.raises(LottoError, match="differ from mask times weight"):
        verify_core(output, models[0].model, models[0].masks, swap_path(output, 2))


def test_a_file_is_checked_with_what_lies_beside_it(tmp_path: Path) -> None:
    toy = build("gemm", 12, 9)
    core, others = family(toy, 0.2, (0.3, 0.1), tmp_path)
    output, _ = write(toy, core, others, tmp_path)
    assert check_alone(output).swaps == 2
    assert [layer.nonzeros for layer in inspect(output)] == [int(core.sum())]
    file = swap_path(output, 1)
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(InputError, match="is not the file that was written with it"):
        check_alone(output)
    file.unlink()
    with pytest.raises(InputError, match="is missing beside it"):
        check_alone(output)
    file.write_bytes(good)
    swap_path(output).unlink()
    with pytest.raises(InputError):
        check_alone(output)


def test_what_is_not_the_core_and_more_is_refused(tmp_path: Path) -> None:
    toy = build("gemm", 12, 9)
    core, others = family(toy, 0.5, (0.3, 0.1), tmp_path)
    for mask, weights, message in (
        (core & (np.random.default_rng(5).random(core.shape) < 0.5), others[0][1], "lacks"),
        (others[0][0], build("gemm", 12, 9, seed=3).proto, "has other weights"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            write(toy, core, [(mask, weights)], tmp_path)
        assert caught.value.diagnostics[0].code == "swap-differs"
    with pytest.raises(InputError) as caught:
        write(toy, core, [(core, others[0][1])], tmp_path)
    assert caught.value.diagnostics[0].code == "swap-empty"
    old = build("gemm", 12, 9, opset=10, ir_version=5)
    old.save(tmp_path)
    _, others = family(old, 0.5, (0.3,), tmp_path)
    with pytest.raises(InputError, match="need opset 11"):
        write(old, core, others, tmp_path)


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    toy = build("conv2d", 6, 4)
    core, others = family(toy, 0.3, (0.3, 0.2), tmp_path)
    output, _ = write(toy, core, others, tmp_path)
    files = [output, *(swap_path(output, number) for number in range(3))]
    first = [file.read_bytes() for file in files]
    write(toy, core, others, tmp_path)
    assert [file.read_bytes() for file in files] == first


def test_a_runtime_without_the_call_is_given_a_folder(tmp_path: Path) -> None:
    toy = build("gemm", 12, 9)
    core, others = family(toy, 0.2, (0.3, 0.1), tmp_path)
    output, _ = write(toy, core, others, tmp_path)
    folder = tmp_path / "job"
    folder.mkdir()
    job = Job(str(output), str(folder), "o", "run", "", f"{output.name}.swap", f"{output}.2.swap")

    class Options:
        def add_session_config_entry(self, key: str, value: str) -> None:
            options.add_session_config_entry(key, value)

    options = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(
        _swapped(Options(), job, Path(job.swap).read_bytes(), job.model), options
    )
    given = session.run(None, toy.inputs[0])[0]
    np.testing.assert_allclose(given, swapped(output, 2, toy.inputs[0]), rtol=1e-5, atol=1e-6)


def test_a_runtime_is_given_bytes_that_stay_until_it_has_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime keeps a pointer alone: bytes that are freed too early become any weights."""
    toy = build("gemm", 12, 9)
    core, others = family(toy, 0.2, (0.3, 0.1), tmp_path)
    output, _ = write(toy, core, others, tmp_path)
    freed: list[int] = []

    class Watched(bytes):
        def __del__(self) -> None:
            freed.append(len(self))

    read, make = Path.read_bytes, onnxruntime.InferenceSession
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: (Watched if ".swap" in path.name else bytes)(read(path))
    )

    def session(*arguments: object, **options: object) -> object:
        assert not freed
        return make(*arguments, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    (tmp_path / "job").mkdir()
    where = (f"{output.name}.swap", f"{output}.2.swap")
    answer = do(Job(str(output), str(tmp_path / "job"), "o", "make-up", "", *where))
    assert answer.reason == ""
    assert answer.trials
