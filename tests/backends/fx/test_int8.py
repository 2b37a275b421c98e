"""2:4 weights in int8: packed as torch packs them, computed as the definition says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fx_networks import LINEAR, Mlp, network, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import lottoc
from lottoc.backends.fx import verify as verifier
from lottoc.backends.fx.contents import check_alone, inspect
from lottoc.backends.fx.emit import emit
from lottoc.backends.fx.verify import verify
from lottoc.diagnostics import InputError, LottoError
from lottoc.runtime import pack
from lottoc.runtime.load import read
from lottoc.runtime.semi_structured_int8 import quantized

OPS: Any = torch.ops.lottoc


def weight(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """Random numbers, two of every four."""
    draw = torch.Generator().manual_seed(seed)
    kept = torch.rand(rows, columns // 4, 4, generator=draw).argsort(-1).argsort(-1) < 2
    return torch.where(kept.view(rows, columns), torch.randn(rows, columns, generator=draw), 0.0)


def call(rows: int = 60, columns: int = 240, seed: int = 0) -> tuple[Any, ...]:
    """What the operator is given beside x, of a weight that was padded to 64 × 256."""
    padded = nn.functional.pad(weight(rows, columns, seed), (0, -columns % 128, 0, -rows % 16))
    numbers, scales = quantized(padded)
    draw = torch.Generator().manual_seed(seed + 1)
    bias = torch.randn(rows, generator=draw)
    return (*pack(numbers), scales[:rows].contiguous(), bias, rows, columns)


def by_definition(x: np.ndarray, dense: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Each row of both factors is whole multiples of its largest number over 127.

    Quotients are float32, as the definition has them; sums and products are float64.
    """

    def rounded(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale = (np.abs(matrix).max(axis=1, keepdims=True) / np.float32(127)).astype(np.float32)
        scale[scale == 0] = 1
        return np.rint(matrix / scale).astype(np.float64), scale.astype(np.float64)

    (left, one), (right, other) = rounded(x), rounded(dense)
    return (left @ right.T) * one * other.T + bias


@given(st.sampled_from([(1,), (5,), (2, 3), (0,)]), st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_it_is_what_the_definition_says(shape: tuple[int, ...], seed: int) -> None:
    *stored, bias, rows, columns = call(seed=seed)
    x = torch.randn(*shape, columns, generator=torch.Generator().manual_seed(seed))
    actual = OPS.semi_structured_linear_int8(x, *stored, bias, rows, columns)
    assert actual.shape == (*shape, rows)
    if x.numel():
        dense = weight(rows, columns, seed).numpy()
        expected = by_definition(x.reshape(-1, columns).numpy(), dense, bias.numpy())
        np.testing.assert_allclose(actual.reshape(-1, rows), expected, rtol=1e-5, atol=1e-5)


def test_sums_of_long_rows_are_exact() -> None:
    """All ±127, 8192 of them: more than a float32 can add one by one."""
    draw = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (16, 8192), generator=draw) * 2 - 1
    dense = torch.where((torch.arange(8192) % 4) < 2, signs, 0) * 127
    x = (torch.randint(0, 2, (3, 8192), generator=draw) * 254 - 127).float()
    values, meta = pack(dense.to(torch.int8))
    scales = torch.ones(16)
    actual = OPS.semi_structured_linear_int8(x, values, meta, scales, None, 16, 8192)
    expected = x.long() @ dense.long().t()
    assert torch.equal(actual.long(), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_activations_of_any_type(dtype: torch.dtype) -> None:
    *stored, bias, rows, columns = call()
    x = torch.randn(4, columns).to(dtype)
    actual = OPS.semi_structured_linear_int8(x, *stored, bias.to(dtype), rows, columns)
    wide = OPS.semi_structured_linear_int8(
        x.float(), *stored, bias.to(dtype).float(), rows, columns
    )
    assert actual.dtype == dtype
    assert torch.equal(actual, wide.to(dtype))


def test_torch_finds_the_operator_sound_and_compiles_it() -> None:
    x = torch.randn(5, 240).requires_grad_()
    torch.library.opcheck(OPS.semi_structured_linear_int8.default, (x, *call()))
    made = call()

    def layer(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(OPS.semi_structured_linear_int8(x, *made)) + 1

    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=True)
    for count in (3, 8):
        torch.testing.assert_close(compiled(x[:1].repeat(count, 1)), layer(x[:1].repeat(count, 1)))


def test_gradients_pass_by_the_rounding() -> None:
    values, meta, scales, bias, rows, columns = call()
    x, bias = torch.randn(5, columns).requires_grad_(), bias.requires_grad_()
    OPS.semi_structured_linear_int8(x, values, meta, scales, bias, rows, columns).sum().backward()
    dense = OPS.semi_structured_to_dense(values, meta, rows, columns).float() * scales[:, None]
    torch.testing.assert_close(x.grad, dense.sum(0).expand(5, -1))
    torch.testing.assert_close(bias.grad, torch.full((rows,), 5.0))


INT8 = {"format": "semi_structured", "values": "int8"}


@pytest.mark.parametrize("target", ["torch-cpu", "nvidia-ampere", "nvidia-hopper"])
@pytest.mark.parametrize("make", LINEAR)
def test_programs_are_right_to_rounding(make: type[nn.Module], target: str, tmp_path: Path) -> None:
    masked, x = network(make), sample(make, 5)
    reports = emit(masked, tmp_path / "m.pt2", x, target=target, **INT8)
    assert {r.values for r in reports if r.format != "removed"} == {"int8"}
    assert all(0 < r.rounding < 0.02 for r in reports if r.format != "removed")
    verify(tmp_path / "m.pt2", masked, x)
    inputs = torch.from_numpy(x)
    with torch.no_grad():
        actual, expected = lottoc.load(tmp_path / "m.pt2")(inputs), masked.module(inputs)
    assert actual.dtype == expected.dtype
    assert 0 < float((actual - expected).abs().max() / expected.abs().max()) < 0.06


def test_what_is_stored(tmp_path: Path) -> None:
    masked = network(Mlp)
    emit(masked, tmp_path / "m.pt2", sample(Mlp), **INT8)
    state = read(tmp_path / "m.pt2")[0].state_dict
    values = {name: tensor for name, tensor in state.items() if name.endswith("_values")}
    assert {tensor.dtype for tensor in values.values()} == {torch.int8}
    assert state["twice.weight_meta"].dtype == torch.int32
    assert state["twice.weight_scales"].shape == (32,)
    assert {layer.values for layer in inspect(tmp_path / "m.pt2")} == {"int8"}
    assert check_alone(tmp_path / "m.pt2").layers == 3


@pytest.mark.parametrize("ending", ["_values", "_scales"])
def test_the_verifier_sees_other_numbers(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masked, x = network(Mlp), sample(Mlp)
    emit(masked, tmp_path / "m.pt2", x, **INT8)
    parts = verifier.stored_parts

    def damaged(note: Any, state: Any) -> dict[str, torch.Tensor]:
        found = parts(note, state)
        found[ending].view(-1)[0] += 1
        return found

    monkeypatch.setattr(verifier, "stored_parts", damaged)
    with pytest.raises(LottoError, match=r'layer "first": .* weights differ'):
        verify(tmp_path / "m.pt2", masked, x)


def test_a_weight_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    masked = network(Mlp)
    with torch.no_grad():
        masked.module.get_parameter("first.weight")[0, 0] = float("nan")
    with pytest.raises(InputError, match="NaN and infinite weights have no place in int8"):
        emit(masked, tmp_path / "m.pt2", sample(Mlp), **INT8)


@pytest.mark.parametrize(("major", "kernels"), [(7, "dense"), (8, "cutlass"), (9, "cusparselt")])
def test_which_kernels_run_where(major: int, kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from lottoc.runtime import semi_structured

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, 0))
    values = call()[0]
    assert semi_structured.kernels_for(values, values) == kernels
