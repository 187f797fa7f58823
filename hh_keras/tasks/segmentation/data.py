"""Images with masks, as the flags ask for them, in pieces that fit a network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from absl.flags import FlagValues

from hh_keras.data import ImageData
from hh_keras.data.decoding import decode_image, native_shape
from hh_keras.data.folders import images_below, read_file
from hh_keras.errors import DataError
from hh_keras.flag import given
from hh_keras.tasks import any_size
from hh_keras.tasks.segmentation.crops import load_crops
from hh_keras.tasks.segmentation.cutting import cut
from hh_keras.tasks.segmentation.folders import (
    MaskedImages,
    open_masked,
    without_masks,
)
from hh_keras.tasks.segmentation.whole import size_multiple


def load(
    fits: Callable,
    args: FlagValues,
    build: Callable[..., keras.Model],
    check: bool = True,
) -> tuple[keras.Model, ImageData]:
    """Builds --model and loads --dataset as pieces that fit it.

    Args:
        fits: `check` of the task.
        args, build, check: see `hh_keras.tasks.application.Application`; files of no
            other networks can be had, so these are always checked.

    Raises:
        ModelError, DataError: either cannot be had, or they do not fit.
    """
    source = opened(args)
    classes = len(source.classes.names)
    model = any_size.network(args, build, classes, "images with masks")
    channels = any_size.channels(args, model)
    data = load_masked(args, source, channels, size_multiple(model))
    fits(model, data)
    return model, data


def opened(args: FlagValues) -> MaskedImages:
    """Lists --dataset."""
    return open_masked(args.dataset, args.classes, args.ignore_index)


def load_masked(
    args: FlagValues, source: MaskedImages, channels: int, multiple: int = 1
) -> ImageData:
    """Loads images with masks as the flags say; see `load_crops`."""
    return load_crops(
        source,
        args.patch,
        channels,
        args.batch_size,
        given(args, "seed", 0),
        given(args, "augment", "none"),
        args.limit,
        times=args.patches_per_image,
        multiple=multiple,
        memory_bytes=args.memory_mb * 2**20,
        on_bad_image=args.on_bad_image,
    )


def load_for_file(args: FlagValues) -> ImageData:
    """The same with the channels of the file --model.

    Raises:
        ModelError: it takes no grey or RGB images.
    """
    return load_masked(args, opened(args), any_size.channels_of_file(args))


def calibration(args: FlagValues, data: Any, folder: str, count: int) -> np.ndarray:
    """Pieces of a folder's images, which need no masks; folders of masks are left out.

    Args:
        args: flags.
        data: of the task, for the size of the pieces.
        folder: of images, at any depth.
        count: how many pieces.

    Returns:
        uint8 `(count, size, size, channels)`.

    Raises:
        DataError: there are no images that can be read.
    """
    top = Path(folder).expanduser()
    paths = without_masks(images_below(top), top)
    size, _, channels = data.image_shape
    rng = np.random.default_rng(given(args, "seed", 0))
    order, found, bad = rng.permutation(len(paths)), [], 0
    for k in np.resize(order, count) if len(order) else ():
        try:
            encoded = read_file(str(paths[k]).encode())
            shape = (*native_shape(encoded)[:2], channels)
            image = decode_image(encoded, shape)
        except (OSError, ValueError):
            bad += 1
            continue
        found.append(cut(image, np.zeros(shape[:2], np.uint8), size, "none", rng)[0])
    if not found:
        raise DataError(
            f"--calibrate={folder} holds no image that can be read ({bad} cannot)."
        )
    return np.stack(found)
