"""Criteria over activations against tables worked by hand."""

import numpy as np
import pytest

from lottoc.criteria.obs import Obs
from lottoc.criteria.ria import Ria
from lottoc.criteria.wanda import Wanda
from lottoc.layerwise.factor import inverse_factor
from lottoc.masks.select import keep_n_of_m
from lottoc.signature import Layer

LAYER = Layer("l", "linear", (3, 4))


def test_wanda_on_the_papers_example():
    weight = np.array([[4, 0, 1, -1], [3, -2, -1, -3], [-3, 1, 0, 2]], np.float32)
    norms = np.array([1.0, 2, 8, 3])
    scores = Wanda().score(weight, LAYER, norms**2)
    np.testing.assert_allclose(scores, [[4, 0, 8, 3], [3, 4, 8, 9], [3, 2, 0, 6]])
    kept = weight * keep_n_of_m(scores, 2, 4)
    np.testing.assert_array_equal(kept, [[4, 0, 1, 0], [0, 0, -1, -3], [-3, 0, 0, 2]])


def test_wanda_does_not_look_at_scale():
    rng = np.random.default_rng(0)
    weight, squares = rng.standard_normal((6, 8)), rng.random(8)
    mask = keep_n_of_m(Wanda().score(weight, LAYER, squares), 4, 8)
    again = keep_n_of_m(Wanda().score(weight, LAYER, 9 * squares), 4, 8)
    np.testing.assert_array_equal(mask, again)
    rows = weight * rng.random((6, 1))
    np.testing.assert_array_equal(mask, keep_n_of_m(Wanda().score(rows, LAYER, squares), 4, 8))
    equal = keep_n_of_m(Wanda().score(weight, LAYER, np.full(8, 2.0)), 4, 8)
    np.testing.assert_array_equal(equal, keep_n_of_m(np.abs(weight), 4, 8))


def test_inputs_that_never_fired_score_below_all_others_by_magnitude():
    weight = np.array([[1e-9, 5, -7, 3]])
    scores = Wanda().score(weight, LAYER, np.array([1e-12, 0, 0, 0]))
    assert np.argsort(scores[0]).tolist() == [3, 1, 2, 0]


def test_ria_on_a_table_worked_by_hand():
    weight = np.array([[1.0, -3], [1, 2]])
    squares = np.array([16.0, 81])
    importance = [[1 / 2 + 1 / 4, 3 / 5 + 3 / 4], [1 / 2 + 1 / 3, 2 / 5 + 2 / 3]]
    for a, norms in ((0, [1, 1]), (0.5, [2, 3]), (1, [4, 9])):
        scores = Ria(a=a).score(weight, LAYER, squares)
        np.testing.assert_allclose(scores, np.array(importance) * norms)


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 2, 3)])
def test_each_row_and_column_has_one_importance_to_share_out(shape):
    """The sum over a layer is the number of rows and of places along all other axes."""
    rng = np.random.default_rng(0)
    weight, columns = rng.standard_normal(shape), int(np.prod(shape[1:]))
    scores = Ria(a=0).score(weight, LAYER, np.ones(columns))
    assert scores.sum() == pytest.approx(shape[0] + columns)
    flat, size = scores.reshape(shape[0], -1), np.abs(weight).reshape(shape[0], -1)
    for i, j in np.ndindex(flat.shape):
        expected = size[i, j] / size[:, j].sum() + size[i, j] / size[i].sum()
        assert flat[i, j] == pytest.approx(expected)


def test_ria_of_weights_that_are_zero_and_inputs_that_never_fired():
    weight = np.array([[0.0, 0, 0], [0, 1, 2]])
    scores = Ria().score(weight, LAYER, np.array([1.0, 1, 0]))
    assert np.isfinite(scores).all()
    assert (scores[:, 2] < scores[:, :2].min()).all()
    assert scores[1, 1] == scores.max()


def test_obs_on_a_table_worked_by_hand():
    x = np.array([[1, 0, 1, 2], [0, 1, 1, 0], [1, 1, 0, 1], [2, 0, 1, 1], [0, 2, 1, 1]], float)
    weight = np.array([[1, 0.2, -0.5, 0.3]])
    hessian = 2 * x.T @ x
    diagonal = inverse_factor(hessian, 0.0).inverse_diagonal()
    scores = Obs(damping=0).score(weight, LAYER, diagonal)
    np.testing.assert_allclose(scores, [[2.0, 0.124138, 0.316901, 0.162]], rtol=1e-5)
    removed = int(np.argmin(scores))
    inverse = np.linalg.inv(hessian)
    change = -weight[0, removed] / inverse[removed, removed] * inverse[:, removed]
    np.testing.assert_allclose(weight[0] + change, [0.896552, 0, -0.341379, 0.368966], atol=1e-6)
    assert scores[0, removed] == pytest.approx(np.square(x @ change).sum())


def test_options_out_of_range():
    with pytest.raises(ValueError, match="damping"):
        Obs(damping=-1.0)
    with pytest.raises(ValueError, match="from 0 to 1"):
        Ria(a=1.5)
