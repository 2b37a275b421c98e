"""Counts of kept weights, against published figures, laws and direct definitions."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottoc.masks.allocate import SCOPES, allocate, pruned_count, schedule

LENET = [(300, 784), (100, 300), (10, 100)]
CONVOLUTIONS = [(16, 3, 3, 3), (32, 16, 3, 3), (64, 32, 3, 3), (10, 64)]

shapes = st.lists(st.lists(st.integers(1, 40), min_size=2, max_size=4), min_size=1, max_size=6)
shares = st.fractions(0, 1, max_denominator=10**4)


def sizes(of: list[tuple[int, ...]] | list[list[int]]) -> list[int]:
    return [math.prod(shape) for shape in of]


@pytest.mark.parametrize(
    ("network", "sparsity", "expected"),
    [
        (LENET, "0.9", [0.920432, 0.769811, 0]),
        (LENET, "0.98", [0.984606, 0.955466, 0.632597]),
        (CONVOLUTIONS, "0.9", [0.433126, 0.885208, 0.945793, 0]),
    ],
)
def test_erk_is_that_of_rigl(
    network: list[tuple[int, ...]], sparsity: str, expected: list[float]
) -> None:
    """Sparsities of rigl/sparse_utils.py: not whole numbers of weights, and where each layer's
    ⌊s·n⌋ loses a fraction they keep up to one weight a layer more in all.
    """
    counts = allocate("erk", network, Fraction(sparsity))
    for count, size, published in zip(counts, sizes(network), expected, strict=True):
        assert abs(count - (1 - published) * size) < 1.5


def test_uniform_and_layerwise_by_hand() -> None:
    assert allocate("uniform", LENET, Fraction("0.9")) == [23520, 3000, 100]
    assert allocate("layerwise", LENET, Fraction("0.9")) == [23520, 3000, 100]
    # a third of 4, 4 and 1: 3 in all against 2 + 2 + 1, each pruned by ⌊·⌋
    assert allocate("uniform", [(2, 2), (2, 2), (1, 1)], Fraction(2, 3)) == [2, 1, 0]
    assert allocate("layerwise", [(2, 2), (2, 2), (1, 1)], Fraction(2, 3)) == [2, 2, 1]


@given(shapes, shares, st.sampled_from(sorted(SCOPES)))
def test_counts_fit(network: list[list[int]], sparsity: Fraction, scope: str) -> None:
    counts, total = allocate(scope, network, sparsity), sum(sizes(network))
    assert all(0 <= count <= size for count, size in zip(counts, sizes(network), strict=True))
    if scope == "layerwise":
        assert counts == [n - pruned_count(n, sparsity) for n in sizes(network)]
    else:
        assert sum(counts) == total - pruned_count(total, sparsity)


@given(shapes, shares, shares, st.sampled_from(sorted(SCOPES)))
def test_pruning_more_never_keeps_more(
    network: list[list[int]], one: Fraction, other: Fraction, scope: str
) -> None:
    more = allocate(scope, network, max(one, other))
    less = allocate(scope, network, min(one, other))
    assert all(a <= b for a, b in zip(more, less, strict=True))


@pytest.mark.parametrize("scope", ["uniform", "erk"])
@given(network=shapes)
def test_one_weight_less_is_one_weight_less_in_one_layer(
    network: list[list[int]], scope: str
) -> None:
    """Where largest remainders fail: a total that falls by one may raise a part by one."""
    total = min(sum(sizes(network)), 100)
    counts = [
        allocate(scope, network, 1 - Fraction(kept, sum(sizes(network)))) for kept in range(total)
    ]
    for smaller, larger in itertools.pairwise(counts):
        steps = sorted(b - a for a, b in zip(smaller, larger, strict=True))
        assert steps == [0] * (len(network) - 1) + [1]


@given(shapes, shares)
def test_uniform_is_as_near_as_can_be(network: list[list[int]], sparsity: Fraction) -> None:
    for count, size in zip(allocate("uniform", network, sparsity), sizes(network), strict=True):
        assert abs(count - (1 - sparsity) * size) <= len(network)


@given(shapes, shares)
def test_erk_fills_layers_in_proportion_to_their_dimensions(
    network: list[list[int]], sparsity: Fraction
) -> None:
    """The definition, by bisection for ε in floating point: count = min(size, ε · Σ dims)."""
    total = sum(sizes(network)) - pruned_count(sum(sizes(network)), sparsity)
    low, high = 0.0, float(max(sizes(network)))
    for _ in range(200):
        middle = (low + high) / 2
        filled = sum(min(math.prod(s), middle * sum(s)) for s in network)
        low, high = (middle, high) if filled < total else (low, middle)
    for count, shape in zip(allocate("erk", network, sparsity), network, strict=True):
        assert abs(count - min(math.prod(shape), low * sum(shape))) <= len(network) + 1e-6


def webster(claims: list[int], limits: list[int], total: int) -> list[int]:
    """The definition of the divisor method: one seat after another to the least quotient."""
    counts = [0] * len(claims)
    for _ in range(total):
        open_ = [i for i in range(len(claims)) if counts[i] < limits[i]]
        counts[min(open_, key=lambda i: (Fraction(2 * counts[i] + 1, claims[i]), i))] += 1
    return counts


@given(shapes.filter(lambda network: sum(sizes(network)) < 3000), shares)
def test_divisions_are_webster_s(network: list[list[int]], sparsity: Fraction) -> None:
    total = sum(sizes(network)) - pruned_count(sum(sizes(network)), sparsity)
    uniform = webster(sizes(network), sizes(network), total)
    erk = webster([sum(shape) for shape in network], sizes(network), total)
    assert allocate("uniform", network, sparsity) == uniform
    assert allocate("erk", network, sparsity) == erk


@pytest.mark.parametrize("scope", sorted(SCOPES))
def test_nothing_and_everything(scope: str) -> None:
    assert allocate(scope, LENET, Fraction(0)) == sizes(LENET)
    assert allocate(scope, LENET, Fraction(1)) == [0, 0, 0]
    assert allocate(scope, [], Fraction(1, 2)) == []


def test_large_networks_are_divided_at_once() -> None:
    network = [(11008, 4096)] * 300 + [(10, 64)] * 300
    counts = allocate("erk", network, Fraction(19, 20))
    assert sum(counts) == sum(sizes(network)) - pruned_count(sum(sizes(network)), Fraction(19, 20))


@given(st.integers(0, 10**12), st.integers(0, 1000))
def test_percentages_are_exact(size: int, permille: int) -> None:
    assert pruned_count(size, Fraction(permille, 1000)) == size * permille // 1000


@given(shares, st.integers(1, 40))
def test_schedules_prune_equal_shares(sparsity: Fraction, rounds: int) -> None:
    steps = schedule(sparsity, rounds)
    assert len(steps) == rounds
    assert steps[-1] == sparsity
    assert steps == sorted(steps)
    assert steps[0] >= 0
    for i, step in enumerate(steps, start=1):
        exact = 1 - math.exp(i / rounds * math.log1p(-sparsity)) if sparsity < 1 else 1.0
        assert float(step) == pytest.approx(exact, abs=1e-12)


def test_a_fifth_a_round_gives_the_densities_of_the_literature() -> None:
    """Frankle & Carbin's axis: 80, 64, 51.2, … percent."""
    densities = [float(100 * (1 - s)) for s in schedule(1 - Fraction(4, 5) ** 20, 20)]
    published = "80 64 51.2 40.96 32.77 26.21 20.97 16.78 13.42 10.74 8.59 6.87 5.5 4.4 3.52 2.81"
    expected = [*map(float, published.split()), 2.25, 1.8, 1.44, 1.15]
    assert densities == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("density", [Fraction(1, 10**40), Fraction(1, 10**300)])
def test_schedules_never_overshoot(density: Fraction) -> None:
    steps = schedule(1 - density, 7)
    assert steps == sorted(steps)
    assert steps[-1] == 1 - density
