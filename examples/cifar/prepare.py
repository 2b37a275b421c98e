"""Writes `cifar.npz`: some images of CIFAR-10 as arrays, from a file of JPEGs.

    python examples/cifar/prepare.py cifar10-jpeg.npz [--size 16 -o cifar16.npz]

The file holds `train_jpeg`, `train_offset`, `train_label` and the same of `test`: all JPEG files
end to end, where each begins, and the classes. Images are in random order, so the first ones do.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent


def images(file: np.lib.npyio.NpzFile, split: str, count: int) -> np.ndarray:
    """The first images of a split, uint8 [count, 3, 32, 32]."""
    data, offset = file[f"{split}_jpeg"], file[f"{split}_offset"]
    decoded = [
        np.asarray(Image.open(io.BytesIO(data[offset[i] : offset[i + 1]].tobytes())))
        for i in range(count)
    ]
    return np.stack(decoded).transpose(0, 3, 1, 2)


def smaller(pixels: np.ndarray, size: int) -> np.ndarray:
    """Means over squares, uint8 [count, 3, size, size]; `size` divides 32."""
    count, colours, edge, _ = pixels.shape
    square = edge // size
    parts = pixels.reshape(count, colours, size, square, size, square)
    return parts.mean((3, 5)).round().astype(np.uint8)


def main() -> None:
    """Decode and write, unless the file is there already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=HERE / "cifar.npz")
    parser.add_argument("--train", type=int, default=10_000)
    parser.add_argument("--test", type=int, default=2_000)
    parser.add_argument("--size", type=int, choices=(8, 16, 32), default=32)
    arguments = parser.parse_args()
    if not arguments.output.exists():
        with np.load(arguments.source) as file:
            arrays = {
                "x_train": smaller(images(file, "train", arguments.train), arguments.size),
                "y_train": file["train_label"][: arguments.train],
                "x_test": smaller(images(file, "test", arguments.test), arguments.size),
                "y_test": file["test_label"][: arguments.test],
            }
        np.savez(arguments.output, **arrays)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
