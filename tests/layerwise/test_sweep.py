"""The sweep against SparseGPT written out in float64 from its paper, and against closed forms."""

import os
import subprocess
import sys

import numpy as np
import pytest
from papers import obs_update, output_error, sparsegpt

from lottoc.layerwise.choice import Count, Given, NOfM
from lottoc.layerwise.factor import SingularHessian, inverse_factor
from lottoc.layerwise.sweep import sweep


def layer(rows, columns, samples, seed=0):
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((columns, columns)) / np.sqrt(columns) + np.eye(columns)
    scale = np.exp(rng.standard_normal(columns))
    inputs = (rng.standard_normal((samples, columns)) @ mix * scale).astype(np.float32)
    weight = rng.standard_normal((rows, columns)).astype(np.float32)
    return weight, inputs, inputs.T @ inputs


@pytest.mark.parametrize(("rows", "columns"), [(24, 64), (33, 200), (40, 320)])
@pytest.mark.parametrize("kind", ["half", "2:4", "4:8"])
def test_reconstruction_error_is_that_of_the_paper(rows, columns, kind):
    weight, inputs, hessian = layer(rows, columns, 2 * columns)
    if kind == "half":
        choice, options = Count(rows * columns // 2, rows * columns), {"share": 0.5}
    else:
        n, m = map(int, kind.split(":"))
        choice, options = NOfM(n, m), {"nm": (n, m)}
    found = sweep(weight, hessian, choice)
    reference, mask = sparsegpt(weight, inputs, **options)
    ours = output_error(weight, found.weight, inputs)
    assert ours == pytest.approx(output_error(weight, reference, inputs), rel=0.01)
    assert (found.mask == mask).mean() > 0.999  # float32 may decide a near tie otherwise
    assert (found.weight[~found.mask] == 0).all()
    assert ours < 0.7 * output_error(weight, weight * mask, inputs)  # compensation is worth it


def test_count_is_exact_in_every_block_and_group():
    weight, _, hessian = layer(30, 150, 300)
    found = sweep(weight, hessian, Count(1777, 4500), block=64)
    assert (~found.mask).sum() == 1777
    for stop in (64, 128, 150):
        assert (~found.mask[:, :stop]).sum() == 1777 * 30 * stop // 4500
    found = sweep(weight[:, :144], hessian[:144, :144], NOfM(1, 4))
    assert (found.mask.reshape(30, 36, 4).sum(axis=2) == 1).all()


def test_loss_is_half_the_trace():
    """Σ½e² = ½ tr(ΔW H ΔWᵀ) exactly, H with its damping."""
    weight, _, hessian = layer(20, 96, 300)
    found = sweep(weight, hessian, NOfM(2, 4), damping=0.05)
    damped = hessian.astype(np.float64) + 0.05 * np.diag(hessian).mean() * np.eye(96)
    change = found.weight.astype(np.float64) - weight
    assert found.loss == pytest.approx(np.trace(change @ damped @ change.T), rel=1e-4)


def test_nothing_beats_the_closed_form_on_its_own_mask():
    weight, inputs, hessian = layer(8, 48, 200)
    found = sweep(weight, hessian, NOfM(2, 4), damping=0.0)
    best = np.stack(
        [
            obs_update(row.astype(np.float64), hessian.astype(np.float64), np.flatnonzero(~kept))
            for row, kept in zip(weight, found.mask, strict=True)
        ]
    )
    least, ours = output_error(weight, best, inputs), output_error(weight, found.weight, inputs)
    assert least <= ours <= output_error(weight, weight * found.mask, inputs)


def test_diagonal_hessian_changes_no_kept_weight():
    weight = np.array([[1, 1, 1, 1], [4, -2, 1, 0.1]], np.float32)
    found = sweep(weight, np.diag([1.0, 4, 9, 16]), Count(4, 8), damping=0.0)
    # three are below, and of the two at w²H = 9 the later position is pruned
    pruned = sorted(map(tuple, np.argwhere(~found.mask).tolist()))
    assert pruned in ([(0, 0), (0, 1), (0, 2), (1, 3)], [(0, 0), (0, 1), (1, 2), (1, 3)])
    assert pruned == [(0, 0), (0, 1), (1, 2), (1, 3)]
    np.testing.assert_allclose(found.weight, weight * found.mask, rtol=1e-6)


def test_nothing_pruned_changes_nothing():
    weight, _, hessian = layer(10, 40, 100)
    np.testing.assert_array_equal(sweep(weight, hessian, Count(0, 400)).weight, weight)
    np.testing.assert_array_equal(sweep(weight, hessian, NOfM(4, 4)).weight, weight)


def test_block_size_does_not_matter_where_the_mask_is_given():
    weight, _, hessian = layer(16, 100, 250)
    mask = np.random.default_rng(1).random((16, 100)) < 0.5
    results = [sweep(weight, hessian, Given(mask), block=b).weight for b in (7, 32, 128)]
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=2e-3, atol=2e-4)
    assert (results[0][~mask] == 0).all()


def test_act_order_is_a_sweep_over_permuted_inputs():
    weight, _, hessian = layer(12, 32, 100)
    found = sweep(weight, hessian, Count(192, 384), act_order=True)
    order = np.argsort(-np.diag(hessian).astype(np.float64), kind="stable")
    plain = sweep(weight[:, order], hessian[np.ix_(order, order)], Count(192, 384))
    np.testing.assert_array_equal(found.weight[:, order], plain.weight)
    found = sweep(weight, hessian, NOfM(2, 4), act_order=True)
    assert (found.mask.reshape(12, 8, 4).sum(axis=2) == 2).all()


def test_inputs_that_never_fire_are_pruned_first_and_keep_their_weights():
    weight, inputs, _ = layer(16, 32, 100)
    inputs[:, [3, 10, 11]] = 0
    found = sweep(weight, inputs.T @ inputs, Count(100, 512))
    dead = found.mask[:, [3, 10, 11]]
    assert not dead.any()
    found = sweep(weight, inputs.T @ inputs, NOfM(3, 4))
    kept = found.mask[:, 10]
    assert (found.weight[kept, 10] == weight[kept, 10]).all()


def test_a_layer_that_never_fires_is_pruned_by_magnitude():
    weight = layer(8, 16, 10)[0]
    found = sweep(weight, np.zeros((16, 16)), NOfM(2, 4))
    order = np.argsort(-np.abs(weight).reshape(8, 4, 4), axis=2)[:, :, :2]
    expected = np.zeros((8, 4, 4), bool)
    np.put_along_axis(expected, order, True, axis=2)
    np.testing.assert_array_equal(found.mask, expected.reshape(8, 16))
    np.testing.assert_array_equal(found.weight, weight * found.mask)


def test_a_singular_hessian_is_damped_until_it_is_not():
    weight, inputs, _ = layer(8, 64, 10)  # rank 10 of 64
    hessian = inputs.T @ inputs
    found = sweep(weight, hessian, NOfM(2, 4), damping=0.0)
    assert found.damping == pytest.approx(0.01)
    assert np.isfinite(found.weight).all()
    assert sweep(weight, hessian, NOfM(2, 4), damping=0.02).damping == 0.02
    with pytest.raises(SingularHessian):
        inverse_factor(np.full((4, 4), np.nan), 0.01)


def test_factor_is_of_the_inverse():
    for size in (5, 64, 300, 700):
        _, _, hessian = layer(1, size, 3 * size)
        factor = inverse_factor(hessian, 0.01)
        upper = factor.block(slice(0, size), slice(0, size)).astype(np.float64)
        damped = hessian.astype(np.float64) + 0.01 * np.diag(hessian).mean() * np.eye(size)
        assert np.abs(upper.T @ upper @ damped - np.eye(size)).max() < 1e-4
        assert (np.tril(upper, -1) == 0).all()


_DIGEST = """
import hashlib, numpy as np
from lottoc.layerwise.choice import Count, NOfM
from lottoc.layerwise.sweep import sweep
rng = np.random.default_rng(0)
x = rng.standard_normal((900, 600), dtype=np.float32)
w = rng.standard_normal((577, 600), dtype=np.float32)
digest = hashlib.sha256()
for choice in (Count(100_000, w.size), NOfM(2, 4)):
    found = sweep(w, np.float32(2) * np.diag(np.arange(1, 601)) + (x[:, :1].T @ x[:, :1]), choice)
    digest.update(found.weight.tobytes())
print(digest.hexdigest())
"""


def test_bytes_do_not_depend_on_the_number_of_threads():
    def run(threads):
        settings = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads)}
        command = [sys.executable, "-c", _DIGEST]
        return subprocess.run(command, env=settings, capture_output=True, check=True).stdout

    assert run(1) == run(2) != b""
