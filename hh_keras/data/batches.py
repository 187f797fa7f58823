"""Batches of a user's own, as a `tf.data` dataset."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import DataError


def as_dataset(batches: Any) -> tf.data.Dataset:
    """Batches as a dataset that tells what they look like.

    Args:
        batches: a `tf.data.Dataset`, which stays as it is, or a
            `keras.utils.PyDataset`, read in its order, whose `on_epoch_end` is called
            behind each pass.

    Returns:
        A `tf.data.Dataset`; lists in batches become tuples.

    Raises:
        DataError: neither of the two, no batches, or no end of them.
    """
    if isinstance(batches, tf.data.Dataset):
        return batches
    if not isinstance(batches, keras.utils.PyDataset):
        raise DataError(
            f"batches are {type(batches).__name__}: give a tf.data.Dataset, such as "
            "tf.data.Dataset.from_tensor_slices((x, y)).batch(32), or a "
            "keras.utils.PyDataset."
        )
    count = batches.num_batches
    if not count:
        what = "never ends" if count is None else "has no batches"
        raise DataError(f"the {type(batches).__name__} {what}; give it a length.")

    def read(index):
        batch = batches[index]
        if not isinstance(batch, (tuple, list)):
            raise DataError(
                f"batch {index} of the {type(batches).__name__} is no tuple (x, y)."
            )
        parts = [part for part in batch if part is not None]
        return keras.tree.map_structure(
            np.asarray, keras.tree.lists_to_tuples(tuple(parts))
        )

    def generate():
        for index in range(count):
            yield read(index)
        batches.on_epoch_end()

    looks = keras.tree.map_structure(
        lambda x: tf.TensorSpec((None, *x.shape[1:]), x.dtype), read(0)
    )
    dataset = tf.data.Dataset.from_generator(generate, output_signature=looks)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(1)
