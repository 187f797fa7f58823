"""From images with boxes to batches of pixels and rows.

A row is `left, top, right, bottom, class`, in the network's pixels; rows of zeros fill
up what an image has fewer than another. The class of a crowd is -1 - class.

Every batch is a function of a seed and of its number, see `hh_keras.data.seeded`.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from PIL import Image

from hh_keras.data.annotated_pixels import annotated_pixels
from hh_keras.data.annotations import Annotated
from hh_keras.data.loading import ImageData
from hh_keras.data.pipeline import answer, end_decoding, left_out, ready
from hh_keras.data.seeded import anew, called, numbered, own_seed
from hh_keras.errors import DataError
from hh_keras.tasks.detection.augmentation import AUGMENTATIONS, augmented
from hh_keras.tasks.detection.objects import Objects

IN_MEMORY_BYTES = 512 * 2**20
_SEARCH = -1  # in place of an epoch's number
_DETAIL = 2  # images that are kept have so many pixels for each of the network's


def load_boxes(
    objects: Objects,
    size: tuple[int, int],
    batch_size: int = 16,
    seed: int = 0,
    augment: str = "detect",
    limit: int | None = None,
    *,
    memory_bytes: int | None = None,
    on_bad_image: str = "skip",
) -> ImageData:
    """Loads images and boxes as batches of `(images, rows)`.

    Args:
        objects: the images, see `open_objects`.
        size: height and width that images are brought to, squashed if need be.
        batch_size: images per step.
        seed: of order and augmentation.
        augment: one of `AUGMENTATIONS`.
        limit: at most this many images per part.
        memory_bytes: images that take no more are decoded once and kept; None is
            `IN_MEMORY_BYTES`. Others are decoded whenever they are used.
        on_bad_image: "skip" leaves out images that cannot be read, or whose boxes are
            for another size, and notes them in `skipped`; "fail" raises.

    Returns:
        An `hh_keras.data.ImageData`; images are float32 `(batch, *size, 3)`, 0..255,
        rows float32 `(batch, most boxes, 5)`.

    Raises:
        DataError: an argument is out of its range, or no image can be read.
    """
    _check(size, batch_size, augment, limit, on_bad_image)
    note = left_out(objects.skipped, on_bad_image)
    parts = [part[:limit] for part in (objects.train, objects.validation)]
    decode = functools.partial(_decoded, size=size)
    each = 3 * math.prod(size) * _DETAIL**2
    most = IN_MEMORY_BYTES if memory_bytes is None else memory_bytes
    keep = each * sum(map(len, parts)) <= most
    train, measured = (_opened(part, decode, note, keep) for part in parts)
    rows = max(1, *(len(x.names) for part in parts for x in part))
    numbers = {name: k for k, name in enumerate(objects.class_names)}
    gives = (
        tf.TensorSpec((None, *size, 3), tf.uint8),
        tf.TensorSpec((None, rows, 5), tf.float32),
    )
    atexit.register(end_decoding)

    def batches(images, seeds, how, shuffled=True):
        @functools.lru_cache(4)
        def order(own):
            if not shuffled:
                return np.arange(len(images))
            return np.random.default_rng([own, 2**32]).permutation(len(images))

        def pick(own, step):
            answer()
            own, first = int(own), int(step) * batch_size
            chosen = enumerate(order(own)[first : first + batch_size], first)
            found = [_example(images[n], own, k, size, how, numbers) for k, n in chosen]
            return _batch([x for x in found if x], size, rows)

        return ready(called(pick, seeds, gives))

    steps = [math.ceil(len(part) / batch_size) for part in (train, measured)]

    def epoch(number, first=0):
        own = numbered(own_seed(seed, number), first, steps[0])
        return batches(train, own, augment)

    search = numbered(own_seed(seed, _SEARCH), 0, steps[0])
    return ImageData(
        name=objects.name,
        train=batches(train, anew(seed, steps[0]), augment),
        epoch=epoch,
        validation=batches(measured, numbered(0, 0, steps[1]), "none", False),
        search=batches(train, search, "none"),
        class_names=objects.class_names,
        num_train=len(train),
        num_validation=len(measured),
        image_shape=(*size, 3),
        description=objects.description,
        skipped=objects.skipped,
    )


def _check(size, batch_size, augment, limit, on_bad_image):
    for name, value in (
        ("height", size[0]),
        ("width", size[1]),
        ("batch_size", batch_size),
        ("limit", 1 if limit is None else limit),
    ):
        if not isinstance(value, int) or value < 1:
            raise DataError(f"{name}={value!r}: use a whole number of at least 1.")
    if augment not in AUGMENTATIONS:
        raise DataError(f"augment '{augment}' is none of {', '.join(AUGMENTATIONS)}.")


def _decoded(image: Annotated, size: tuple[int, int]) -> tuple[np.ndarray, Annotated]:
    """Pixels, uint8 `(h, w, 3)`, and the boxes in these; raises OSError, ValueError.

    An image with many more pixels than the network sees is made smaller.
    """
    pixels = annotated_pixels(image.read(), image.size)
    own = pixels.shape[:2]
    corners = np.clip(image.corners, 0, np.tile(own[::-1], 2))
    image = dataclasses.replace(image, size=own, corners=corners)
    height, width = (min(n, _DETAIL * wanted) for n, wanted in zip(own, size))
    if (height, width) == own:
        return pixels, image
    smaller = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(smaller), image


def _opened(
    part: Sequence[Annotated], decode: Callable, note: Callable, keep: bool
) -> list[Callable]:
    """Functions that give `(pixels, Annotated)`, None if an image cannot be read."""

    def tried(image):
        try:
            return decode(image)
        except (OSError, ValueError) as error:
            note(image.place.encode(), error)
            return None

    if not keep:
        return [functools.partial(tried, image) for image in part]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [each for each in pool.map(tried, part) if each]
    if not found:
        raise DataError(f"not one of the {len(part)} images can be read.")
    return [functools.partial(_same, each) for each in found]


def _same(found):
    return found


def _example(read, own, number, size, augment, numbers):
    found = read()
    if found is None:
        return None
    pixels, image = found
    rng = np.random.default_rng([own, number])
    # Boxes are for the file's pixels, of which there may be fewer by now.
    scale = np.divide(pixels.shape[:2], image.size)
    corners = image.corners * np.tile(scale[::-1], 2)
    shown, corners, seen = augmented(pixels, corners, size, augment, rng)
    classes = np.array([numbers[name] for name in image.names], float)
    classes = np.where(image.crowd, -1 - classes, classes)
    return shown, np.column_stack([corners, classes])[seen]


def _batch(found, size, rows):
    images = np.zeros((len(found), *size, 3), np.uint8)
    filled = np.zeros((len(found), rows, 5), np.float32)
    for place, (image, own) in enumerate(found):
        images[place], filled[place, : len(own)] = image, own
    return images, filled
