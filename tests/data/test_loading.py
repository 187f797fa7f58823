"""Batches from the embedded images."""

import numpy as np
import pytest

import hh_keras as hh
from hh_keras.data import load


def arrays(dataset):
    x, y = zip(*dataset.as_numpy_iterator())
    return np.concatenate(x), np.concatenate(y)


def test_limits_are_balanced_and_shapes_converted():
    data = load("embedded", (14, 20, 3), batch_size=16, limit=50)
    x, y = arrays(data.train)
    assert x.shape == (50, 14, 20, 3) and x.dtype == np.float32 and y.dtype == np.int32
    assert np.bincount(y).tolist() == [5] * 10
    assert 200 < x.max() <= 255 and x.min() >= 0
    assert (data.num_train, data.num_validation, len(data.class_names)) == (50, 50, 10)


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_the_same_seed_gives_the_same_batches(augment):
    one, two, other = (
        arrays(load("embedded", limit=40, augment=augment, seed=s).train)
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one[0], two[0])
    assert not np.array_equal(one[0], other[0])


def test_epochs_differ_in_training_and_agree_in_search():
    data = load("embedded", limit=40)
    assert not np.array_equal(arrays(data.train)[1], arrays(data.train)[1])
    np.testing.assert_array_equal(arrays(data.search)[1], arrays(data.search)[1])


def test_unknown_data_sets_are_told():
    with pytest.raises(
        hh.DataError, match="unknown data set 'mnits'.*nearest: .*mnist"
    ):
        load("mnits")
    with pytest.raises(hh.DataError, match="no such folder; use the path"):
        load("/nowhere/at/all")
    with pytest.raises(hh.DataError, match="nearest: .*mnist"):
        load("tfds:fashion_mnits")


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 4), (0, 28, 1), (28, 2.5, 3)])
def test_shapes_that_are_none_of_an_image_are_told(shape):
    with pytest.raises(hh.DataError, match=r"image_shape \(.*1 \(grey\) or 3 \(RGB\)"):
        load("embedded", shape)


def test_other_wrong_arguments_are_told():
    with pytest.raises(hh.DataError, match="augment 'mixup' is none of none, crop"):
        load("embedded", augment="mixup")
    with pytest.raises(hh.DataError, match="limit=0: use at least 1"):
        load("embedded", limit=0)
