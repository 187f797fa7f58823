"""Batches of a user's own, as a `tf.data` dataset."""

import atexit
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.data.pipeline import answering, end_decoding
from hh_keras.errors import DataError


def as_dataset(batches: Any) -> tf.data.Dataset:
    """Batches as a dataset that tells what they look like.

    Args:
        batches: a `tf.data.Dataset`, which stays as it is, or a
            `keras.utils.PyDataset`, read in its order, whose `on_epoch_end` is called
            behind each pass. Axes that differ between its first, its middle and its
            last batch are unknown ones.

    Returns:
        A `tf.data.Dataset`; lists in batches become tuples.

    Raises:
        DataError: neither of the two, no batches, no end of them; and, when they are
            read, batches that are not alike, or that raise something.
    """
    if isinstance(batches, tf.data.Dataset):
        if batches.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise DataError("the data never end: leave out repeat(), or use .take(n).")
        return batches
    if not isinstance(batches, keras.utils.PyDataset):
        raise DataError(
            f"batches are {type(batches).__name__}: give a tf.data.Dataset, such as "
            "tf.data.Dataset.from_tensor_slices((x, y)).batch(32), or a "
            "keras.utils.PyDataset."
        )
    name, count = type(batches).__name__, batches.num_batches
    if not count:
        what = "never ends" if count is None else "has no batches"
        raise DataError(f"the {name} {what}; give it a length.")

    def read(index):
        try:
            batch = batches[index]
        except Exception as error:  # a user's code may raise anything
            raise DataError(
                f"batch {index} of the {name} failed with {type(error).__name__}: "
                f"{error}"
            ) from error
        if not isinstance(batch, (tuple, list)):
            raise DataError(f"batch {index} of the {name} is no tuple (x, y).")
        parts = list(batch)
        while parts and parts[-1] is None:  # no sample weights
            parts.pop()
        if any(part is None for part in parts):
            raise DataError(
                f"batch {index} of the {name} has None for labels, and sample weights "
                "behind them: give labels."
            )
        return keras.tree.map_structure(
            np.asarray, keras.tree.lists_to_tuples(tuple(parts))
        )

    probes = [(k, read(k)) for k in sorted({0, count // 2, count - 1})]
    looks = _looks(probes[0][1])
    for index, batch in probes:
        looks = _common(looks, batch, index, name)

    def generate():
        for index in range(count):
            try:
                with answering():
                    batch = read(index)
            except StopIteration:  # Python is about to end
                return
            if _common(looks, batch, index, name) != looks:
                raise DataError(_unlike(looks, batch, index, name))
            yield batch
        batches.on_epoch_end()

    atexit.register(end_decoding)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=looks)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(1)


def _looks(batch):
    """Specifications of what a batch holds, of any number of examples."""
    return tf.nest.map_structure(
        lambda x: tf.TensorSpec((None, *x.shape[1:]), x.dtype), batch
    )


def _common(looks, batch, index, name):
    """Specifications that hold for a further batch, too."""
    try:
        found = tf.nest.map_structure(
            lambda known, new: known.most_specific_common_supertype([new]),
            looks,
            _looks(batch),
        )
        alike = all(each.shape.rank is not None for each in tf.nest.flatten(found))
    except (ValueError, TypeError, AttributeError):  # of other structure, other types
        alike = False
    if not alike:
        raise DataError(_unlike(looks, batch, index, name))
    return found


def _unlike(looks, batch, index, name):
    seen, usual = (
        ", ".join(f"{x.dtype.name} {tuple(x.shape)}" for x in tf.nest.flatten(each))
        for each in (_looks(batch), looks)
    )
    return (
        f"batch {index} of the {name} is {seen}; by its first, middle and last batch "
        f"{usual} was expected: give all batches the same structure, types and axes."
    )
