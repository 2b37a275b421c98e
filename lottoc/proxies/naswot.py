"""NASWOT: how differently examples switch the network's ReLUs (Mellor et al. 2021, §3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lottoc.diagnostics import input_error
from lottoc.fields import at_least
from lottoc.statistics import Need, Norm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lottoc.statistics.network import TorchNetwork

_RELUS = frozenset({"relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu"})


@dataclass(frozen=True)
class Naswot:
    """log |det K|, K_ij the number of ReLUs that examples i and j switch alike.

    Minus infinity where K is singular: if two examples switch all of them alike, or if there are
    fewer ReLUs than examples.
    """

    samples: int = 64
    seed: int = 0
    norm: Norm = "batch"

    needs: ClassVar[frozenset[Need]] = frozenset({"activations", "inputs", "labels"})

    def __post_init__(self) -> None:
        at_least(self, samples=1, seed=0)

    def measure(self, network: TorchNetwork, layers: Sequence[str]) -> float:
        """Raises `InputError`: proxy-undefined, model-data-shape, torch-forward."""
        import torch

        from lottoc.training.forward import forward

        batches = network.batches(self.samples, self.seed)
        network.deterministic(self.norm)
        x = torch.cat([x for x, _ in batches])
        codes = _codes(lambda: forward(network.module, x))
        if not codes:
            raise input_error(
                "proxy-undefined",
                "naswot counts how ReLUs are switched, and the network calls none",
                help=("leave naswot out of the proxies",),
            )
        return log_determinant(codes)


def _codes(run: Callable[[], Any]) -> list[NDArray[np.bool_]]:
    """What every call of a ReLU is given is above zero, one row an example."""
    import torch
    from torch.overrides import TorchFunctionMode

    found: list[NDArray[np.bool_]] = []

    class Watch(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if getattr(func, "__name__", "") in _RELUS:
                found.append((args[0].detach() > 0).flatten(1).numpy())
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), Watch():
        run()
    return found


def log_determinant(codes: Sequence[NDArray[np.bool_]]) -> float:
    """log |det Σ (BBᵀ + (1-B)(1-B)ᵀ)| over binary codes B, one row an example, in float64."""
    import numpy as np

    kernel = np.zeros((len(codes[0]), len(codes[0])))
    for code in codes:
        on = code.astype(np.float64)
        kernel += on @ on.T + (1 - on) @ (1 - on).T
    values = np.linalg.eigvalsh(kernel)
    if values[0] <= len(values) * np.finfo(np.float64).eps * values[-1]:
        return float("-inf")  # singular, as far as can be told
    return float(np.log(values).sum())
