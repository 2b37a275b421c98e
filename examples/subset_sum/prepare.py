"""Writes blobs.npz: four Gaussian blobs in 16 dimensions."""

from pathlib import Path

import numpy as np

draw = np.random.default_rng(0)
centers = draw.normal(size=(4, 16))
labels = draw.integers(0, 4, 3000)
points = (centers[labels] + draw.normal(size=(3000, 16))).astype(np.float32)
np.savez(
    Path(__file__).with_name("blobs.npz"),
    x_train=points[:2000],
    y_train=labels[:2000],
    x_test=points[2000:],
    y_test=labels[2000:],
)
