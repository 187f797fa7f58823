"""How well a network restores the images of a data set: loss, PSNR, SSIM."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from hh_keras.data.resizing import imresize, to_pixels
from hh_keras.errors import DataError, HHError, ModelError
from hh_keras.tasks.restoration import fidelity
from hh_keras.tasks.restoration.tiling import restorer

_WHOLE = 2**20  # a tile that any image fits into


def score_images(
    run: Callable,
    dataset: Any,
    kind: str = "mse",
    scale: int = 1,
    on_luma: bool = False,
) -> list[dict[str, float]]:
    """Scores a network image by image, wherever it runs.

    Args:
        run: function of a degraded image, float32 `(h, w, c)`, that returns the
            restored one, float `(scale * h, scale * w, c)`.
        dataset: tf.data dataset of (degraded, clean) batches.
        kind: of the loss, see `pixel_loss`.
        scale: how many times larger the images become.
        on_luma: as for `batch_psnr`; then `scale` pixels of the border do not count.

    Returns:
        A list with a dict per image: loss, psnr (dB), ssim, and psnr_input, which is
        the degraded image's own (enlarged by bicubic interpolation).

    Raises:
        DataError: the dataset is empty.
        HHError: an output is NaN or infinite.
    """
    rows = []
    for degraded, clean in dataset.as_numpy_iterator():
        rows += [
            _scores(run(x), x, y, kind, scale, on_luma) for x, y in zip(degraded, clean)
        ]
    if not rows:
        raise DataError("evaluation: the data set holds not a single image.")
    return rows


def _scores(output, degraded, clean, kind, scale, on_luma):
    if not np.isfinite(output).all():
        raise HHError(
            "evaluation: the network's outputs are not all finite (NaN or infinite "
            "weights); train it again with a lower learning rate."
        )
    difference = np.asarray(output, "float64") - clean
    before = imresize(degraded, scale) if scale > 1 else degraded
    shave = scale if on_luma and scale > 1 else 0
    # Noisy images are not rounded, as in the papers; files of pixels are.
    if scale > 1:
        before = to_pixels(before)
    true, found = _shown(clean, on_luma), _shown(to_pixels(output), on_luma)
    power = np.abs if kind == "mae" else np.square
    return {
        "loss": float(power(difference).mean()),
        "psnr": fidelity.psnr(true, found, shave),
        "ssim": fidelity.ssim(true, found, shave),
        "psnr_input": fidelity.psnr(true, _shown(before, on_luma), shave),
    }


def _shown(image, on_luma):
    """What is compared: luma, rounded as MATLAB's is of uint8 images, or the image."""
    if on_luma and image.shape[-1] == 3:
        return np.round(fidelity.luma(image))
    return image


def averaged(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each score over the images."""
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def whole_images(model: Any) -> Callable:
    """`f(image) → image`, in tiles if the model's graph allows it, else whole."""
    if not isinstance(model, keras.Model):
        return model
    try:
        return restorer(model)
    except ModelError:
        return restorer(model, tile=_WHOLE, overlap=0)
