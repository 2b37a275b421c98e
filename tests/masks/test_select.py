"""Selection, against sorting by (score descending, layer, position)."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottoc.masks import select
from lottoc.masks.select import Each, NonFiniteScores, keep_best, keep_best_global, keep_n_of_m

DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]


def best(
    scores: Sequence[np.ndarray], kept: int, within: Sequence[np.ndarray] | None
) -> list[np.ndarray]:
    """The oracle: every candidate in one list, sorted by Python."""
    ranked = sorted(
        (-float(value), layer, position)
        for layer, array in enumerate(scores)
        for position, value in enumerate(array.flatten())
        if within is None or within[layer].flatten()[position]
    )
    masks = [np.zeros(array.size, dtype=np.bool_) for array in scores]
    for _, layer, position in ranked[:kept]:
        masks[layer][position] = True
    return [mask.reshape(array.shape) for mask, array in zip(masks, scores, strict=True)]


def best_of_groups(scores: np.ndarray, n: int, m: int, within: np.ndarray | None) -> np.ndarray:
    """The oracle: group by group along axis 1."""
    mask = np.zeros(scores.shape, dtype=np.bool_)
    for out, *place in np.ndindex(scores.shape[0], *scores.shape[2:]):
        for start in range(0, scores.shape[1], m):
            at = (out, slice(start, start + m), *place)
            mask[at] = best([scores[at]], n, None if within is None else [within[at]])[0]
    return mask


@st.composite
def layouts(draw: st.DrawFn, shape: tuple[int, ...], dtype: object) -> np.ndarray:
    """Scores of few values, so with many ties, in any memory layout."""
    values = draw(st.sampled_from([[0.0, -0.0, 1.0], [-1.5, -1.0, 0.0, 2.0], list(range(50))]))
    size = int(np.prod(shape))
    flat = draw(st.lists(st.sampled_from(values), min_size=size, max_size=size))
    array = np.array(flat, dtype=np.float64).reshape(shape).astype(dtype)  # type: ignore[call-overload]
    axes = draw(st.permutations(range(len(shape))))
    array = np.ascontiguousarray(array.transpose(axes)).transpose(np.argsort(axes))
    if draw(st.booleans()):  # neither contiguous nor ascending
        wide = np.repeat(array, 2, axis=-1)[::-1]
        array = wide[::-1, ..., ::2] if wide.ndim > 1 else wide[::-1][::2]
    return array


small = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[np.ndarray], list[np.ndarray] | None, int]:
    dtypes = draw(st.lists(st.sampled_from(DTYPES), min_size=1, max_size=3))
    scores = [draw(layouts(draw(small), dtype)) for dtype in dtypes]
    within = None
    if draw(st.booleans()):
        random = np.random.default_rng(draw(st.integers(0, 99)))
        within = [random.random(array.shape) < 0.6 for array in scores]
    available = sum(a.size for a in scores) if within is None else sum(w.sum() for w in within)
    return scores, within, draw(st.integers(0, int(available)))


@given(networks())
@settings(max_examples=200)
def test_the_best_are_kept(network: tuple[list[np.ndarray], list[np.ndarray] | None, int]) -> None:
    scores, within, kept = network
    masks = list(keep_best_global(scores, kept, within))
    for mask, expected in zip(masks, best(scores, kept, within), strict=True):
        assert mask.dtype == np.bool_
        assert np.array_equal(mask, expected)


def arrays_with_a_lot_at_the_threshold() -> list[tuple[str, np.ndarray]]:
    random = np.random.default_rng(0)
    normal = random.standard_normal((300, 700)).astype(np.float32)
    return [
        ("normal", normal),
        ("fortran", np.asfortranarray(normal)),
        ("half", normal.astype(np.float16)),
        ("brain", normal.astype(ml_dtypes.bfloat16)),
        ("double", normal.astype(np.float64) ** 3),
        ("zeros", np.where(normal > 1, normal, 0)),
        ("constant", np.ones((300, 700), dtype=np.float32)),
        ("two values", (normal > 0).astype(np.float32)),
        # the sample sees only the ones: what it says of the rest is wrong
        ("misleading", (np.arange(210_000) % 257 == 0).astype(np.float32).reshape(300, 700)),
        ("misleading the other way", -(np.arange(210_000) % 257 == 0).astype(np.float32)),
        ("sorted", np.arange(210_000, dtype=np.float32).reshape(300, 700)),
    ]


@pytest.mark.parametrize(
    "scores",
    [pytest.param(array, id=name) for name, array in arrays_with_a_lot_at_the_threshold()],
)
@pytest.mark.parametrize("kept", [1, 100, 21_000, 105_000, 209_000, 210_000])
def test_large_arrays(scores: np.ndarray, kept: int) -> None:
    """More than a chunk, so that the threshold is looked for where the sample points."""
    order = np.argsort(-scores.flatten().astype(np.float64), kind="stable")
    expected = np.zeros(scores.size, dtype=np.bool_)
    expected[order[:kept]] = True
    assert np.array_equal(keep_best(scores, kept).flatten(), expected)
    thirds = scores.reshape(-1, order="C").reshape(3, 100, 700)
    layers = list(keep_best_global([thirds[0], thirds[1].T.copy().T, thirds[2]], kept))
    assert np.array_equal(np.concatenate([layer.flatten() for layer in layers]), expected)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 99))
def test_counts_are_exact_and_later_masks_nest(a: int, b: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    more, fewer = max(a, b), min(a, b)
    earlier = keep_best(random.integers(0, 5, (8, 5)).astype(np.float32), more)
    later = keep_best(random.integers(0, 5, (8, 5)).astype(np.float32), fewer, earlier)
    assert earlier.sum() == more
    assert later.sum() == fewer
    assert not (later & ~earlier).any()


def test_pruning_again_by_the_same_scores_is_pruning_once() -> None:
    scores = np.random.default_rng(0).integers(0, 9, (40, 50)).astype(np.float32)
    assert np.array_equal(keep_best(scores, 300, keep_best(scores, 1200)), keep_best(scores, 300))


def test_iterated_fifths_keep_exactly_as_many() -> None:
    """Others' thresholds keep 799, 638, 509 of these."""
    scores = np.random.default_rng(0).permutation(1000).astype(np.float32)
    mask, counts = np.ones(1000, dtype=np.bool_), []
    for kept in (800, 640, 512):
        mask = keep_best(scores, kept, mask)
        counts.append(int(mask.sum()))
    assert counts == [800, 640, 512]


@pytest.mark.parametrize("kept", [-1, 5])
def test_what_is_not_there_cannot_be_kept(kept: int) -> None:
    within = np.array([[True, True, True], [True, False, False]])
    with pytest.raises(ValueError, match=rf"cannot keep {kept} of 4 weights"):
        keep_best(np.zeros((2, 3), dtype=np.float32), kept, within)


def test_masks_must_fit_the_scores() -> None:
    with pytest.raises(ValueError, match=r"mask of shape \(3, 2\) over scores of shape \(2, 3\)"):
        keep_best(np.zeros((2, 3)), 1, np.ones((3, 2), dtype=np.bool_))
    with pytest.raises(ValueError, match=r"mask of shape \(2, 2\) over scores of shape \(2, 4\)"):
        keep_n_of_m(np.zeros((2, 4)), 2, 4, np.ones((2, 2), dtype=np.bool_))
    with pytest.raises(ValueError, match="zip"):
        keep_best_global([np.zeros((2, 3))], 1, [])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_scores_that_are_not_finite_are_refused(bad: float, dtype: type) -> None:
    good, broken = np.ones((3, 4), dtype=dtype), np.ones((3, 4), dtype=dtype)
    broken[1, 2] = bad
    with pytest.raises(NonFiniteScores, match=rf"^{bad} at \[1, 2\]$") as caught:
        keep_best_global([good, broken, broken], 3)
    assert caught.value.position == 1
    with pytest.raises(NonFiniteScores, match=rf"^{bad} at \[1, 2\]$"):
        keep_n_of_m(broken.T.copy().T, 2, 4)
    with pytest.raises(NonFiniteScores):  # even where nothing can be kept
        keep_best(broken, 3, good > 1)


def test_finite_scores_with_an_infinite_sum_are_accepted() -> None:
    scores = np.full((4, 8), 3e38, dtype=np.float32)
    assert keep_best(scores, 3).sum() == 3
    assert keep_n_of_m(scores, 2, 4).sum() == 16
    assert keep_best(np.full((4, 8), 6e4, dtype=np.float16), 3).sum() == 3


@st.composite
def grouped(draw: st.DrawFn) -> tuple[np.ndarray, int, int, np.ndarray | None]:
    m = draw(st.integers(1, 17) | st.just(40))
    n = draw(st.integers(1, m))
    kernel = draw(st.sampled_from([(), (1,), (3,), (2, 3), (1, 1)]))
    shape = (draw(st.integers(1, 3)), m * draw(st.integers(1, 2)), *kernel)
    scores = draw(layouts(shape, draw(st.sampled_from(DTYPES))))
    if not draw(st.booleans()):
        return scores, n, m, None
    random = np.random.default_rng(draw(st.integers(0, 99)))
    return scores, n, m, random.random(shape) < draw(st.sampled_from([0.2, 0.7]))


@given(grouped())
@settings(max_examples=200, deadline=None)
def test_n_of_every_m_are_kept(case: tuple[np.ndarray, int, int, np.ndarray | None]) -> None:
    scores, n, m, within = case
    mask = keep_n_of_m(scores, n, m, within)
    assert mask.dtype == np.bool_
    assert np.array_equal(mask, best_of_groups(scores, n, m, within))
    if within is None:
        assert mask.sum() * m == n * scores.size


def test_groups_run_along_input_channels() -> None:
    """[out, in, height, width]: four channels at one place are a group, not four places."""
    scores = np.zeros((1, 4, 2, 2), dtype=np.float32)
    scores[0, :, 0, 0] = [4, 3, 2, 1]
    scores[0, :, 1, 1] = [1, 2, 3, 4]
    mask = keep_n_of_m(scores, 2, 4)
    assert mask[0, :, 0, 0].tolist() == [True, True, False, False]
    assert mask[0, :, 1, 1].tolist() == [False, False, True, True]
    assert mask[0, :, 0, 1].tolist() == [True, True, False, False]  # a tie keeps the earlier


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(700, 300), (3, 90_000), (64, 32, 3, 3, 3), (2, 4, 40_000)])
def test_large_arrays_are_grouped_piece_by_piece(shape: tuple[int, ...], order: str) -> None:
    scores = np.random.default_rng(0).integers(0, 9, shape).astype(np.float32)
    moved = np.moveaxis(scores, 1, -1).reshape(-1, 4)
    kept = np.argsort(np.argsort(-moved, axis=1, kind="stable"), axis=1) < 2
    expected = np.moveaxis(kept.reshape(*shape[:1], *shape[2:], shape[1]), -1, 1)
    assert np.array_equal(keep_n_of_m(np.asarray(scores, order=order), 2, 4), expected)  # type: ignore[call-overload]


def test_two_of_four_keeps_seven_tenths_of_uniform_magnitude() -> None:
    """E: (4/5 + 3/5) / 2; without the pattern, three quarters."""
    scores = np.random.default_rng(0).random((1000, 1000))
    assert scores[keep_n_of_m(scores, 2, 4)].sum() / scores.sum() == pytest.approx(0.7, abs=1e-3)
    assert scores[keep_best(scores, 500_000)].sum() / scores.sum() == pytest.approx(0.75, abs=1e-3)


def test_groups_must_divide_the_input() -> None:
    with pytest.raises(ValueError, match="axis 1 has length 63, not a multiple of m = 4"):
        keep_n_of_m(np.zeros((4, 63), dtype=np.float32), 2, 4)
    with pytest.raises(ValueError, match="axis 1 has length 0, not a multiple of m = 4"):
        keep_n_of_m(np.zeros(8, dtype=np.float32), 2, 4)
    for n in (0, 5):
        with pytest.raises(ValueError, match=f"cannot keep {n} of every 4"):
            keep_n_of_m(np.zeros((4, 8), dtype=np.float32), n, 4)


def test_layers_made_when_asked_for_give_the_same() -> None:
    random = np.random.default_rng(0)
    layers = [random.random((40, 30)) for _ in range(5)]
    within = [random.random((40, 30)) < 0.5 for _ in range(5)]
    made = [0] * 5

    def make(index: int) -> np.ndarray:
        made[index] += 1
        return layers[index]

    lazy = keep_best_global(Each(range(5), make), 1000, Each(within, np.copy))
    for mask, expected in zip(lazy, keep_best_global(layers, 1000, within), strict=True):
        assert np.array_equal(mask, expected)
    assert made == [3] * 5
    assert len(Each(range(5), make)) == 5


def test_an_error_in_making_a_layer_is_not_the_end_of_the_layers() -> None:
    def make(index: int) -> np.ndarray:
        raise IndexError

    with pytest.raises(IndexError):
        keep_best_global(Each(range(3), make), 0)


@pytest.mark.parametrize("values", [10, 1 << 20], ids=["ties", "distinct"])
def test_memory_is_bounded_by_the_largest_layer(values: int) -> None:
    layers, shape = 24, (256, 1024)

    def make(index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, values, shape).astype(np.float32)

    make(0)
    bytes_each = 4 * 256 * 1024
    tracemalloc.start()
    kept = sum(int(m.sum()) for m in keep_best_global(Each(range(layers), make), 10**6))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept == 10**6
    assert peak < 6 * bytes_each  # making a layer takes three; all of them are 24


def test_a_misleading_sample_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = select._EVERYTHING
    tried = []
    real = select._threshold

    def spy(scores: object, within: object, low: float, high: float, kept: int) -> object:
        tried.append((low, high))
        return real(scores, within, low, high, kept)  # type: ignore[arg-type]

    monkeypatch.setattr(select, "_threshold", spy)
    misleading = (np.arange(210_000) % 257 == 0).astype(np.float32).reshape(300, 700)
    assert keep_best(misleading, 105_000).sum() == 105_000
    assert tried == [(1, 1), everything]
