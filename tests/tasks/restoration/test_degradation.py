import numpy as np
import pytest

from hh_keras.data.resizing import imresize, to_pixels
from hh_keras.errors import DataError
from hh_keras.tasks.restoration.degradation import Degradation


@pytest.fixture
def photograph():
    rows, columns = np.mgrid[:48, :64]
    grey = 128 + 80 * np.sin(rows / 5) * np.cos(columns / 7)
    return np.stack([grey, 255 - grey, grey / 2], -1).astype(np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_noise_has_its_strength_and_is_not_clipped(photograph):
    noisy = Degradation.parse("noise:25").apply(photograph, rng())
    difference = noisy - photograph
    assert noisy.dtype == np.float32 and noisy.max() > 255
    assert difference.std() == pytest.approx(25, rel=0.03)
    assert abs(difference.mean()) < 1
    again = Degradation("noise", 25, 25).apply(photograph, rng())
    np.testing.assert_array_equal(again, noisy)
    assert (Degradation.parse("noise:25").apply(photograph, rng(1)) != noisy).any()


def test_strengths_are_drawn_from_the_whole_range(photograph):
    blind = Degradation.parse("noise:0-55")
    found = [(blind.apply(photograph, rng(k)) - photograph).std() for k in range(40)]
    assert min(found) < 8 and max(found) > 47 and 20 < np.mean(found) < 35


def test_jpeg_is_worse_at_lower_quality(photograph):
    def error(text, image):
        worse = Degradation.parse(text).apply(image, rng())
        assert worse.shape == image.shape and worse.dtype == np.float32
        return np.abs(worse - image).mean()

    for image in (photograph, photograph[..., :1]):
        assert error("jpeg:5", image) > 2 * error("jpeg:90", image) > 0


def test_bicubic_is_rounded(photograph):
    small = Degradation.parse("bicubic:4").apply(photograph, None)
    np.testing.assert_array_equal(small, to_pixels(imresize(photograph, 1 / 4)))
    assert small.shape == (12, 16, 3) and small.dtype == np.float32


@pytest.mark.parametrize("text", ["noise:25", "noise:0-55", "jpeg:10-40", "bicubic:3"])
def test_texts_survive(text):
    assert str(Degradation.parse(text)) == text


@pytest.mark.parametrize(
    "text, told",
    [
        ("noise", "KIND:AMOUNT"),
        ("blur:3", "noise, jpeg, bicubic"),
        ("noise:50-10", "smaller one first"),
        ("noise:300", "0 to 255"),
        ("jpeg:0", "1 to 100"),
        ("jpeg:10.5", "whole numbers"),
        ("bicubic:1", "2 to 8"),
        ("bicubic:2-4", "one scale"),
    ],
)
def test_others_are_refused(text, told):
    with pytest.raises(DataError, match=told):
        Degradation.parse(text)
