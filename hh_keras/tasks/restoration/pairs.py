"""From photographs to pairs of degraded and clean images, as batches.

Every batch is a function of a seed and of its number, see `hh_keras.data.seeded`.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import tensorflow as tf

from hh_keras.data.loading import ImageData
from hh_keras.data.pipeline import left_out
from hh_keras.tasks.patches import Patches, check_patches
from hh_keras.tasks.restoration.degradation import Degradation
from hh_keras.tasks.restoration.opening import opened
from hh_keras.tasks.restoration.photographs import open_photographs

AUGMENTATIONS = ("none", "flip", "flip_rotate")
"""Names that `load_pairs` takes as `augment`: mirrored at random, or turned as well."""

IN_MEMORY_BYTES = 1024 * 2**20
"""Sets whose pixels take no more are decoded once and kept in memory."""

_LEAST_SIDE = 16  # of validation images; the window of SSIM has 11


def load_pairs(
    spec: str | Path = "embedded",
    degradation: str | Degradation = "noise:25",
    patch: int = 48,
    channels: int = 3,
    batch_size: int = 16,
    seed: int = 0,
    augment: str = "flip_rotate",
    limit: int | None = None,
    *,
    patches_per_image: int = 64,
    multiple: int = 1,
    validation_size: int | None = None,
    memory_bytes: int | None = None,
    on_bad_image: str = "skip",
    hold_out: bool = True,
) -> ImageData:
    """Loads photographs as batches of (degraded, clean) images.

    Training batches are random patches, degraded as they are cut. Validation images are
    whole and come one by one; their noise is the same in every epoch.

    Args:
        spec: see `hh_keras.tasks.restoration.photographs.open_photographs`.
        degradation: a `Degradation`, or what `Degradation.parse` reads. For "bicubic",
            a data set's own small images are taken where it has them.
        patch: side of the training patches that the network takes.
        channels: 1 (grey) or 3 (RGB).
        batch_size: patches per step.
        seed: of order, patches, augmentation and noise.
        augment: one of `AUGMENTATIONS`.
        limit: at most this many images per part.
        patches_per_image: how many patches an epoch cuts out of every image.
        multiple: what the sides of a network's images must be multiples of; validation
            images lose what is too much, at the right and below.
        validation_size: the longest side of validation images that the network takes;
            larger ones are cut to their centre. None leaves them whole.
        memory_bytes: what decoded images may take; None is `IN_MEMORY_BYTES`. Larger
            sets are decoded while they are used, a few images at a time.
        on_bad_image: "skip" leaves out images that cannot be read or are smaller than
            a patch, and notes them in `skipped`; "fail" raises. One that is met only in
            use leaves its batch smaller; of a validation image, empty.
        hold_out: False validates on all images of a folder without parts.

    Returns:
        An `hh_keras.data.ImageData` without classes; in place of labels it has clean
        images, float32 0..255. `image_shape` is that of the degraded patches.
        `num_train` counts patches.

    Raises:
        DataError: an argument is out of its range, or the data cannot be used.
    """
    if not isinstance(degradation, Degradation):
        degradation = Degradation.parse(degradation)
    counts = {
        "batch_size": batch_size,
        "patches_per_image": patches_per_image,
        "limit": limit,
    }
    check_patches(patch, multiple, counts, channels, augment, AUGMENTATIONS)
    source = open_photographs(spec, hold_out)
    skipped: dict[str, str] = {}
    note = left_out(skipped, on_bad_image)
    most = IN_MEMORY_BYTES if memory_bytes is None else memory_bytes
    unit = multiple * degradation.scale
    wanted = validation_size and max(1, validation_size // multiple) * unit
    pairs, window = opened(
        source.train[:limit], degradation, channels, note, most, patch, 1
    )
    least = max(multiple, _LEAST_SIDE)
    whole, _ = opened(
        source.validation[:limit], degradation, channels, note, most, least, multiple
    )
    cut = functools.partial(_batch, pairs, degradation, patch, channels)
    gives = tuple(
        tf.TensorSpec((None, side, side, channels))
        for side in (patch, patch * degradation.scale)
    )
    drawn = Patches(
        cut, len(pairs), patches_per_image, window, batch_size, gives, seed, augment
    )
    return drawn.data(
        functools.partial(_whole, whole, degradation, wanted, channels),
        len(whole),
        (tf.TensorSpec((None, None, None, channels)),) * 2,
        name=source.name,
        class_names=(),
        image_shape=(patch, patch, channels),
        description={**source.description, "degradation": str(degradation)},
        skipped=skipped,
    )


def _batch(pairs, degradation, patch, channels, chosen, rng, augment):
    """Cuts patches `(n, patch, patch, c)` and clean ones, scale times larger."""
    scale = degradation.scale
    degraded = np.empty((len(chosen), patch, patch, channels), np.float32)
    clean = np.empty((len(chosen), scale * patch, scale * patch, channels), np.float32)
    used = 0
    for index in chosen:
        place, turn, own = rng.random(2), rng.integers(8), rng.spawn(1)[0]
        pair = pairs[index]()
        if pair is None:
            continue
        small, image = pair
        room = np.array(image.shape[:2]) // scale - patch + 1
        y, x = (place * room).astype(int)
        inside = _cut(image, scale * y, scale * x, scale * patch)
        if small is None:
            worse = degradation.apply(np.ascontiguousarray(inside), own)
        else:
            worse = _cut(small, y, x, patch)
        degraded[used] = _turned(worse, turn, augment)
        clean[used] = _turned(inside, turn, augment)
        used += 1
    return degraded[:used], clean[:used]


def _cut(image, y, x, side):
    return image[y : y + side, x : x + side]


def _turned(image, turn, augment):
    """One of the eight ways to lay a square down."""
    if augment != "none" and turn & 1:
        image = image[:, ::-1]
    if augment == "flip_rotate":
        image = np.rot90(image, turn >> 1)
    return image


def _whole(images, degradation, wanted, channels, index, own):
    """A validation image and its degraded version, batches of one (or none)."""
    pair = images[index]()
    if pair is None:
        return (np.zeros((0, 16, 16, channels), np.float32),) * 2
    small, clean = pair
    scale = degradation.scale
    sides = [min(n, wanted or n) for n in clean.shape[:2]]
    y, x = ((n - side) // 2 // scale for n, side in zip(clean.shape, sides))
    clean = clean[y * scale :, x * scale :][: sides[0], : sides[1]]
    if small is None:
        rng = np.random.default_rng([own, index])
        worse = degradation.apply(np.ascontiguousarray(clean), rng)
    else:
        worse = small[y:, x:][: sides[0] // scale, : sides[1] // scale]
    return worse[None].astype(np.float32), clean[None].astype(np.float32)
