"""The path through a layer, from an input to an output, that puts the fewest weights back.

Paths are compared by the number of weights that have to come back, then by the sum of their
scores. Both add up along a path, and a network has no cycles, so one pass forward and one backward
give the price of the best path to and from every channel of every value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.mask import Mask
from lottoc.masks.signal import Read, Step, Use, Wiring

NEVER = np.int64(1) << 40
"""The price of a path that there is not."""

LARGEST = 1 << 22
"""So many weights of a layer are priced at a time."""


@dataclass(frozen=True)
class Place:
    """A pruned weight that is put back: its layer and its position in C order."""

    layer: str
    position: int


@dataclass(frozen=True)
class Price:
    """For each of many ways, how many weights it puts back and the sum of their scores."""

    count: NDArray[np.int64]
    gain: NDArray[np.float64]

    def __add__(self, other: Price) -> Price:
        return Price(np.minimum(self.count + other.count, NEVER), self.gain + other.gain)

    def __getitem__(self, key: Any) -> Price:
        return Price(np.asarray(self.count[key]), np.asarray(self.gain[key]))

    def reshape(self, *shape: int) -> Price:
        """The same prices in another shape."""
        return Price(self.count.reshape(shape), self.gain.reshape(shape))

    def best(self, axis: int) -> Price:
        """The best along an axis."""
        least = self.count.min(axis=axis, keepdims=True)
        gain = np.where(self.count == least, self.gain, -np.inf).max(axis=axis)
        return Price(least.squeeze(axis), gain)

    def argbest(self) -> int:
        """The position of the best, the lowest of several."""
        return int(np.lexsort((-self.gain.reshape(-1), self.count.reshape(-1)))[0])

    def or_better(self, other: Price) -> Price:
        """Place by place the better of two."""
        more = (other.count == self.count) & (other.gain > self.gain)
        better = (other.count < self.count) | more
        return Price(
            np.where(better, other.count, self.count), np.where(better, other.gain, self.gain)
        )


def _never(*shape: int) -> Price:
    return Price(np.full(shape, NEVER), np.zeros(shape))


def _free(*shape: int) -> Price:
    return Price(np.zeros(shape, np.int64), np.zeros(shape))


@dataclass(frozen=True)
class Prices:
    """What signal pays to pass from one unit to the next; see `repair` for the arguments."""

    wiring: Wiring
    masks: Mapping[str, Mask]
    scores: Callable[[str], NDArray[np.generic]]
    within: Mapping[str, Mask]

    def of(self, use: Use) -> Price | None:
        """[out, in / groups] of a layer; None where all of it is free."""
        own = self.wiring.own.get(use.layer)
        if use.layer not in self.masks:
            if own is None:
                return None
            return Price(np.where(own, np.int64(0), NEVER), np.zeros(own.shape))
        may, score = self._pruned(use.layer)
        kept = self.masks[use.layer].to_bool().reshape(may.shape).any(axis=2)
        count = np.where(kept, np.int64(0), np.where(may.any(axis=2), np.int64(1), NEVER))
        if own is not None:
            count[~own] = NEVER
        best = np.where(may, score, -np.inf).max(axis=2)
        return Price(count, np.where(count == 1, best, 0.0))

    def _pruned(self, layer: str) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """[out, in / groups, places]: which weights can be put back, and their scores."""
        mask = self.masks[layer].to_bool()
        may = ~mask & self.within[layer].to_bool() if layer in self.within else ~mask
        shape = (*mask.shape[:2], -1)
        return may.reshape(shape), self.scores(layer).astype(np.float64).reshape(shape)

    def place(self, layer: str, row: int, column: int) -> Place:
        """The best weight that can be put back between two units."""
        may, score = self._pruned(layer)
        at = int(np.argmax(np.where(may[row, column], score[row, column], -np.inf)))
        position = np.ravel_multi_index((row, column, at), may.shape)
        return Place(layer, int(position))


def cheapest_path(wiring: Wiring, prices: Prices, layer: str) -> list[Place] | None:
    """The weights to put back so that signal passes through `layer`; None if nothing helps."""
    return _Search(wiring, prices).through(layer)


class _Search:
    """Prices by value and channel: `coming` from an input, `going` to an output."""

    def __init__(self, wiring: Wiring, prices: Prices) -> None:
        self.wiring, self.prices = wiring, prices
        self.coming = [_never(width) for width in wiring.widths]
        self.going = [_never(width) for width in wiring.widths]
        self.makers: dict[int, Step | Use] = {step.target: step for step in wiring.steps}
        for value in wiring.inputs:
            self.coming[value] = _free(wiring.widths[value])
        for _, value in wiring.outputs:
            self.going[value] = _free(wiring.widths[value])
        for step in wiring.steps:
            self._forward(step)
        for step in reversed(wiring.steps):
            self._backward(step)

    def _forward(self, step: Step | Use) -> None:
        width = self.wiring.widths[step.target]
        if isinstance(step, Use):
            self.coming[step.target] = self._rows(step)
            return
        for read in step.reads:
            brought = _brought(self.coming[read.source], read, width)
            self.coming[step.target] = self.coming[step.target].or_better(brought)

    def _rows(self, use: Use) -> Price:
        """For each output of a layer the best way to it."""
        price, source, width = self.prices.of(use), self.coming[use.source], self._width(use)
        if use.depthwise:
            return source + (_free(width) if price is None else price[:, 0])
        parts = [self._into(use, price, rows).best(1) for rows in self._chunks(use, price)]
        return _joined(parts)

    def _into(self, use: Use, price: Price | None, rows: NDArray[np.int64]) -> Price:
        """[rows, in / groups]: the price of each way into some outputs of a layer."""
        source, group = self.coming[use.source], rows * use.groups // self._width(use)
        per_group = price.count.shape[1] if price else max(1, source.count.size // use.groups)
        blocks = Price(
            np.broadcast_to(source.count, (use.groups * per_group,)),
            np.broadcast_to(source.gain, (use.groups * per_group,)),
        ).reshape(use.groups, per_group)[group]
        return blocks if price is None else blocks + price[rows]

    def _chunks(self, use: Use, price: Price | None) -> Iterator[NDArray[np.int64]]:
        width = self._width(use)
        columns = self.coming[use.source].count.size if price is None else price.count.shape[1]
        step = max(1, LARGEST // max(1, columns))
        for start in range(0, width, step):
            yield np.arange(start, min(width, start + step))

    def _width(self, use: Use) -> int:
        return self.wiring.widths[use.target]

    def _backward(self, step: Step | Use) -> None:
        if isinstance(step, Use):
            self.going[step.source] = self.going[step.source].or_better(self._columns(step))
            return
        for read in step.reads:
            taken = _taken(self.going[step.target], read, self.wiring.widths[read.source])
            self.going[read.source] = self.going[read.source].or_better(taken)

    def _columns(self, use: Use) -> Price:
        """For each channel of a layer's source the best way on from it."""
        price, target, width = self.prices.of(use), self.going[use.target], self._width(use)
        channels = self.wiring.widths[use.source]
        if use.depthwise:
            return target + (_free(width) if price is None else price[:, 0])
        blocks = target.reshape(use.groups, -1)
        if price is None:
            per_group = max(1, channels // use.groups)
            each = blocks.best(1)
            found = Price(np.repeat(each.count, per_group), np.repeat(each.gain, per_group))
        else:
            found = _joined([self._out_of(price, blocks, g) for g in range(use.groups)])
        if found.count.size == channels:
            return found
        return found.reshape(1, -1).best(1)

    @staticmethod
    def _out_of(price: Price, blocks: Price, group: int) -> Price:
        """[in / groups]: the best way on from each input of one group of a layer."""
        rows, columns = blocks.count.shape[1], price.count.shape[1]
        step, result = max(1, LARGEST // max(1, columns)), _never(columns)
        for start in range(0, rows, step):
            at = slice(group * rows + start, group * rows + min(rows, start + step))
            on = blocks[group, start : start + step]
            total = price[at] + Price(on.count[:, None], on.gain[:, None])
            result = result.or_better(total.best(0))
        return result

    def through(self, layer: str) -> list[Place] | None:
        uses = [s for s in self.wiring.steps if isinstance(s, Use) and s.layer == layer]
        options = [(self._crossing(use), use) for use in uses]
        every = _joined([price.reshape(1) for (price, _, _), _ in options])
        ((price, row, column), use) = options[every.argbest()]
        if price.count >= NEVER:
            return None
        found: dict[Place, None] = {}
        self._pay(use, row, column, found)
        self._trace_back(use.source, self._channel(use, row, column), found)
        self._trace_on(use.target, row, found)
        return list(found)

    def _crossing(self, use: Use) -> tuple[Price, int, int]:
        """The best path through a use of a layer: its price, output and input in its group."""
        price, going = self.prices.of(use), self.going[use.target]
        if use.depthwise:
            total = self._rows(use) + going
            row = total.argbest()
            return total[row], row, 0
        total = self._rows(use) + going
        row = total.argbest()
        column = self._into(use, price, np.array([row])).argbest()
        return total[row], row, column

    def _channel(self, use: Use, row: int, column: int) -> int:
        """Which channel of the source an input of a layer is."""
        channels = self.wiring.widths[use.source]
        if use.depthwise:
            return row
        if channels == 1:
            return 0
        return row * use.groups // self._width(use) * (channels // use.groups) + column

    def _pay(self, use: Use, row: int, column: int, found: dict[Place, None]) -> None:
        price = self.prices.of(use)
        if price is not None and price.count[row, column] == 1:
            found[self.prices.place(use.layer, row, column)] = None

    def _trace_back(self, value: int, channel: int, found: dict[Place, None]) -> None:
        """Follow the best way to a channel back to an input."""
        while value not in self.wiring.inputs:
            step = self.makers[value]
            if isinstance(step, Use):
                price = self.prices.of(step)
                column = 0
                if not step.depthwise:
                    column = self._into(step, price, np.array([channel])).argbest()
                self._pay(step, channel, column, found)
                value, channel = step.source, self._channel(step, channel, column)
                continue
            width = self.wiring.widths[value]
            ways = [_brought(self.coming[r.source], r, width)[channel] for r in step.reads]
            read = step.reads[_joined([way.reshape(1) for way in ways]).argbest()]
            value = read.source
            if read.places is None:
                channel = self.coming[value].argbest()
            else:
                channel = int(read.places[channel])

    def _trace_on(self, value: int, channel: int, found: dict[Place, None]) -> None:
        """Follow the best way from a channel on to an output."""
        ends = {end for _, end in self.wiring.outputs}
        while value not in ends:
            ways = list(self._ways_on(value, channel))
            price, use, target, next_channel, column = ways[
                _joined([way[0].reshape(1) for way in ways]).argbest()
            ]
            assert price.count < NEVER
            if use is not None:
                self._pay(use, next_channel, column, found)
            value, channel = target, next_channel

    def _ways_on(
        self, value: int, channel: int
    ) -> Iterator[tuple[Price, Use | None, int, int, int]]:
        """Prices of the next steps: with the layer, the value and channel led to, the input."""
        for step in self.wiring.steps:
            going = self.going[step.target]
            if isinstance(step, Use):
                if step.source == value:
                    yield self._next_row(step, channel)
                continue
            for read in step.reads:
                if read.source == value:
                    at = np.arange(going.count.size)
                    if read.places is not None:
                        at = np.flatnonzero(read.places == channel)
                    if at.size:
                        best = int(at[going[at].argbest()])
                        yield going[best], None, step.target, best, 0

    def _next_row(self, use: Use, channel: int) -> tuple[Price, Use, int, int, int]:
        price, going = self.prices.of(use), self.going[use.target]
        channels, width = self.wiring.widths[use.source], self._width(use)
        if use.depthwise:
            on = going[channel] if price is None else going[channel] + price[channel, 0]
            return on, use, use.target, channel, 0
        if channels == 1 and price is not None:  # every input of the layer at once
            total = price + Price(going.count[:, None], going.gain[:, None])
            row, column = divmod(total.argbest(), price.count.shape[1])
            return total[row, column], use, use.target, row, column
        per_group, rows = max(1, channels // use.groups), width // use.groups
        group, column = divmod(channel, per_group)
        at = np.arange(group * rows, (group + 1) * rows) if channels > 1 else np.arange(width)
        total = going[at] if price is None else going[at] + price[at, column]
        row = total.argbest()
        return total[row], use, use.target, int(at[row]), column


def _joined(parts: list[Price]) -> Price:
    return Price(
        np.concatenate([part.count for part in parts]),
        np.concatenate([part.gain for part in parts]),
    )


def _brought(source: Price, read: Read, width: int) -> Price:
    """What a source brings to each channel of a target."""
    if read.places is None:
        best = source.best(0)
        return Price(np.broadcast_to(best.count, (width,)), np.broadcast_to(best.gain, (width,)))
    found = source[read.places]
    return Price(np.where(read.places < 0, NEVER, found.count), found.gain)


def _taken(target: Price, read: Read, width: int) -> Price:
    """Where each channel of a source can go on to."""
    if read.places is None:
        best = target.best(0)
        return Price(np.broadcast_to(best.count, (width,)), np.broadcast_to(best.gain, (width,)))
    order = np.lexsort((-target.gain, target.count))
    order = order[read.places[order] >= 0]
    channels, first = np.unique(read.places[order], return_index=True)
    result = _never(width)
    result.count[channels] = target.count[order[first]]
    result.gain[channels] = target.gain[order[first]]
    return result
