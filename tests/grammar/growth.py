"""How a cost grows with a text's length, on a machine that does other work too."""

from collections.abc import Callable


def growth(seconds: Callable[[int], float], short: int, long: int) -> float:
    """The cost of ``long`` over that of ``short``, each the least of five: noise only ever adds.

    With ``long`` eight times ``short``, linear work gives about 8 and quadratic work 64.
    """
    times = [(seconds(short), seconds(long)) for _ in range(5)]
    return min(slow for _, slow in times) / min(quick for quick, _ in times)
