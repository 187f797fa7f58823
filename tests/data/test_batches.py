"""Batches of a user's own become a dataset that tells what they look like."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras.data import as_data_error
from hh_keras.data.batches import as_dataset
from hh_keras.errors import DataError


class Sentences(keras.utils.PyDataset):
    """Batches of sentences, as long as each batch's longest."""

    def __init__(self, lengths, kinds=("float32",)):
        super().__init__()
        self.lengths, self.kinds = lengths, kinds

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, index):
        kind = self.kinds[index % len(self.kinds)]
        length = self.lengths[index]
        return np.full((2, length, 3), index, kind), np.zeros((2, length), "int32")


def test_axes_that_differ_are_unknown():
    data = as_dataset(Sentences([4, 7, 5, 9, 4]))
    images, labels = data.element_spec
    assert images.shape.as_list() == [None, None, 3]
    assert labels.shape.as_list() == [None, None]
    assert [x.shape[1] for x, _ in data] == [4, 7, 5, 9, 4]
    alike = as_dataset(Sentences([4, 4, 4]))
    assert alike.element_spec[0].shape.as_list() == [None, 4, 3]


def test_a_batch_of_another_kind_is_named():
    with pytest.raises(DataError, match=r"batch 1 of the Sentences is int32 \(None, 4"):
        as_dataset(Sentences([4, 4, 4], ("float32", "int32")))
    # One that is not among those that are looked at first.
    data = as_dataset(Sentences([4, 6, 4, 4, 4]))
    with pytest.raises(tf.errors.OpError) as raised:
        list(data)
    told = str(as_data_error(raised.value))
    assert "batch 1 of the Sentences is float32 (None, 6, 3)" in told
    assert "(None, 4, 3), int32 (None, 4) was expected" in told


def test_data_without_an_end_are_refused():
    data = tf.data.Dataset.from_tensors((tf.zeros((2, 3)), tf.zeros(2))).repeat()
    with pytest.raises(DataError, match=r"never end: leave out repeat"):
        as_dataset(data.map(lambda *x: x))
    assert as_dataset(data.take(3)).cardinality() == 3


class Weighed(Sentences):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return (images, None, labels) if index else (images, labels, None)


def test_weights_are_not_taken_for_labels():
    assert len(as_dataset(Weighed([4])).element_spec) == 2
    with pytest.raises(DataError, match="batch 1 of the Weighed has None for labels"):
        as_dataset(Weighed([4, 4]))
