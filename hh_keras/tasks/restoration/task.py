"""Image restoration: denoising, removing JPEG's traces, super-resolution.

Networks take degraded images, float32 pixels 0 to 255, and return clean ones of the
same range. The labels of a batch are clean images.
"""

import math

import keras
import numpy as np
from keras import ops

from hh_keras.data.resizing import imresize, to_pixels
from hh_keras.errors import DataError, HHError, ModelError
from hh_keras.graph.reach import reach
from hh_keras.tasks.restoration import fidelity
from hh_keras.tasks.restoration.degradation import Degradation
from hh_keras.tasks.restoration.tiling import restorer
from hh_keras.training.task import Task, single_output

_LEAST_ERROR = 1e-4  # squared grey levels: PSNR of training ends at 88 dB

_WHOLE = 2**20  # a tile that any image fits into

# With them, both small networks of a run are trained in some five minutes on two cores.
_DEFAULTS = {
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "weight_decay": 0.0,
    "epochs": 60,
    "schedule": "cosine",
    "batch_size": 16,
    "channels": 3,
    "augment": "flip_rotate",
}


def denoising(degradation=None):
    """The task of `noise` and `jpeg`: mean squared error, PSNR of all channels.

    Args:
        degradation: a `Degradation`; None is noise of sigma 25.
    """
    degradation = degradation or Degradation("noise", 25.0, 25.0)
    defaults = {"model": "dncnn_small", "degrade": str(degradation), "patch": 48}
    return _task("denoise", "denoising network", "mse", 1, False, defaults)


def super_resolution(scale=2):
    """The task of `bicubic`: mean absolute error, PSNR of luma without the border.

    Args:
        scale: how many times larger the images become; as many pixels of the border do
            not count.
    """
    defaults = {"model": "edsr_small", "degrade": f"bicubic:{scale}", "patch": 32}
    return _task("sr", "super-resolution network", "mae", scale, True, defaults)


def task_for(degradation):
    """The task of restoring what a `Degradation` did."""
    if degradation.scale > 1:
        return super_resolution(degradation.scale)
    return denoising(degradation)


def _task(name, noun, kind, scale, on_luma, defaults):
    shave = scale if scale > 1 else 0

    def evaluate(model, dataset):
        """Of a Keras model, or a function of an image as `score_images` takes it."""
        return averaged(score_images(_restorer(model), dataset, kind, scale, on_luma))

    return Task(
        name=name,
        noun=noun,
        loss=lambda model, label_smoothing=0.0: pixel_loss(kind),
        measures={"psnr": batch_psnr(shave, on_luma)},
        goal="psnr",
        evaluate=evaluate,
        check=lambda model, data: check_model(model, data, scale),
        defaults={**_DEFAULTS, **defaults},
        preview=lambda model, data, count: preview(model, data, count, scale),
        encoded=encoded,
        distills=("none", "sp"),
        unfit=("label_smoothing", "rand_augment", "mixup", "cutmix"),
        criterion="gradient",  # benchmarks/restoration.md
    )


def pixel_loss(kind):
    """Mean error over the pixels of each image, in grey levels of 255.

    Args:
        kind: "mae" (absolute) or "mse" (squared).

    Returns:
        `f(clean, outputs) → (batch,)`, of images `(batch, height, width, channels)`.
    """
    power = {"mae": ops.absolute, "mse": ops.square}[kind]

    def loss(clean, outputs):
        return ops.mean(power(ops.cast(clean, outputs.dtype) - outputs), (1, 2, 3))

    return loss


def batch_psnr(shave, on_luma):
    """PSNR of each image of a batch as `evaluate` computes it, on float32 tensors.

    Args:
        shave: pixels of the border that do not count.
        on_luma: whether RGB images are compared by their luma.

    Returns:
        `f(clean, outputs) → (batch,)` in dB.
    """

    def psnr(clean, outputs):
        pair = [ops.clip(ops.round(x), 0.0, 255.0) for x in (clean, outputs)]
        if on_luma and clean.shape[-1] == 3:
            weights = ops.convert_to_tensor(fidelity.LUMA, "float32")
            pair = [ops.round(ops.sum(x * weights, -1, keepdims=True)) for x in pair]
        if shave:
            pair = [x[:, shave:-shave, shave:-shave] for x in pair]
        error = ops.mean(ops.square(pair[0] - pair[1]), (1, 2, 3))
        return 10 / math.log(10) * ops.log(255.0**2 / ops.maximum(error, _LEAST_ERROR))

    return psnr


def score_images(run, dataset, kind="mse", scale=1, on_luma=False):
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


def averaged(rows):
    """The mean of each score over the images."""
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def _restorer(model):
    """`f(image) → image`, in tiles if the model's graph allows it, else whole."""
    if not isinstance(model, keras.Model):
        return model
    try:
        return restorer(model)
    except ModelError:
        return restorer(model, tile=_WHOLE, overlap=0)


def check_model(model, data, scale):
    """Raises unless a model restores a data set's images.

    Args:
        model: the network.
        data: has `image_shape`, that of the degraded patches.
        scale: how many times larger the clean ones are.

    Raises:
        ModelError: several inputs or outputs, no images, other channels, sizes it does
            not take, or another scale.
    """
    output, shape = single_output(model), tuple(data.image_shape)
    takes = tuple(model.inputs[0].shape[1:])
    if len(model.inputs) != 1 or len(takes) != 3 or len(output.shape) != 4:
        raise ModelError(
            f"model '{model.name}' must take one image (height, width, channels) and "
            f"return one; it takes {takes} and returns {tuple(output.shape[1:])}."
        )
    if takes[-1] != shape[-1] or output.shape[-1] != shape[-1]:
        raise ModelError(
            f"model '{model.name}' takes {takes[-1]} channels and returns "
            f"{output.shape[-1]}, but the images have {shape[-1]}: build it for those, "
            "or load the images with as many channels."
        )
    try:
        made = tuple(model.compute_output_shape((None, *shape)))[1:3]
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"model '{model.name}' does not take patches of {shape[0]}x{shape[1]}: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    if made != (scale * shape[0], scale * shape[1]):
        wanted = (
            f"enlarge by {scale}" if scale > 1 else "keep images as large as they are"
        )
        raise ModelError(
            f"model '{model.name}' makes {made[0]}x{made[1]} of {shape[0]}x{shape[1]}, "
            f"but the task is to {wanted}: take a network that does."
        )


def size_multiple(model):
    """What the sides of a model's images must be multiples of; 1 if not known."""
    try:
        return reach(model).multiple
    except ModelError:
        return 1


def preview(model, dataset, count, scale=1):
    """Images before and after, to look at.

    Returns:
        List of dicts with "input" (enlarged to the size of the others), "output" and
        "clean", uint8 `(height, width, channels)`; at most `count`.
    """
    run, rows = _restorer(model), []
    for degraded, clean in dataset.as_numpy_iterator():
        for x, y in zip(degraded, clean):
            if len(rows) == count:
                return rows
            before = imresize(x, scale) if scale > 1 else x
            shown = {"input": before, "output": run(x), "clean": y}
            rows.append({key: to_pixels(image) for key, image in shown.items()})
    return rows


def encoded(model, image_shape=None):
    """The signature from image files to PNG files, see `hh_keras.export`."""
    from hh_keras.tasks.restoration.signature import (
        restore_bytes,  # export needs the tasks
    )

    return restore_bytes(model, image_shape)
