"""Labelled images, as the flags ask for them, in the shape that a model takes."""

from collections.abc import Callable
from typing import Any

import keras
from absl.flags import FlagValues

from hh_keras import data as datasets
from hh_keras.data import ImageData
from hh_keras.export import input_shape
from hh_keras.flag import given
from hh_keras.tasks.classification.task import check_head
from hh_keras.tasks.shapes import filled, wanted_shape

_PASSED_ON = ("augment", "rand_augment", "mixup", "cutmix", "view")


def load(
    args: FlagValues, build: Callable[..., keras.Model], check: bool = True
) -> tuple[keras.Model, ImageData]:
    """Builds --model and loads --dataset, each fitted to the other.

    Args:
        args, build: see `hh_keras.tasks.application.Application`.
        check: whether the model must have one output per class.

    Returns:
        `(model, data)`; the images have the size and channels that the model takes.

    Raises:
        ModelError, DataError: either cannot be had, or labels and head differ.
    """
    data = load_data(args, None)
    model = build(args, data.image_shape, len(data.class_names))
    if check:
        check_head(model, len(data.class_names))
    shape = tuple(model.inputs[0].shape[1:])
    shape = filled(shape, wanted_shape(args, data.image_shape))
    if shape != tuple(data.image_shape):
        data = load_data(args, shape)
    return model, data


def load_data(args: FlagValues, image_shape: tuple | None) -> ImageData:
    """Loads --dataset; image_shape None keeps the data's own."""
    passed_on: dict[str, Any] = {
        name: args[name].value for name in _PASSED_ON if name in args
    }
    return datasets.load(
        args.dataset,
        image_shape=image_shape,
        batch_size=args.batch_size,
        seed=given(args, "seed", 0),
        limit=args.limit,
        memory_bytes=args.memory_mb * 2**20,
        on_bad_image=args.on_bad_image,
        **passed_on,
    )


def load_for_file(args: FlagValues) -> ImageData:
    """Loads --dataset in the shape that the file --model takes."""
    data = load_data(args, None)
    wanted = filled(input_shape(args.model), wanted_shape(args, data.image_shape))
    return data if wanted == tuple(data.image_shape) else load_data(args, wanted)


def view(args: FlagValues) -> str:
    """How an image file comes to the model's shape: "resize" or "center"."""
    imagenet = given(args, "augment") == "imagenet"
    return given(args, "view") or ("center" if imagenet else "resize")
