"""Under groups the kept weights are the best that there are: least squares over the inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lottoc.criteria.sparsegpt import SparseGpt
from lottoc.layerwise.choice import Given
from lottoc.layerwise.factor import inverse_factor
from lottoc.layerwise.least_squares import least_squares
from lottoc.layerwise.sweep import sweep
from lottoc.masks.patterns import parse


def layer(rows: int, columns: int, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """A weight, and correlated inputs [examples, columns]."""
    rng = np.random.default_rng(rows + columns)
    mixed = rng.standard_normal((columns, columns)) * 0.5 + np.eye(columns)
    inputs = rng.standard_normal((examples, columns)) @ mixed
    return rng.standard_normal((rows, columns)).astype(np.float32), inputs


def by_rows(weight: np.ndarray, inputs: np.ndarray, mask: np.ndarray, ridge: float) -> np.ndarray:
    """Row by row, numpy's least squares over the examples; a ridge is so many examples more."""
    columns = weight.shape[1]
    examples = np.concatenate([inputs, np.sqrt(ridge) * np.eye(columns)])
    best = np.zeros(weight.shape)
    for row, kept in enumerate(mask):
        wanted = examples @ weight[row].astype(np.float64)
        best[row, kept] = np.linalg.lstsq(examples[:, kept], wanted, rcond=None)[0]
    return best


@pytest.mark.parametrize("damping", [0.0, 0.01])
def test_it_is_least_squares_over_the_examples(damping: float) -> None:
    weight, inputs = layer(24, 40, 200)
    hessian = inputs.T @ inputs
    mask = np.repeat(np.random.default_rng(0).random((3, 40)) < 0.5, 8, axis=0)
    found = least_squares(weight, hessian, mask, inverse_factor(hessian, damping))
    ridge = damping * np.diag(hessian).mean()
    np.testing.assert_allclose(found, by_rows(weight, inputs, mask, ridge), rtol=1e-6, atol=1e-8)
    assert (found[~mask] == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_damping_inputs_may_depend_on_one_another(dtype: type) -> None:
    """Rounding may let a factor of such a Hessian pass as it is: what it gives stays bounded."""
    weight, inputs = layer(16, 24, 100)
    inputs[:, [3, 17]] = inputs[:, [9, 9]]
    inputs[:, 5] = inputs[:, 1] - inputs[:, 2]
    hessian = (inputs.T @ inputs).astype(dtype)
    none = replace(inverse_factor(hessian, 0.01), damping=0.0, added=np.zeros(24))
    mask = np.ones((16, 24), np.bool_)
    mask[:8, 12:16] = mask[8:, 4:8] = False
    found = least_squares(weight, hessian, mask, none)
    exact = by_rows(weight, inputs, mask, 0.0)
    np.testing.assert_allclose(found, exact, atol=1e-2 if dtype is np.float32 else 1e-7)


def test_no_sweep_is_better() -> None:
    weight, inputs = layer(32, 64, 300)
    hessian = inputs.T @ inputs
    solved = SparseGpt().solve(weight, hessian, parse("groups(8)"), 32 * 24)
    swept = sweep(weight, hessian, Given(solved.mask)).weight

    def loss(new: np.ndarray) -> float:
        return float(np.square(inputs @ (new - weight).T.astype(np.float64)).sum())

    assert loss(solved.weight) < 0.9 * loss(swept)
    assert parse("groups(8)").holds(solved.mask)


def test_convolutions_are_solved_over_patches() -> None:
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((8, 6, 3, 3)).astype(np.float32)
    patches = rng.standard_normal((500, 54)) @ rng.standard_normal((54, 54))
    solved = SparseGpt().solve(weight, patches.T @ patches, parse("groups(4)"), 8 * 3 * 9)
    flat = np.moveaxis(solved.weight, 1, -1).reshape(8, 54)
    mask = np.moveaxis(solved.mask, 1, -1).reshape(8, 54)
    own = np.moveaxis(weight, 1, -1).reshape(8, 54)
    ridge = 0.01 * np.square(patches).sum(axis=0).mean()
    np.testing.assert_allclose(flat, by_rows(own, patches, mask, ridge), rtol=1e-4, atol=1e-5)


def test_inputs_that_never_fire_go_first_and_keep_their_weights() -> None:
    weight, inputs = layer(16, 32, 200)
    inputs[:, [3, 10, 11]] = 0
    hessian = inputs.T @ inputs
    few = SparseGpt().solve(weight, hessian, parse("groups(16)"), 16 * 29)
    assert not few.mask[:, [3, 10, 11]].any()
    many = SparseGpt().solve(weight, hessian, parse("groups(16)"), 16 * 31)
    kept = many.mask[0, [3, 10, 11]]
    assert kept.sum() == 2
    np.testing.assert_array_equal(
        many.weight[:, [3, 10, 11]][:, kept], weight[:, [3, 10, 11]][:, kept]
    )


def test_bits_do_not_depend_on_threads() -> None:
    from threadpoolctl import threadpool_limits

    weight, inputs = layer(64, 96, 300)
    hessian = inputs.T @ inputs
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            solved = SparseGpt().solve(weight, hessian, parse("groups(16)"), 64 * 40)
            found.append(solved.weight.tobytes())
    assert found[0] == found[1]
