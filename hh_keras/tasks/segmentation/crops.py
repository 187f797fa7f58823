"""From images and masks to batches.

Every batch is a function of a seed and of its number, see `hh_keras.data.seeded`.
"""

from __future__ import annotations

import functools
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf

from hh_keras.data import ImageData
from hh_keras.data.pipeline import left_out
from hh_keras.errors import DataError
from hh_keras.tasks.patches import Patches, check_patches
from hh_keras.tasks.segmentation.classes import IGNORED
from hh_keras.tasks.segmentation.cutting import AUGMENTATIONS, cut
from hh_keras.tasks.segmentation.folders import MaskedImages, open_masked
from hh_keras.tasks.segmentation.reading import opened

IN_MEMORY_BYTES = 1024 * 2**20
"""Sets whose pixels take no more are decoded once and kept in memory."""


def load_crops(
    source: MaskedImages | str | Path = "embedded",
    size: int = 96,
    channels: int = 3,
    batch_size: int = 16,
    seed: int = 0,
    augment: str = "flip_scale_colour",
    limit: int | None = None,
    *,
    times: int = 1,
    multiple: int = 1,
    memory_bytes: int | None = None,
    on_bad_image: str = "skip",
) -> ImageData:
    """Loads images with masks as batches.

    Training batches are square pieces cut out at random. Validation images are whole
    and come one by one; up to the multiple, their borders go on, and their masks are
    `IGNORED` there.

    Args:
        source: what `open_masked` returned, or takes.
        size: side of the training pieces.
        channels: 1 (grey) or 3 (RGB).
        batch_size: pieces per step.
        seed: of order, pieces and augmentation.
        augment: one of `AUGMENTATIONS`.
        limit: at most this many images per part.
        times: how many pieces an epoch cuts out of every image.
        multiple: what the sides of a network's images must be multiples of.
        memory_bytes: what decoded images may take; None is `IN_MEMORY_BYTES`. Larger
            sets are decoded while they are used, a few images at a time.
        on_bad_image: "skip" leaves out images that cannot be read and those whose masks
            are missing, damaged, of another size, or hold unknown values, and notes
            them in `skipped`; "fail" raises.

    Returns:
        An `hh_keras.data.ImageData` whose labels are masks, uint8 `(n, h, w)`: classes,
        or `IGNORED`.

    Raises:
        DataError: an argument is out of its range, or the data cannot be used.
    """
    counts = {"batch_size": batch_size, "times": times, "limit": limit}
    check_patches(size, multiple, counts, channels, augment, AUGMENTATIONS)
    if not isinstance(source, MaskedImages):
        source = open_masked(source)
    skipped: dict[str, str] = {}
    note = left_out(skipped, on_bad_image)
    most = IN_MEMORY_BYTES if memory_bytes is None else memory_bytes
    (images, window), (whole, _) = (
        opened(part[:limit], source.classes, channels, note, most)
        for part in (source.train, source.validation)
    )
    if len(images) == window:  # of others, nobody knows before they are read
        _check_classes(source.classes.names, images, whole, limit)
    drawn = Patches(
        functools.partial(_batch, images, size, channels),
        len(images),
        times,
        window,
        batch_size,
        (
            tf.TensorSpec((None, size, size, channels), tf.uint8),
            tf.TensorSpec((None, size, size), tf.uint8),
        ),
        seed,
        augment,
    )
    any_size = (
        tf.TensorSpec((None, None, None, channels), tf.uint8),
        tf.TensorSpec((None, None, None), tf.uint8),
    )
    return drawn.data(
        functools.partial(_whole, whole, multiple, channels),
        len(whole),
        any_size,
        name=source.name,
        class_names=source.classes.names,
        image_shape=(size, size, channels),
        description=source.description,
        skipped=skipped,
    )


def _check_classes(names, images, whole, limit):
    """Says which classes are in one part only; of a share of the images, nothing."""
    for part, what, so in (
        (images, "training", "it cannot be learnt"),
        (whole, "validation", "mIoU counts it only where a network finds it"),
    ):
        masks = (both[1] for both in (read() for read in part) if both)
        there = functools.reduce(np.union1d, map(np.unique, masks), np.array([IGNORED]))
        missing = [name for k, name in enumerate(names) if k not in there]
        if len(missing) == len(names):
            raise DataError(
                f"not a pixel of the {what} masks counts: all have values that are "
                "ignored."
            )
        for name in () if limit else missing:
            warnings.warn(f"class '{name}' is in no {what} mask: {so}.", stacklevel=3)


def _batch(images, size, channels, chosen, rng, augment):
    """Cuts pieces `(n, size, size, channels)` and their masks."""
    found = [(images[index](), rng.spawn(1)[0]) for index in chosen]
    pieces = [cut(*both, size, augment, own) for both, own in found if both]
    if not pieces:
        empty = np.zeros((0, size, size, channels), np.uint8)
        return empty, empty[..., 0]
    return tuple(np.stack(each) for each in zip(*pieces))


def _whole(images, multiple, channels, index, own):
    """A validation image and its mask, batches of one (or none)."""
    both = images[index]()
    if both is None:
        empty = np.zeros((0, multiple, multiple, channels), np.uint8)
        return empty, empty[..., 0]
    image, mask = both
    beyond = [(0, -n % multiple) for n in mask.shape]
    image = np.pad(image, [*beyond, (0, 0)], "edge")
    return image[None], np.pad(mask, beyond, constant_values=IGNORED)[None]
