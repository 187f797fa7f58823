"""Bicubic resizing is the field's: by its definition, and by published baselines."""

import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from hh_keras.data.resizing import imresize, to_pixels
from hh_keras.tasks.restoration import fidelity

FOLDER = pathlib.Path(os.environ.get("RESTORATION_DATA", "-"))

# Mean PSNR of bicubic interpolation on Set5, as all papers since SRCNN
# (arXiv:1501.00092, Table 2) print it: 33.66, 30.39, 28.42.
SET5 = {2: 33.66, 3: 30.39, 4: 28.42}


def keys(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def resized(row, scale):
    """One row by the definition, pixel by pixel."""
    n, stretch = len(row), min(scale, 1)
    mirrored = [*range(n), *reversed(range(n))]
    out = []
    for i in range(int(np.ceil(n * scale))):
        centre = (i + 0.5) / scale - 0.5
        near = range(int(centre) - 20, int(centre) + 21)
        weights = np.array([keys((centre - j) * stretch) for j in near])
        values = np.array([row[mirrored[j % (2 * n)]] for j in near])
        out.append(weights @ values / weights.sum())
    return out


@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 1 / 2, 2, 3, 4])
@pytest.mark.parametrize("size", [5, 12])
def test_rows_and_columns_by_the_definition(scale, size):
    row = np.random.default_rng(size).uniform(0, 255, size)
    expected = resized(row, scale)
    across = np.repeat(row[None, :, None], 4, 0)
    np.testing.assert_allclose(imresize(across, scale)[0, :, 0], expected, rtol=1e-4)
    down = np.repeat(row[:, None], 8, 1)
    np.testing.assert_allclose(imresize(down, scale)[:, 0], expected, rtol=1e-4)


def test_ramps_stay_ramps_and_halves_are_rounded_up():
    ramp = np.tile(np.arange(0, 96.0), (12, 1))
    half = imresize(ramp, 1 / 2)
    assert half.shape == (6, 48) and half.dtype == np.float32
    inside = slice(4, -4)
    np.testing.assert_allclose(half[2, inside], np.arange(48)[inside] * 2 + 0.5, 1e-5)
    np.testing.assert_array_equal(
        to_pixels(np.array([-3, 0.5, 1.49, 300])), [0, 1, 1, 255]
    )


@pytest.mark.parametrize("scale", sorted(SET5))
def test_the_published_baseline(scale):
    if not (FOLDER / "Set5").is_dir():
        pytest.skip("RESTORATION_DATA does not name a folder with Set5/")
    found = []
    for path in sorted((FOLDER / "Set5").iterdir()):
        image = np.asarray(Image.open(path).convert("RGB"))
        height, width = (n // scale * scale for n in image.shape[:2])
        true = fidelity.luma(image[:height, :width])
        larger = np.clip(imresize(imresize(true, 1 / scale), scale), 0, 255)
        found.append(fidelity.psnr(np.round(true), np.round(larger), scale))
    assert np.mean(found) == pytest.approx(SET5[scale], abs=0.006)
