"""Image restoration: denoising, removing JPEG's traces, super-resolution.

Networks take degraded images, float32 pixels 0 to 255, and return clean ones of the
same range. The labels of a batch are clean images.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from hh_keras.errors import ModelError
from hh_keras.goal import Goal
from hh_keras.graph.heads import single_output
from hh_keras.report import numbers
from hh_keras.tasks.restoration import fidelity
from hh_keras.tasks.restoration.degradation import Degradation
from hh_keras.tasks.restoration.evaluation import averaged, score_images, whole_images
from hh_keras.tasks.restoration.preview import preview
from hh_keras.tasks.restoration.signature import restore_bytes
from hh_keras.training.task import Task

_LEAST_ERROR = 1e-4  # squared grey levels: PSNR of training ends at 88 dB

# With them, both small networks of a run are trained in some five minutes on two cores.
_DEFAULTS = {
    "macs": "0.95x",
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "weight_decay": 0.0,
    "epochs": 60,
    "schedule": "cosine",
    "batch_size": 16,
    "channels": 3,
    "augment": "flip_rotate",
    "max_drop": 0.5,  # dB
    "check_images": 16,  # tiles
}

GOAL = Goal(
    key="psnr",
    label="PSNR",
    write=numbers.decibels,
    write_change=numbers.decibels_more,
    plain=lambda decibels: f"{decibels:.2f} dB",
    plain_change=lambda change: f"{round(change, 2) + 0.0:+.2f} dB",  # never -0.00
    axis=lambda decibels, _: f"{decibels:.4g} dB",
    about="PSNR, SSIM and loss: means over the validation images. MACs: "
    "multiply-accumulates for one patch. Latency: the .tflite file, one tile, median "
    "(10th to 90th percentile).",
    besides=(("SSIM", "ssim", numbers.decimals, numbers.difference),),
    examples="tiles",
)


def denoising(degradation: Degradation | None = None) -> Task:
    """The task of `noise` and `jpeg`: mean squared error, PSNR of all channels.

    Args:
        degradation: a `Degradation`; None is noise of sigma 25.
    """
    degradation = degradation or Degradation("noise", 25.0, 25.0)
    defaults = {"model": "dncnn_small", "degrade": str(degradation), "patch": 48}
    return _task("denoise", "denoising network", "mse", 1, False, defaults)


def super_resolution(scale: int = 2) -> Task:
    """The task of `bicubic`: mean absolute error, PSNR of luma without the border.

    Args:
        scale: how many times larger the images become; as many pixels of the border do
            not count.
    """
    defaults = {"model": "edsr_small", "degrade": f"bicubic:{scale}", "patch": 32}
    return _task("sr", "super-resolution network", "mae", scale, True, defaults)


def task_for(degradation: Degradation) -> Task:
    """The task of restoring what a `Degradation` did."""
    if degradation.scale > 1:
        return super_resolution(degradation.scale)
    return denoising(degradation)


def _task(name, noun, kind, scale, on_luma, defaults):
    shave = scale if scale > 1 else 0

    def evaluate(model, dataset):
        """Of a Keras model, or a function of an image as `score_images` takes it."""
        return averaged(
            score_images(whole_images(model), dataset, kind, scale, on_luma)
        )

    return Task(
        name=name,
        noun=noun,
        loss=lambda model, label_smoothing=0.0: pixel_loss(kind),
        measures={"psnr": batch_psnr(shave, on_luma)},
        goal=GOAL,
        evaluate=evaluate,
        check=lambda model, data: check_model(model, data, scale),
        defaults={**_DEFAULTS, **defaults},
        preview=lambda model, data, count: preview(model, data, count, scale),
        encoded=restore_bytes,
        distills=("none", "sp", "match"),
        unfit=("label_smoothing", "rand_augment", "mixup", "cutmix"),
        criterion="gradient",  # benchmarks/restoration.md
    )


def pixel_loss(kind: str) -> Callable:
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


def batch_psnr(shave: int, on_luma: bool) -> Callable:
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


def check_model(model: keras.Model, data: Any, scale: int) -> None:
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
