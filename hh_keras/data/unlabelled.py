"""Images without labels, as one array: to calibrate with."""

import dataclasses
import pathlib
import warnings

import numpy as np

from hh_keras.data.decoding import EXTENSIONS, decode_cuts, native_shape
from hh_keras.data.folders import images_below, read_file
from hh_keras.data.views import cuts_of
from hh_keras.errors import DataError

_MUCH_SMALLER = 0.5  # of the sides that a network takes


@dataclasses.dataclass(frozen=True)
class Unlabelled:
    """What there is of data where there are images to calibrate with, and no others.

    Attributes:
        name: the folder.
        image_shape: `(height, width, channels)` that the network takes.
        search, validation: None, in place of labelled images.

    Examples:
        >>> hh_keras.data.Unlabelled("photographs", (224, 224, 3)).validation is None
        True
    """

    name: str
    image_shape: tuple
    search: None = None
    validation: None = None


def unlabelled(
    folder: str,
    image_shape: tuple,
    limit: int = 1000,
    seed: int = 0,
    view: str = "resize",
) -> np.ndarray:
    """Reads images below a folder, in a seeded order.

    It warns of those that cannot be read, of a folder of grey images if colour is
    wanted, and of one of images much smaller than wanted.

    Args:
        folder: of images, at any depth.
        image_shape: `(height, width, channels)` that they are resized to.
        limit: the most that are read.
        seed: of the order.
        view: "resize" or "center", see `hh_keras.data.load`.

    Returns:
        uint8 array `(images, height, width, channels)`.

    Raises:
        DataError: no such folder, or no image in it that can be read.

    Examples:
        >>> import os
        >>> os.makedirs("photographs")
        >>> for number, image in enumerate(images):
        ...     keras.utils.save_img(f"photographs/{number}.png", image)
        >>> calibration = hh_keras.data.unlabelled("photographs", (8, 8, 3), limit=10)
        >>> calibration.shape, calibration.dtype.name
        ((10, 8, 8, 3), 'uint8')
    """
    place = pathlib.Path(folder).expanduser()
    if not place.is_dir():
        raise DataError(f"{folder} is no folder of images.")
    paths = images_below(place)
    if not paths:
        raise DataError(f"{folder} holds no images ({', '.join(EXTENSIONS)}).")
    order = np.random.default_rng(seed).permutation(len(paths))
    cuts = cuts_of(view, image_shape)
    images: list = []
    shapes: list = []
    broken: list = []
    for k in order:
        if len(images) == limit:
            break
        try:
            encoded = read_file(paths[k])
            images.append(decode_cuts(encoded, image_shape, cuts)[0])
            shapes.append(native_shape(encoded))
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
    _warn_of_others(folder, np.array(shapes), image_shape)
    return np.stack(images)


def _warn_of_others(folder, shapes, wanted):
    """Warns if images are not of the kind that a network takes."""
    height, width, channels = wanted
    if channels == 3 and (shapes[:, 2] == 1).all():
        warnings.warn(
            f"all images in {folder} are grey, but the network takes colour: it learns "
            "from colours that are all the same. Give images as those it works on.",
            stacklevel=3,
        )
    small = (shapes[:, :2] < _MUCH_SMALLER * np.array((height, width))).any(1)
    if small.mean() > 0.5:
        least = shapes[shapes[:, :2].prod(1).argmin()]
        warnings.warn(
            f"{small.sum()} of {len(shapes)} images in {folder} are much smaller than "
            f"the {width}x{height} that the network takes (the smallest is "
            f"{least[1]}x{least[0]}): enlarged, they are blurred, and it learns from "
            "what it will not see.",
            stacklevel=3,
        )
