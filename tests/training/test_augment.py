"""Images changed before a step: what comes out, how often, and that a step alone decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lottoc.diagnostics import InputError
from lottoc.frontends.data import Arrays
from lottoc.training.augment import Crop, Flip, augmented, parse, spelt
from lottoc.training.loop import train
from lottoc.training.module import state_of
from lottoc.training.spec import TrainingSpec


def images(count: int, height: int = 6, width: int = 5) -> torch.Tensor:
    """No number twice, and no zero, so that every place is known again."""
    shape = (count, 2, height, width)
    return torch.arange(1, 1 + int(np.prod(shape)), dtype=torch.float32).reshape(shape)


def test_half_of_the_images_are_mirrored() -> None:
    x = images(2000)
    found = augmented(x, [Flip()], seed=0, step=0)
    flipped = (found == x.flip(3)).all(dim=(1, 2, 3))
    kept = (found == x).all(dim=(1, 2, 3))
    assert bool((flipped ^ kept).all())
    assert 0.45 < float(flipped.float().mean()) < 0.55


def test_a_crop_is_a_window_of_the_padded_image_and_every_window_comes() -> None:
    x, padding = images(3000), 2
    found = augmented(x, [Crop(padding)], seed=1, step=7)
    wide = nn.functional.pad(x, (padding,) * 4)
    counts = np.zeros((5, 5), int)
    for number in range(len(x)):
        windows = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.equal(found[number], wide[number, :, top : top + 6, left : left + 5])
        ]
        assert len(windows) == 1
        counts[windows[0]] += 1
    assert counts.min() > 70  # 120 are expected of each


def test_a_step_alone_decides() -> None:
    x, both = images(16), [Flip(), Crop(1)]
    again = augmented(x, both, seed=3, step=5)
    assert torch.equal(augmented(x, both, seed=3, step=5), again)
    assert not torch.equal(augmented(x, both, seed=3, step=6), again)
    assert not torch.equal(augmented(x, both, seed=4, step=5), again)
    assert torch.equal(x, images(16))


@pytest.mark.parametrize("text", ["flip", "crop(4)"])
def test_spelling(text: str) -> None:
    assert spelt(parse(text)) == text


@pytest.mark.parametrize("text", ["", "crop", "flip(2)", "crop(0)", "turn", "crop(4) "])
def test_what_is_no_change_of_images(text: str) -> None:
    with pytest.raises(ValueError, match=r"crop|flip|padding"):
        parse(text)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(120, 3))


def data() -> Arrays:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 2, 6, 5)).astype(np.float32)
    return Arrays(x, rng.integers(0, 3, 20))


SPEC = TrainingSpec(steps=12, batch=8, lr=0.1, momentum=0.9, augment=("flip", "crop(1)"))


def test_a_training_cut_in_two_is_the_same_training() -> None:
    model = net()
    start = state_of(model, None, 0)
    whole = train(model, start, data(), SPEC, start=0, stop=12)
    half = train(model, start, data(), SPEC, start=0, stop=5)
    rest = train(model, half, data(), SPEC, start=5, stop=12, optimizer="keep")
    plain = train(model, start, data(), TrainingSpec(**{**vars(SPEC), "augment": ()}),
                  start=0, stop=12)  # fmt: skip
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(rest.arrays[name], array)
    assert any(not np.array_equal(plain.arrays[n], a) for n, a in whole.arrays.items())


def test_examples_that_are_no_images_are_refused() -> None:
    model = nn.Linear(4, 3)
    flat = Arrays(np.zeros((8, 4), np.float32), np.zeros(8, np.int64))
    with pytest.raises(InputError) as caught:
        train(model, state_of(model, None, 0), flat, SPEC, start=0, stop=1)
    (found,) = caught.value.diagnostics
    assert found.code == "augment-unsuited"
    assert "[4] are no images" in found.message


@pytest.mark.parametrize(("padding", "fits"), [(4, True), (5, False), (10**12, False)])
def test_a_crop_that_may_leave_nothing_of_an_image_is_refused(padding: int, fits: bool) -> None:
    spec = TrainingSpec(**{**vars(SPEC), "augment": ("flip", f"crop({padding})")})
    model = net()
    try:
        train(model, state_of(model, None, 0), data(), spec, start=0, stop=1)
    except InputError as error:
        (found,) = error.diagnostics
        assert not fits
        assert found.code == "augment-unsuited"
        assert f"crop({padding}) may leave nothing of an image of 6 by 5" in found.message
        assert found.help == ("write at most crop(4)",)
    else:
        assert fits
