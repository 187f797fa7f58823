"""From a data set's name to batches of pixels."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from hh_keras.data.augmentation import AUGMENTATIONS
from hh_keras.data.folders import open_folder
from hh_keras.data.pipeline import hold, new_seeds, ready, step_seeds, stream
from hh_keras.data.source import Source, limited
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
        image_shape: `(height, width, channels)`.
        description: source, licence and the like.
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


def load(
    spec="embedded",
    image_shape=None,
    batch_size=64,
    seed=0,
    augment="none",
    limit=None,
):
    """Loads a classification data set as batches.

    A set whose pixels take at most `IN_MEMORY_BYTES` is decoded here, once, so that
    damaged images are found before any training. A larger one is decoded while it is
    used; `as_data_error` then tells which image was at fault.

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

    Returns:
        An `ImageData`.

    Raises:
        DataError: unknown data set, shape or augmentation, or data that cannot be
            used; the message names the folder, file or record.
    """
    if augment not in AUGMENTATIONS:
        raise DataError(f"augment '{augment}' is none of {', '.join(AUGMENTATIONS)}.")
    if limit is not None and limit < 1:
        raise DataError(f"limit={limit}: use at least 1, or None for all examples.")
    if image_shape is not None:
        _check_shape(image_shape)
    source = open_source(spec)
    shape = tuple(image_shape or source.image_shape)
    num_classes = len(source.class_names)
    splits = (source.train, source.validation)
    if limit is not None:
        splits = [limited(split, limit, num_classes) for split in splits]
    size = sum(split.num for split in splits) * math.prod(shape)
    decode = hold if size <= IN_MEMORY_BYTES else stream
    train, validation = (decode(split, shape, num_classes) for split in splits)

    def epoch(number, first=0):
        own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)
        batches = train(batch_size, own, False, first)
        return ready(batches, augment, step_seeds(own, first))

    return ImageData(
        name=source.name,
        train=ready(train(batch_size, seed, True), augment, new_seeds(seed)),
        epoch=epoch,
        validation=ready(validation(batch_size, None, False), "none"),
        search=ready(train(batch_size, seed, False), "none"),
        class_names=source.class_names,
        num_train=splits[0].num,
        num_validation=splits[1].num,
        image_shape=shape,
        description=source.description,
    )


def open_source(spec) -> Source:
    """Finds a data set and tells its classes and image shape; decodes nothing.

    Args:
        spec: as for `load`.

    Returns:
        A `Source`, whose `image_shape` and `class_names` are those that `load` gives.

    Raises:
        DataError: there is no such data set, or it cannot be used.
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
