"""From a data set's name to batches of pixels."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from hh_keras.data.augmentation import AUGMENTATIONS, augment_images
from hh_keras.data.folders import open_folder
from hh_keras.data.mixing import mix
from hh_keras.data.pipeline import (
    RANDOM,
    hold,
    left_out,
    new_seeds,
    ready,
    step_seeds,
    stream,
)
from hh_keras.data.rand_augment import rand_augment as rand_augment_of
from hh_keras.data.source import Source, limited
from hh_keras.data.views import VIEWS, number_of_cuts
from hh_keras.errors import DataError

IN_MEMORY_BYTES = 512 * 2**20
"""Sets whose pixels take no more are decoded once and kept in memory."""


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """Batches of `(float32 pixels 0..255, int32 labels)`, ready to train on.

    Attributes:
        name: what was asked for.
        train: shuffled anew in every iteration, augmented.
        epoch: `epoch(number, first=0)` gives the training batches of one epoch, from
            batch `first` on. Order and augmentation depend on the seed and on the
            epoch's number only: a training that was interrupted sees what it would
            have seen.
        validation: in stored order.
        search: like `train` without augmentation, in one seeded order.
        class_names: one name per label.
        num_train, num_validation: numbers of examples.
        image_shape: `(height, width, channels)`; where an example is several images, a
            tuple of their shapes.
        description: source, licence and the like.
        skipped: images that could not be read and were left out, place to reason.
            Filled when they are decoded.

    Examples:
        >>> data = hh_keras.data.load("embedded", batch_size=8, limit=20)
        >>> data.num_train, data.image_shape, data.class_names[:2]
        (20, (28, 28, 1), ('T-shirt/top', 'Trouser'))
        >>> pixels, classes = next(iter(data.epoch(0)))
        >>> tuple(pixels.shape), classes.dtype.name
        ((8, 28, 28, 1), 'int32')
    """

    name: str
    train: tf.data.Dataset
    epoch: Callable[..., tf.data.Dataset]
    validation: tf.data.Dataset
    search: tf.data.Dataset
    class_names: tuple
    num_train: int
    num_validation: int
    image_shape: tuple
    description: dict
    skipped: dict


def load(
    spec: str | Path = "embedded",
    image_shape: tuple | None = None,
    batch_size: int = 64,
    seed: int = 0,
    augment: str = "none",
    limit: int | None = None,
    *,
    view: str | None = None,
    rand_augment: int = 0,
    rand_augment_magnitude: float = 0.5,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    memory_bytes: int | None = None,
    on_bad_image: str = "skip",
) -> ImageData:
    """Loads a classification data set as batches.

    A set whose pixels take at most `memory_bytes` is decoded here, once. A larger one
    is decoded while it is used, as are images that are cut out at random.

    Args:
        spec: "embedded" (14,000 images of Fashion-MNIST inside the package);
            "tfds:NAME", any prepared set of tensorflow-datasets with `image` and
            `label`; or the path of a folder with `train/<class>/` and `val/<class>/`
            (or `validation/`, or `test/`) of image files.
        image_shape: `(height, width, channels)` to resize and convert to, channels 1
            or 3; None keeps the data set's own, or its first image's if they differ.
        batch_size: examples per batch; the last batch may be smaller.
        seed: of the shuffling and the augmentation.
        augment: one of `AUGMENTATIONS`.
        limit: at most this many examples per split, balanced over the classes.
        view: one of `VIEWS`, how validation images come to the shape. With "five" and
            "ten", `validation` has images `(batch, cuts, height, width, channels)`.
            None is "center" for `augment="imagenet"`, else "resize". Training images
            are resized in the same way, or cut at the centre.
        rand_augment: operations of RandAugment per training image, by keras-cv.
        rand_augment_magnitude: their strength, 0 to 1.
        mixup, cutmix: alphas of MixUp and CutMix; training labels are then float32
            shares `(batch, classes)`. If both are given, each batch draws one.
        memory_bytes: see above; None is `IN_MEMORY_BYTES`.
        on_bad_image: what to do with an image that cannot be read: "skip" leaves it
            out and notes it in `skipped`, "fail" raises.

    Returns:
        An `ImageData`.

    Raises:
        DataError: unknown data set, shape or augmentation, or data that cannot be
            used; the message names the folder, file or record.

    Examples:
        >>> data = hh_keras.data.load("embedded", (32, 32, 3), batch_size=8, limit=20)
        >>> pixels, classes = next(iter(data.train))
        >>> tuple(pixels.shape), len(data.class_names)
        ((8, 32, 32, 3), 10)
    """
    if augment not in AUGMENTATIONS:
        raise DataError(f"augment '{augment}' is none of {', '.join(AUGMENTATIONS)}.")
    view = view or ("center" if augment == "imagenet" else "resize")
    if view not in VIEWS:
        raise DataError(f"view '{view}' is none of {', '.join(VIEWS)}.")
    if limit is not None and limit < 1:
        raise DataError(f"limit={limit}: use at least 1, or None for all examples.")
    if image_shape is not None:
        _check_shape(image_shape)
    source = open_source(spec)
    shape = tuple(image_shape or source.image_shape)
    num_classes = len(source.class_names)
    splits = (source.train, source.validation)
    if limit is not None:
        train_split, held_out = (limited(x, limit, num_classes) for x in splits)
        splits = (train_split, held_out)
    skipped: dict[str, str] = {}
    note = left_out(skipped, on_bad_image)
    one = view if view == "resize" else "center"
    size = sum(split.num for split in splits) * math.prod(shape)
    most = IN_MEMORY_BYTES if memory_bytes is None else memory_bytes
    decode = hold if size * number_of_cuts(view) <= most else stream
    validation, num_validation = decode(splits[1], shape, num_classes, view, note)
    if augment == "imagenet":
        plain, num_train = stream(splits[0], shape, num_classes, one, note)
        train, _ = stream(splits[0], shape, num_classes, RANDOM, note)
    else:
        plain, num_train = decode(splits[0], shape, num_classes, one, note)
        train = plain
    strength = (rand_augment, rand_augment_magnitude)
    change = _change(shape, num_classes, augment, strength, (mixup, cutmix))

    def epoch(number, first=0):
        own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)
        batches = train(batch_size, own, False, first)
        return ready(batches, change, step_seeds(own, first))

    return ImageData(
        name=source.name,
        train=ready(train(batch_size, seed, True), change, new_seeds(seed)),
        epoch=epoch,
        validation=ready(validation(batch_size, None, False)),
        search=ready(plain(batch_size, seed, False)),
        class_names=source.class_names,
        num_train=num_train,
        num_validation=num_validation,
        image_shape=shape,
        description=source.description,
        skipped=skipped,
    )


def _change(shape, num_classes, augment, strength, alphas):
    """What augmentation does to a batch, for `ready`; None if it does nothing."""
    count, magnitude = strength
    if augment in ("none", "imagenet") and not count and not any(alphas):
        return None
    operations = rand_augment_of(shape[-1], count, magnitude) if count else None

    def change(images, labels, seed):
        first, second, third = tf.unstack(tf.random.split(seed, 3))
        images = augment_images(images, first, augment)
        if operations:
            images = operations(tf.cast(images, tf.float32), second)
        if any(alphas):
            shares = tf.one_hot(labels, num_classes)
            return mix(tf.cast(images, tf.float32), shares, third, *alphas)
        return images, labels

    return tf.function(change)  # traced once, not anew in every epoch


def open_source(spec: str | Path) -> Source:
    """Finds a data set and tells its classes and image shape; decodes nothing.

    Args:
        spec: as for `load`.

    Returns:
        A `Source`, whose `image_shape` and `class_names` are those that `load` gives.

    Raises:
        DataError: there is no such data set, or it cannot be used.

    Examples:
        >>> source = hh_keras.data.open_source("embedded")
        >>> source.image_shape, source.class_names[:2]
        ((28, 28, 1), ('T-shirt/top', 'Trouser'))
    """
    spec = os.fspath(spec)
    if spec != "embedded" and not spec.startswith("tfds:"):
        if os.path.exists(os.path.expanduser(spec)):
            return open_folder(spec)
        raise _unknown(spec)
    # tensorflow-datasets takes seconds to import; image folders do without.
    from hh_keras.data import prepared

    if spec == "embedded":
        return prepared.open_embedded()
    return prepared.open_tfds(spec)


def _unknown(spec):
    from hh_keras.data.prepared import nearest

    near = [] if os.sep in spec else [f"tfds:{name}" for name in nearest(spec)]
    return DataError(
        f"unknown data set '{spec}': there is no such folder; use the path of one with "
        "train/ and val/, or 'embedded', or 'tfds:NAME'"
        + (f" (nearest: {', '.join(near)})." if near else ".")
    )


def _check_shape(shape):
    sizes = tuple(shape)
    whole = len(sizes) == 3 and all(isinstance(n, int) and n > 0 for n in sizes)
    if not whole or sizes[2] not in (1, 3):
        raise DataError(
            f"image_shape {sizes} is not (height, width, channels) with 1 (grey) or 3 "
            "(RGB) channels; images cannot be converted to it."
        )


def first_images(dataset: tf.data.Dataset, count: int) -> Any:
    """The first images of a dataset, float32 `(count, h, w, c)`; fewer if it ends.

    Of a network of several images, a tuple or dict of such arrays.

    Examples:
        >>> data = hh_keras.data.load("embedded", batch_size=8, limit=20)
        >>> hh_keras.data.first_images(data.validation, 5).shape
        (5, 28, 28, 1)
    """
    taken = dataset.map(lambda images, *_: images).unbatch().take(count)
    found = list(taken.as_numpy_iterator())
    return tf.nest.map_structure(lambda *each: np.stack(each), *found)


def example_shape(images: Any) -> tuple:
    """The shape of one example; of several images, a tuple of theirs.

    Args:
        images: array, or a tuple, list or dict of arrays, with the examples first.

    Examples:
        >>> hh_keras.data.example_shape(images)
        (8, 8, 3)
    """
    if isinstance(images, dict):
        images = tf.nest.flatten(images)
    if isinstance(images, (tuple, list)):
        return tuple(example_shape(each) for each in images)
    return tuple(images.shape[1:])
