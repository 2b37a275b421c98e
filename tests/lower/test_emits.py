"""Which patterns keep at most two of every four, by trying every mask that they allow."""

from __future__ import annotations

import itertools

import pytest

from lottoc.lower.emits import _is_two_of_four

RATIOS = [(n, m) for m in range(1, 9) for n in range(1, m + 1)]


def most_of_four(n: int, m: int) -> int:
    """The most that four aligned neighbours hold in any two or more groups of n of m."""
    length = 4 * m
    groups = [list(itertools.combinations(range(m), n))] * (length // m)
    ends = [
        max(sum(at * m + i in range(s, s + 4) for i in c) for c in choices)
        for s in range(0, length, 4)
        for at, choices in enumerate(groups)
    ]
    whole = len(groups)
    return max(sum(ends[k * whole : (k + 1) * whole]) for k in range(length // 4))


@pytest.mark.parametrize(("n", "m"), RATIOS)
def test_ratios(n: int, m: int) -> None:
    assert _is_two_of_four(f"{n}:{m}") == (most_of_four(n, m) <= 2)


@pytest.mark.parametrize("pattern", ["unstructured", "groups(64)", ""])
def test_other_patterns(pattern: str) -> None:
    assert not _is_two_of_four(pattern)
