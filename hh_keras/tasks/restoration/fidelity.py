"""How near a restored image is to the true one: PSNR and SSIM, as papers give them."""

import numpy as np
from scipy.ndimage import correlate1d

LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)
"""Parts of R, G, B in BT.601's luma as of MATLAB's `rgb2ycbcr`, which adds 16."""

_SIGMA, _RADIUS = 1.5, 5  # a window of 11


def luma(image: np.ndarray) -> np.ndarray:
    """BT.601's luma of an RGB image, 16 to 235.

    Args:
        image: `(..., 3)`, 0 to 255.

    Returns:
        float64 of the same shape without the channels, not rounded.
    """
    return np.asarray(image, "float64") @ np.array(LUMA) + 16.0


def psnr(true: np.ndarray, image: np.ndarray, shave: int = 0) -> float:
    """Peak signal-to-noise ratio in dB, for a peak of 255.

    Args:
        true, image: arrays of the same shape `(height, width[, channels])`.
        shave: pixels of the border that do not count.

    Returns:
        `10 log10(255² / mean squared error)`; infinite for equal images.
    """
    true, image = _compared(true, image, shave)
    error = np.mean((true - image) ** 2)
    return float(10 * np.log10(255.0**2 / error)) if error else float("inf")


def ssim(true: np.ndarray, image: np.ndarray, shave: int = 0) -> float:
    """Structural similarity, at most 1: Gaussian window of 11, sigma 1.5.

    Statistics are taken where the window fits into the image. Channels are averaged.

    Args:
        true, image, shave: as for `psnr`; at least 11 pixels on each side must be left.

    Reference: Wang et al., IEEE Trans. Image Processing 13(4), 2004.
    """
    x, y = _compared(true, image, shave)
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x = _blurred(x * x) - mean_x**2
    var_y = _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    bottom = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return float(np.mean(top / bottom))


def _compared(true, image, shave):
    true, image = np.asarray(true, "float64"), np.asarray(image, "float64")
    if true.shape != image.shape:
        raise ValueError(f"images of shapes {true.shape} and {image.shape} differ.")
    if shave:
        inside = (slice(shave, -shave),) * 2
        true, image = true[inside], image[inside]
    return true, image


def _blurred(x):
    taps = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    taps /= taps.sum()
    x = correlate1d(correlate1d(x, taps, axis=0), taps, axis=1)
    return x[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
