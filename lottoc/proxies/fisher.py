"""Fisher: how much the loss would change without each channel (Theis et al. 2018; Turner et al.
2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lottoc.proxies.saliency import _OfLoss

if TYPE_CHECKING:
    from lottoc.statistics.network import TorchNetwork


@dataclass(frozen=True)
class Fisher(_OfLoss):
    """Σ over channels of ½ · mean over examples of (Σ over places a · ∂L/∂a)², a the outputs of a
    layer before any normalization; each channel counts once for each of its weights."""

    def measure(self, network: TorchNetwork, layers: Sequence[str]) -> float:
        """Raises `InputError`: model-data-shape, data-labels, torch-forward, torch-backward."""
        from lottoc.training.forward import differentiate

        weights = network.weights(layers)
        batches = network.batches(self.samples, self.seed)
        network.deterministic(self.norm)
        outputs: list[tuple[str, Any]] = []
        hooks = [
            network.module.get_submodule(name).register_forward_hook(
                lambda module, given, output, name=name: outputs.append((name, output))
            )
            for name in layers
        ]
        total, count = 0.0, sum(len(y) for _, y in batches)
        try:
            for loss in network.losses(batches):
                slopes = differentiate(loss, [output for _, output in outputs])
                for (name, output), slope in zip(outputs, slopes, strict=True):
                    # the class of a linear layer's output stands last, that of a convolution second
                    channel = output.ndim - 1 if weights[name].ndim == 2 else 1
                    places = [axis for axis in range(output.ndim) if axis not in (0, channel)]
                    product = (output.detach() * slope).double()
                    each = product.sum(places) if places else product
                    fan_in = weights[name].numel() // len(weights[name])
                    total += 0.5 * float(each.square().sum()) / count * fan_in
                outputs.clear()
        finally:
            for hook in hooks:
                hook.remove()
        return total
