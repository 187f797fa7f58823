"""What a data set is before its images are decoded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from hh_keras.data.decoding import native_shape, unreadable
from hh_keras.errors import DataError


@dataclasses.dataclass(frozen=True)
class Split:
    """The training or the validation part of a data set.

    Attributes:
        num: number of examples.
        records: `records(seed, reshuffle)` gives a `tf.data.Dataset` of scalars
            `(place, content, label)`: string, string, int64. `place` names the
            record in messages. Stored order if `seed` is None; else the order may
            depend on it, anew in each iteration if `reshuffle`, but only roughly:
            what comes out is still to be shuffled.
        read: turns a record's `content` into the bytes of an encoded image: reads a
            path in an image folder, changes nothing in a TFDS set. Plain Python; may
            raise OSError.
        window: how many records fit into memory at once, to be shuffled.
    """

    num: int
    records: Callable[[int | None, bool], tf.data.Dataset]
    read: Callable[[bytes], bytes]
    window: int


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set with labels, ready to be decoded.

    Attributes:
        name: what was asked for.
        class_names: one name per label, label 0 first.
        image_shape: `(height, width, channels)` of its own images; of the first one
            where they differ. Channels are 1 or 3.
        train: the `Split` to learn from.
        validation: the `Split` to measure on.
        description: source, licence and the like.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    train: Split
    validation: Split
    description: dict[str, str]


def first_shape(split: Split) -> tuple[int, int, int]:
    """The shape of the first image that can be read, of the first hundred.

    Raises:
        DataError: none of them can; it tells about the first.
    """
    first = None
    for place, content, _ in split.records(None, False).take(100).as_numpy_iterator():
        try:
            return native_shape(split.read(content))
        except (OSError, ValueError) as error:
            first = first or unreadable(place, error)
    assert first is not None  # no data set is empty
    raise first


def check_label(place: bytes, label: int, num_classes: int) -> None:
    """Refuses a label that no class belongs to.

    Raises:
        DataError: `label` is not one of 0 .. `num_classes` - 1.
    """
    if not 0 <= label < num_classes:
        raise DataError(
            f"{place.decode(errors='replace')} has label {label}; the {num_classes} "
            f"classes are 0 to {num_classes - 1}. Remove it, or use a split that is "
            "labelled."
        )


def limited(split: Split, limit: int, num_classes: int) -> Split:
    """Cuts a split down to its first examples of every class.

    Args:
        split: the whole.
        limit: number of examples wanted, at most; see `balanced_indices`.
        num_classes: number of classes.

    Returns:
        A `Split` of the chosen examples.

    Raises:
        DataError: a label is out of range.
    """

    def labels():
        records = split.records(None, False).map(lambda place, _, label: (place, label))
        for place, label in records.as_numpy_iterator():
            check_label(place, label, num_classes)
            yield label

    chosen = balanced_indices(labels(), limit, num_classes)
    wanted = np.zeros(chosen[-1] + 1, bool)
    wanted[chosen] = True

    def records(seed, reshuffle):
        table = tf.constant(wanted)
        stored = split.records(None, False).take(len(wanted)).enumerate()
        kept = stored.filter(lambda index, _: table[index]).map(lambda _, rest: rest)
        return kept.apply(tf.data.experimental.assert_cardinality(len(chosen)))

    return dataclasses.replace(split, num=len(chosen), records=records)


def balanced_indices(labels: Iterable[int], limit: int, num_classes: int) -> np.ndarray:
    """Picks the first examples of every class, as evenly as `limit` allows.

    Stops reading as soon as every class has its share, so that a few examples of a
    large set cost little. A class with fewer examples than its share is not made up
    for by others: the picture stays balanced.

    Args:
        labels: integer labels in stored order.
        limit: number of examples wanted, at most.
        num_classes: number of classes to share the limit.

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
