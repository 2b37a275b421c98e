"""The verifier notices what is wrong, and damaged or hostile files are refused."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fx_networks import Mlp, network, sample, two_of_four
from typer.testing import CliRunner

import lottoc
from lottoc.backends.fx.contents import check_alone, inspect
from lottoc.backends.fx.emit import emit
from lottoc.backends.fx.verify import verify
from lottoc.cli import app
from lottoc.diagnostics import InputError, LottoError
from lottoc.runtime import NotCompiled

FORMATS = ("dense", "masked", "csr", "semi_structured")


@pytest.fixture(params=FORMATS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "m.pt2"
    emit(network(Mlp), path, sample(Mlp), format=request.param)
    return path, request.param


def changed(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The same archive with other contents, as torch stores it."""
    other = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return other


def test_another_mask_is_noticed(written: tuple[Path, str]) -> None:
    path, _ = written
    flipped = network(Mlp, lambda layer: two_of_four(layer)[::-1].copy())
    with pytest.raises(LottoError, match=r'layer "first": \d+ of 512 weights differ') as error:
        verify(path, flipped, sample(Mlp))
    assert error.value.diagnostics[0].code == "verify-failed"


def test_another_bias_is_noticed(written: tuple[Path, str]) -> None:
    path, _ = written
    other = network(Mlp)
    with torch.no_grad():
        other.module.first.bias += 1e-3
    with pytest.raises(LottoError, match=r'"first\.bias" is not what it is in the model'):
        verify(path, other, sample(Mlp))


def test_other_behaviour_is_noticed(tmp_path: Path) -> None:
    """Weights are equal here; only running the file shows the difference."""
    path = tmp_path / "m.pt2"
    emit(network(Mlp), path, sample(Mlp), format="csr")
    other = network(Mlp)
    other.module.norm.eps = 1e-2
    with pytest.raises(LottoError, match="output 0 is off by"):
        verify(path, other, sample(Mlp))


def test_a_changed_byte_is_noticed(written: tuple[Path, str]) -> None:
    path, _ = written
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = next(i for i in archive.infolist() if i.filename.endswith("weight_0"))
    name, extra = struct.unpack_from("<HH", content, info.header_offset + 26)
    content[info.header_offset + 30 + name + extra + 2] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(LottoError) as error:
        verify(path, network(Mlp), sample(Mlp))
    assert error.value.diagnostics[0].code == "verify-failed"


def test_more_weights_than_were_written_are_noticed_in_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    emit(network(Mlp), path, sample(Mlp), format="dense")
    assert check_alone(path).layers == 3

    def fill(name: str, content: bytes) -> bytes:
        if "/weights/weight_" in name and len(content) == 16 * 32 * 4:
            return np.ones(16 * 32, np.float32).tobytes()
        return content

    with pytest.raises(InputError, match='layer "first" holds 512 weights') as error:
        check_alone(changed(path, fill))
    assert error.value.diagnostics[0].code == "artefact-invalid"


@pytest.mark.parametrize("length", [0, 10, 5000, -1])
def test_cut_files(length: int, tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    emit(network(Mlp), path, sample(Mlp), format="masked")
    path.write_bytes(path.read_bytes()[:length])
    for refused in (inspect, check_alone):
        with pytest.raises(InputError) as error:
            refused(path)
        assert error.value.diagnostics[0].code == "fx-invalid"


def test_files_of_others(tmp_path: Path) -> None:
    path = tmp_path / "other.pt2"
    program = torch.export.export(torch.nn.Linear(4, 4), (torch.zeros(2, 4),))
    torch.export.save(program, path)
    with pytest.raises(NotCompiled, match="was not written by lottoc"):
        lottoc.load(path)
    with pytest.raises(InputError, match="was not written by lottoc"):
        inspect(path)
    with pytest.raises(InputError, match="cannot read the model"):
        inspect(tmp_path / "none.pt2")


@pytest.mark.parametrize("note", [b"[]", b"{}", b'{"layers": [3]}', b'{"layers": [{"name": 1}]}'])
def test_damaged_notes(note: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    emit(network(Mlp), path, sample(Mlp), format="masked")
    other = changed(path, lambda name, content: note if "lottoc.json" in name else content)
    with pytest.raises(InputError) as error:
        inspect(other)
    assert error.value.diagnostics[0].code == "fx-invalid"


class Trap:
    """Unpickling it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = str(trace)

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.trace, "w")


def test_a_pickled_weight_is_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    emit(network(Mlp), path, sample(Mlp), format="masked")
    pickled = io.BytesIO()
    torch.save(Trap(tmp_path / "trace"), pickled)

    def poison(name: str, content: bytes) -> bytes:
        if name.endswith("model_weights_config.json"):
            return content.replace(b'"use_pickle": false', b'"use_pickle": true')
        return pickled.getvalue() if "/weights/weight_" in name else content

    other = changed(path, poison)
    torch.load(io.BytesIO(pickled.getvalue()), weights_only=False)
    assert (tmp_path / "trace").exists()  # the trap works
    (tmp_path / "trace").unlink()
    with pytest.raises(NotCompiled, match="as a pickled object"):
        lottoc.load(other)
    assert not (tmp_path / "trace").exists()


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_commands(tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    emit(network(Mlp), path, sample(Mlp), format="semi_structured")
    code, out, _ = run("inspect", path)
    assert code == 0
    assert out.splitlines()[1].split()[:3] == ["first", "32×16", "semi_structured"]
    assert "2:4" in out
    code, out, _ = run("verify", path)
    assert code == 0
    assert "3 pruned layers as written; torch loads and runs it" in out
    dense = tmp_path / "dense.pt2"
    emit(network(Mlp), dense, sample(Mlp), format="dense")
    code, out, err = run("bench", path, "--against", dense, "--batch", "1,4", "--samples", "2")
    assert code == 0, err
    assert [line.split()[:2] for line in out.splitlines()[2:]] == [["1", "1"], ["4", "1"]]


def test_bench_says_what_cannot_be_compared(tmp_path: Path) -> None:
    from fx_networks import Attention

    emit(network(Mlp), tmp_path / "a.pt2", sample(Mlp), format="dense")
    emit(network(Attention), tmp_path / "b.pt2", sample(Attention), format="dense")
    code, _, err = run("bench", tmp_path / "a.pt2", "--against", tmp_path / "b.pt2")
    assert code == 3
    assert "error[bench-mismatch]: a.pt2 takes examples of [16]" in err
    (tmp_path / "a.pt2").write_bytes(b"nothing")
    code, _, err = run("bench", tmp_path / "a.pt2", "--against", tmp_path / "b.pt2")
    assert code == 3
    assert "error[fx-invalid]" in err
