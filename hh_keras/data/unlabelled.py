"""Images without labels, as one array: to calibrate with."""

import pathlib
import warnings

import numpy as np

from hh_keras.data.decoding import decode_image
from hh_keras.data.folders import images_below, read_file
from hh_keras.errors import DataError


def unlabelled(
    folder: str, image_shape: tuple, limit: int = 1000, seed: int = 0
) -> np.ndarray:
    """Reads images below a folder, in a seeded order.

    Args:
        folder: of images, at any depth.
        image_shape: `(height, width, channels)` that they are resized to.
        limit: the most that are read.
        seed: of the order.

    Returns:
        uint8 array `(images, height, width, channels)`.

    Raises:
        DataError: no such folder, or no image in it that can be read.
    """
    place = pathlib.Path(folder)
    if not place.is_dir():
        raise DataError(f"{folder} is no folder of images.")
    paths = images_below(place)
    order = np.random.default_rng(seed).permutation(len(paths))
    images: list = []
    broken: list = []
    for k in order:
        if len(images) == limit:
            break
        try:
            images.append(decode_image(read_file(paths[k]), image_shape))
        except Exception as error:  # decoders raise many kinds
            broken.append(f"{paths[k].decode()} ({type(error).__name__})")
    if broken:
        warnings.warn(
            f"{len(broken)} of the images in {folder} cannot be read and are left out, "
            f"such as {broken[0]}.",
            stacklevel=2,
        )
    if not images:
        raise DataError(f"{folder} holds no image that can be read.")
    return np.stack(images)
