"""What a data set is before its images are decoded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Split:
    """The training or the validation part of a data set.

    A record is whatever `read` turns into the bytes of one encoded image: a path in
    an image folder, the bytes themselves in a TFDS set.

    Attributes:
        num: Number of examples.
        records: `records(seed, reshuffle)` gives a `tf.data.Dataset` of `(record,
            label)` scalars, string and int64. Stored order if `seed` is None, else
            shuffled by it, anew in each iteration if `reshuffle`.
        read: Turns a scalar record into a scalar string, the encoded image; graph
            code.
        locate: `locate(index, record)` names one record for an error message.
            `record` is None when the record itself could not be read.
    """

    num: int
    records: Callable[[int | None, bool], tf.data.Dataset]
    read: Callable[[tf.Tensor], tf.Tensor]
    locate: Callable[[int, bytes | None], str]


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set with labels, ready to be decoded.

    Attributes:
        name: What messages and reports call it.
        class_names: One name per label, label 0 first.
        image_shape: `(height, width, channels)` of its own images; of the first one
            where they differ.
        train: The `Split` to learn from.
        validation: The `Split` to measure on.
        description: Where it comes from: source, licence, homepage, citation ...
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    train: Split
    validation: Split
    description: dict[str, str]


def balanced_indices(labels: Iterable[int], limit: int, num_classes: int) -> np.ndarray:
    """Picks the first examples of every class, as evenly as `limit` allows.

    Stops reading as soon as every class has its share, so that a few examples of a
    large set cost little. A class with fewer examples than its share is not made up
    for by others: the picture stays balanced.

    Args:
        labels: Integer labels in stored order.
        limit: Number of examples wanted, at most.
        num_classes: Number of classes to share the limit.

    Returns:
        Increasing int64 indices into `labels`, at most `limit`.
    """
    missing = np.full(num_classes, limit // num_classes)
    missing[: limit % num_classes] += 1
    picked = []
    for index, label in enumerate(labels):
        if missing[label] > 0:
            missing[label] -= 1
            picked.append(index)
            if not missing.any():
                break
    return np.asarray(picked, np.int64)
