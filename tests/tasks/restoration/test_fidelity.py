"""PSNR and SSIM agree with scikit-image, and with what papers print."""

import os
import pathlib

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from hh_keras.data.embedded import PHOTOGRAPHS
from hh_keras.tasks.restoration import fidelity

FOLDER = pathlib.Path(os.environ.get("RESTORATION_DATA", "-"))


@pytest.fixture(
    scope="module",
    params=sorted(PHOTOGRAPHS.glob("val/*.png")),
    ids=lambda path: path.stem,
)
def pair(request):
    image = np.asarray(Image.open(request.param).convert("RGB"), "float64")
    noise = np.random.default_rng(0).normal(0, 20, image.shape)
    return image, np.clip(image + noise, 0, 255)


@pytest.mark.parametrize("shave", [0, 3])
def test_scores_are_those_of_scikit_image(pair, shave):
    inside = slice(shave, -shave or None)
    true, noisy = (x[inside, inside] for x in pair)
    assert fidelity.psnr(*pair, shave) == pytest.approx(
        peak_signal_noise_ratio(true, noisy, data_range=255), abs=1e-9
    )
    settings = {"gaussian_weights": True, "sigma": 1.5, "data_range": 255}
    settings["use_sample_covariance"] = False
    whole = structural_similarity(true, noisy, channel_axis=2, **settings)
    assert fidelity.ssim(*pair, shave) == pytest.approx(whole, abs=1e-9)
    grey = structural_similarity(true[..., 0], noisy[..., 0], **settings)
    found = fidelity.ssim(pair[0][..., 0], pair[1][..., 0], shave)
    assert found == pytest.approx(grey, abs=1e-9)


def test_luma_is_that_of_scikit_image(pair):
    np.testing.assert_allclose(
        fidelity.luma(pair[0]), rgb2ycbcr(pair[0].astype("uint8"))[..., 0], atol=1e-9
    )
    black_and_white = np.array([[0.0, 0, 0], [255, 255, 255]])
    np.testing.assert_allclose(fidelity.luma(black_and_white), [16, 235])


def test_equal_and_unlike_images(pair):
    true = pair[0]
    assert fidelity.psnr(true, true) == np.inf
    assert fidelity.ssim(true, true) == pytest.approx(1)
    assert fidelity.psnr(true, true + 255) == pytest.approx(0)
    with pytest.raises(ValueError, match="differ"):
        fidelity.psnr(true, true[1:])


@pytest.mark.parametrize("name, expected", [("BSD68", 20.17), ("Set12", 20.17)])
def test_noisy_images_have_the_published_psnr(name, expected):
    """10 log10(255² / 25²) = 20.17 dB at sigma 25, whatever the image."""
    if not (FOLDER / name).is_dir():
        pytest.skip(f"RESTORATION_DATA does not name a folder with {name}/")
    rng, found = np.random.default_rng(0), []
    for path in sorted((FOLDER / name).iterdir()):
        image = np.asarray(Image.open(path).convert("L"), "float64")
        found.append(fidelity.psnr(image, image + rng.normal(0, 25, image.shape)))
    assert np.mean(found) == pytest.approx(expected, abs=0.02)
