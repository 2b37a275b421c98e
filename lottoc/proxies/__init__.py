"""Zero-cost proxies: one number for a network that nobody has trained; one line here a proxy.

Source: Abdelfattah et al. 2021 ("Zero-Cost Proxies for Lightweight NAS"), Mellor et al. 2021
("Neural Architecture Search without Training"). The higher, the better the network is expected
to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Protocol

from lottoc.statistics import Need

if TYPE_CHECKING:
    from lottoc.statistics.network import TorchNetwork

PROXIES = {
    "fisher": "lottoc.proxies.fisher:Fisher",
    "grad_norm": "lottoc.proxies.saliency:GradNorm",
    "grasp": "lottoc.proxies.saliency:Grasp",
    "naswot": "lottoc.proxies.naswot:Naswot",
    "snip": "lottoc.proxies.saliency:Snip",
    "synflow": "lottoc.proxies.saliency:Synflow",
}


class Proxy(Protocol):
    """A number for a network; the fields of its dataclass are its options."""

    needs: ClassVar[frozenset[Need]]

    def measure(self, network: TorchNetwork, layers: Sequence[str]) -> float:
        """The proxy, summed over the layers where it is one number a layer."""


def proxy_class(name: str) -> type[Proxy]:
    """The class of a proxy; `KeyError` if there is none of that name."""
    module, _, attribute = PROXIES[name].partition(":")
    found: type[Proxy] = getattr(import_module(module), attribute)
    return found
