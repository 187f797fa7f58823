"""Photographs, as the flags ask for them, in pairs that fit a network."""

import math
from collections.abc import Callable

import keras
import tensorflow as tf
from absl.flags import FlagValues

from hh_keras.data import ImageData
from hh_keras.export import tiles_of
from hh_keras.flag import given
from hh_keras.tasks import any_size
from hh_keras.tasks.restoration.pairs import load_pairs
from hh_keras.tasks.restoration.photographs import open_photographs
from hh_keras.tasks.tiling import size_multiple


def load(
    fits: Callable,
    args: FlagValues,
    build: Callable[..., keras.Model],
    check: bool = True,
) -> tuple[keras.Model, ImageData]:
    """Builds --model and loads --dataset as pairs of images that fit it.

    Args:
        fits: `check` of the task.
        args, build, check: see `hh_keras.tasks.application.Application`; files of no
            other networks can be had, so these are always checked.

    Raises:
        ModelError, DataError: either cannot be had, or they do not fit.
    """
    model = any_size.network(args, build, None, "photographs")
    channels = any_size.channels(args, model)
    data = load_photographs(args, channels, size_multiple(model))
    fits(model, data)
    return model, data


def load_photographs(args: FlagValues, channels: int, multiple: int = 1) -> ImageData:
    """Loads --dataset as pairs of degraded and clean images.

    Args:
        args: flags.
        channels: 1 or 3.
        multiple: what the sides of a network's images must be multiples of.
    """
    return load_pairs(
        args.dataset,
        args.degrade,
        args.patch,
        channels,
        args.batch_size,
        given(args, "seed", 0),
        given(args, "augment", "none"),
        args.limit,
        patches_per_image=args.patches_per_image,
        multiple=multiple,
        validation_size=args.validation_size or None,
        memory_bytes=args.memory_mb * 2**20,
        on_bad_image=args.on_bad_image,
        hold_out=not given(args, "all_images", False),
    )


def calibration(
    args: FlagValues, data: ImageData, folder: str, count: int
) -> tf.data.Dataset:
    """Patches of a folder's photographs, degraded as those that are trained on.

    Args:
        args: flags.
        data: of the task, for the channels.
        folder: of clean photographs.
        count: how many patches, at most a batch more.
    """
    photographs = len(open_photographs(folder, hold_out=False).train)
    found = load_pairs(
        folder,
        args.degrade,
        args.patch,
        data.image_shape[2],
        args.batch_size,
        given(args, "seed", 0),
        "none",
        patches_per_image=math.ceil(count / photographs),
        memory_bytes=args.memory_mb * 2**20,
        on_bad_image=args.on_bad_image,
        hold_out=False,
    )
    return found.search.take(math.ceil(count / args.batch_size))


def load_for_file(args: FlagValues) -> ImageData:
    """The same with the channels, and the multiple, of the file --model.

    Raises:
        ModelError: it takes no grey or RGB images.
    """
    channels, told = any_size.channels_of_file(args), tiles_of(args.model)
    return load_photographs(args, channels, told["multiple"] if told else 1)
