"""The bench a method works at: train, score, prune, in values it need not look into.

A method is written once against `Lab` and knows neither the IR nor files; the compiler's lab
writes operations, a test's lab can compute at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

W = TypeVar("W")
"""Weights of the whole network, with buffers and optimizer state."""
S = TypeVar("S")
"""Scores of all selected layers."""
M = TypeVar("M")
"""Masks of all selected layers."""

OptimizerState = Literal["keep", "fresh"]


@dataclass(frozen=True)
class Duration:
    """A length of training as the recipe writes it: `100 steps`, `2 epochs`."""

    amount: int
    unit: Literal["steps", "epochs"]

    def __str__(self) -> str:
        return f"{self.amount} {self.unit}"


@dataclass(frozen=True)
class FoundStep:
    """A step that a `stability` block finds: `rewind = basin.step`. In IR it is a number."""

    block: str


class TicketName(str):
    """An option that names another ticket of the recipe."""

    __slots__ = ()


NO_TICKET = TicketName("")

START = Duration(0, "steps")
"""θ_0."""


@dataclass(frozen=True)
class Found(Generic[W, M]):
    """A ticket: its masks, the weights it starts training from, and those it ends with."""

    masks: M
    start: W
    final: W


class Lab(Protocol[W, S, M]):
    """What a method can do."""

    @property
    def initial(self) -> W:
        """θ_0, or the weights of the model's file."""

    @property
    def free(self) -> M | None:
        """What masks may keep; None if that is everything."""

    @property
    def total_steps(self) -> int:
        """T, the length of the training; 0 if the ticket has none."""

    @property
    def pattern(self) -> str:
        """The name of the pattern that masks have."""

    @property
    def last_layer(self) -> str:
        """The prunable layer that comes last in the network."""

    def steps(self, duration: Duration) -> int:
        """A duration in optimizer steps."""

    def rounds(self, count: int) -> Sequence[Any]:
        """What to keep after each of `count` pruning rounds; the last is what the recipe asks."""

    def train(
        self,
        weights: W,
        masks: M | None = None,
        *,
        first: int,
        last: int,
        optimizer: OptimizerState = "fresh",
        lr_at: int | None = None,
        frozen: bool = False,
    ) -> W:
        """Train from step `first` to step `last`; nothing is done if they are equal.

        With `frozen`, what the masks do not keep stays as it is instead of being zero, and so does
        everything that has no mask.
        """

    def difference(self, weights: W, origin: W) -> W:
        """Weights less others: how far training has moved them."""

    def train_sparse(
        self,
        update: str,
        weights: W,
        masks: M | None,
        options: Mapping[str, Any],
        *,
        first: int,
        last: int,
    ) -> tuple[M, W]:
        """Train while an update moves the masks, which start dense if there are none."""

    def score(self, weights: W, masks: M | None = None) -> S:
        """Saliency by the ticket's criterion, which may look at the network under masks."""

    def prune(self, scores: S, target: Any, within: M | None = None) -> M:
        """Keep the best of what is `within`, as much as a round's target says."""

    def select(self, weights: W, target: Any, within: M | None = None) -> M:
        """Score and prune to a round's target, in as many rounds as the criterion asks for.

        A criterion such as synflow is scored anew, under the masks found so far, each time it has
        pruned an equal share of what is left.
        """

    def cut(self, weights: W, target: Any) -> tuple[M, W]:
        """Masks to a round's target, and the weights that go with them.

        They are the same weights, unless the criterion changes what it keeps, as sparsegpt does.
        """

    def approximate(self, weights: W, epsilon: float) -> M:
        """Masks under which the selected layers compute those of the ticket that the recipe names,
        two by two, each weight within `epsilon`; error and width are noted in the report."""

    def observe(self, moment: str, weights: W, masks: M) -> None:
        """Note accuracy and sparsity of this moment in the report."""


class Method(Protocol):
    """A way to find a ticket; the fields of its dataclass are its options in the language.

    A class may say more of itself: `trains`, whether it cannot do without a training; `patterns`,
    the only patterns that it keeps to; `first_criterion`, what scores where a ticket says nothing;
    `usual_scope`, likewise; `trains_weights`, whether it and its controls do; `chooses_amount`,
    whether it finds itself how much to prune; `invertible`, whether its masks keep what the
    criterion scores highest; `adapts`, whether they say what may move. An option `target` names
    another ticket. What is wrong with its options its constructor says by a `ValueError`.
    """

    def first_step(self, lab: Lab[W, S, M]) -> int:
        """The training step at which the finished ticket starts from `Found.start`."""

    def find(self, lab: Lab[W, S, M]) -> Found[W, M]:
        """Run the method."""
