"""The operators of `lottoc.runtime`: right, differentiable, and fit for torch.compile."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch.nn import functional

import lottoc.runtime
from lottoc.runtime import semi_structured
from lottoc.runtime.two_of_four import pack

OPS: Any = torch.ops.lottoc
TYPES = (torch.float32, torch.float16, torch.bfloat16)


def weight(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """[64, 128], of which [60, 120] is the layer's own and the rest padding."""
    draw = torch.Generator().manual_seed(0)
    kept = torch.rand(64, 32, 4, generator=draw).argsort(-1).argsort(-1) < 2
    dense = torch.where(kept.view(64, 128), torch.randn(64, 128, generator=draw), 0.0)
    dense[60:], dense[:, 120:] = 0, 0
    return dense.to(dtype)


def batch(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def semi_structured_call(dtype: torch.dtype = torch.float32) -> tuple[Any, ...]:
    return (*pack(weight(dtype)), batch(60, dtype=dtype), 60, 120)


def csr_call() -> tuple[Any, ...]:
    kept = weight()[:60, :120] != 0
    starts = torch.cat([torch.zeros(1), kept.sum(1).cumsum(0)]).int()
    return starts, kept.nonzero()[:, 1].int(), weight()[:60, :120][kept], batch(60), 120


CALLS = {"semi_structured_linear": semi_structured_call, "csr_linear": csr_call}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(120,), (1, 120), (5, 120), (2, 3, 120), (0, 120)])
def test_semi_structured_is_the_dense_layer(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    dense, x = weight(dtype)[:60, :120].contiguous(), batch(*shape, dtype=dtype)
    *stored, bias, rows, columns = semi_structured_call(dtype)
    for offset in (bias, None):
        actual = OPS.semi_structured_linear(x, *stored, offset, rows, columns)
        assert torch.equal(actual, functional.linear(x, dense, offset))
    assert torch.equal(OPS.semi_structured_to_dense(*stored, rows, columns), dense)


@pytest.mark.parametrize("shape", [(120,), (1, 120), (5, 120), (2, 3, 120), (0, 120)])
def test_csr_is_the_dense_layer(shape: tuple[int, ...]) -> None:
    dense, x = weight()[:60, :120].contiguous(), batch(*shape)
    *stored, bias, columns = csr_call()
    for offset in (bias, None):
        actual = OPS.csr_linear(x, *stored, offset, columns)
        added = 0.0 if offset is None else offset.double()
        expected = x.double() @ dense.double().t() + added
        torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(OPS.csr_to_dense(*stored, columns), dense)


@pytest.mark.parametrize("name", CALLS)
def test_torch_finds_the_operators_sound(name: str) -> None:
    x = batch(5, 120).requires_grad_()
    torch.library.opcheck(getattr(OPS, name).default, (x, *CALLS[name]()))


@pytest.mark.parametrize("name", CALLS)
def test_gradients_pass_through(name: str) -> None:
    dense = weight()[:60, :120].contiguous()
    call = list(CALLS[name]())
    at = next(i for i, part in enumerate(call) if torch.is_tensor(part) and part.shape == (60,))
    results = []
    for sparse in (True, False):
        x, bias = batch(5, 120).requires_grad_(), batch(60).requires_grad_()
        call[at] = bias
        out = getattr(OPS, name)(x, *call) if sparse else functional.linear(x, dense, bias)
        (out**2).sum().backward()
        results.append((x.grad, bias.grad))
    for ours, torchs in zip(*results, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_under_torch_compile(name: str, backend: str) -> None:
    if backend == "inductor" and shutil.which("g++") is None:
        pytest.skip("inductor needs a C++ compiler")
    call = CALLS[name]()

    def layer(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(getattr(OPS, name)(x, *call)) + 1

    compiled = torch.compile(layer, backend=backend, fullgraph=True, dynamic=True)
    for rows in (3, 8):
        torch.testing.assert_close(compiled(batch(rows, 120)), layer(batch(rows, 120)))


def test_a_weight_is_unpacked_once_and_again_when_it_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def counted(*stored: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return lottoc.runtime.unpack(*stored)

    monkeypatch.setattr(semi_structured, "unpack", counted)
    values, *rest = semi_structured_call()
    x = batch(5, 120)
    for _ in range(3):
        before = OPS.semi_structured_linear(x, values, *rest)
    assert len(calls) == 1
    values.mul_(2)
    after = OPS.semi_structured_linear(x, values, *rest)
    assert len(calls) == 2
    torch.testing.assert_close(after - rest[1], 2 * (before - rest[1]))


def test_what_it_unpacked_is_not_handed_out() -> None:
    *stored, _, rows, columns = semi_structured_call()
    OPS.semi_structured_to_dense(*stored, rows, columns).zero_()
    assert OPS.semi_structured_to_dense(*stored, rows, columns).any()


def test_a_batch_of_other_features_is_refused_while_tracing() -> None:
    call = semi_structured_call()

    def layer(x: torch.Tensor) -> torch.Tensor:
        return OPS.semi_structured_linear(x, *call)

    with pytest.raises(Exception, match="x has 121 columns, not 120"):
        torch.compile(layer, backend="eager", fullgraph=True)(batch(2, 121))


# What runs on a GPU only is torch's own tensor class; all but its kernels can be tried here.


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_what_a_gpu_is_given_is_torchs_own_tensor(dtype: torch.dtype) -> None:
    tensor: Any = semi_structured.sparse_weight("cutlass", *pack(weight(dtype)))
    assert type(tensor) is torch.sparse.SparseSemiStructuredTensorCUTLASS
    assert tensor.shape == (64, 128)
    assert torch.equal(tensor.to_dense(), weight(dtype))


@pytest.mark.parametrize("shape", [(120,), (5, 120), (2, 3, 120)])
def test_padding_for_a_gpu_is_taken_off_again(shape: tuple[int, ...]) -> None:
    x, bias = batch(*shape), batch(60)
    actual = semi_structured.padded_linear(x, weight(), bias, 60)
    expected = functional.linear(x, weight()[:60, :120], bias)
    torch.testing.assert_close(actual, expected)
    assert actual.is_contiguous()


@pytest.mark.parametrize(
    ("capability", "dtype", "kernels"),
    [
        ((7, 5), torch.float16, "dense"),
        ((8, 0), torch.float16, "cutlass"),
        ((8, 9), torch.bfloat16, "cutlass"),
        ((9, 0), torch.bfloat16, "cusparselt"),
        ((9, 0), torch.float32, "dense"),
    ],
)
def test_which_kernels_run_where(
    capability: tuple[int, int], dtype: torch.dtype, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    x = batch(1, 120, dtype=dtype)
    assert semi_structured.kernels_for(x, weight(dtype)) == kernels
