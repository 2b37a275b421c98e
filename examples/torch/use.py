"""Runs the programs of mnist.lotto on the test images, and trains the masked one further.

python examples/torch/use.py out
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

import lottoc


def main(folder: Path) -> None:
    """Print accuracies of the programs in a folder."""
    with np.load(Path(__file__).parents[1] / "lenet" / "mnist.npz") as data:
        x, y = (torch.from_numpy(data[name]) for name in ("x_train", "y_train"))
        test_x, test_y = (torch.from_numpy(data[name]) for name in ("x_test", "y_test"))
    x, test_x = (part.float() / 255 if part.dtype == torch.uint8 else part for part in (x, test_x))

    def accuracy(model: torch.nn.Module) -> float:
        with torch.no_grad():
            return float((model(test_x).argmax(1) == test_y).float().mean())

    for name in ("dense", "half", "masked", "thin"):
        print(f"{name}.pt2: {accuracy(lottoc.load(folder / f'{name}.pt2')):.1%}")
    model = lottoc.load(folder / "masked.pt2")
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    order = torch.Generator().manual_seed(0)
    for batch in torch.randperm(len(x), generator=order).split(60):
        optimizer.zero_grad()
        functional.cross_entropy(model(x[batch]), y[batch].long()).backward()
        optimizer.step()
    pruned = 0
    for name, mask in model.named_buffers():
        if name.endswith("_mask"):
            pruned += int(model.get_parameter(name.removesuffix("_mask"))[~mask].count_nonzero())
    print(f"masked.pt2, one epoch later: {accuracy(model):.1%}; pruned weights not zero: {pruned}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
