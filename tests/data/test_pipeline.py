"""Batches held in memory and batches streamed keep the same promises."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import hh_keras as hh
from hh_keras.data import as_data_error, load
from hh_keras.training import strategy
from hh_keras.training.trainee import weighted


@pytest.fixture(params=["held", "streamed"])
def decoding(request, monkeypatch):
    if request.param == "streamed":
        monkeypatch.setattr("hh_keras.data.loading.IN_MEMORY_BYTES", 0)
    return request.param


@pytest.fixture
def streamed(monkeypatch):
    monkeypatch.setattr("hh_keras.data.loading.IN_MEMORY_BYTES", 0)


def pixels(dataset):
    return np.concatenate([x for x, _ in dataset.as_numpy_iterator()])


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_epochs_differ_and_repeat_with_the_seed(folder, decoding, augment):
    one, two, other = (
        load(folder, seed=seed, augment=augment, batch_size=3) for seed in (1, 1, 2)
    )
    first, second = pixels(one.train), pixels(one.train)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(pixels(two.train), first)
    np.testing.assert_array_equal(pixels(two.train), second)
    assert not np.array_equal(pixels(other.train), first)


def test_search_has_one_seeded_order_and_no_augmentation(folder, decoding):
    data = load(folder, seed=1, augment="crop_flip")
    np.testing.assert_array_equal(pixels(data.search), pixels(data.search))
    again = load(folder, seed=1).search
    np.testing.assert_array_equal(pixels(data.search), pixels(again))
    stored = [50, 51, 52, 53, 54, 200, 201, 202]
    assert sorted(pixels(again)[:, 0, 0, 0]) == stored
    assert pixels(again)[:, 0, 0, 0].tolist() != stored
    np.testing.assert_array_equal(pixels(data.search).std((1, 2)), 0)


def test_both_ways_of_decoding_give_the_same(folder, encoded, monkeypatch):
    for part, seed in (("train", 1), ("val", 2)):
        noise = encoded((33, 21), seed=seed)
        (folder / part / "cat" / "noise.jpg").write_bytes(noise)
    held = load(folder, (7, 9, 1))
    monkeypatch.setattr("hh_keras.data.loading.IN_MEMORY_BYTES", 0)
    streamed = load(folder, (7, 9, 1))
    for name in ("train", "search", "validation"):
        one, two = getattr(held, name), getattr(streamed, name)
        assert one.element_spec == two.element_spec
        assert int(one.cardinality()) == int(two.cardinality()) == 1
        np.testing.assert_array_equal(pixels(one), pixels(two))


def test_replicas_share_the_batches(folder, decoding):
    policy = load(folder).train.options().experimental_distribute.auto_shard_policy
    assert policy == tf.data.experimental.AutoShardPolicy.DATA
    together = strategy("mirrored", 2)
    data = load(folder, batch_size=4)
    shared = together.experimental_distribute_dataset(data.validation)
    images = [
        image
        for x, _ in shared
        for part in together.experimental_local_results(x)
        for image in part.numpy()[:, 0, 0, 0]
    ]
    assert sorted(images) == [50, 51, 200, 201]


def test_no_iterator_waits_for_the_tuning_thread(folder, decoding):
    data = load(folder)
    for part in (data.train, data.epoch(0), data.validation, data.search):
        assert weighted(part, 1).options().autotune.enabled is False


def small_model():
    head = [keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((8, 10, 3)), *head])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, jit_compile=False)
    return model


def test_an_image_that_fails_during_training_is_named(folder, streamed):
    bad = folder / "train" / "dog" / "1.png"
    bad.write_bytes(bad.read_bytes()[:50])
    data = load(folder, batch_size=2, on_bad_image="fail")
    with pytest.raises(tf.errors.OpError) as caught:
        small_model().fit(data.train, shuffle=False, verbose=0)
    error = as_data_error(caught.value)
    assert isinstance(error, hh.DataError)
    assert str(error).startswith(f"{bad} is not a readable image (")
    assert str(error).endswith(". Remove or replace it.")
    assert "\n" not in str(error)
    with pytest.raises(tf.errors.OpError) as caught:
        pixels(data.search)
    assert str(as_data_error(caught.value)) == str(error)


def test_a_file_that_vanishes_during_training_is_named(folder, streamed):
    data = load(folder, batch_size=2, on_bad_image="fail")
    (folder / "val" / "dog" / "1.png").unlink()
    with pytest.raises(tf.errors.OpError) as caught:
        small_model().evaluate(data.validation, verbose=0)
    text = str(as_data_error(caught.value))
    assert "dog/1.png" in text and "No such file" in text


def test_what_a_function_of_the_data_raises_is_told():
    def read(index):
        raise OSError(f"file {index} is broken")

    data = tf.data.Dataset.range(17, 19)
    data = data.map(lambda index: tf.numpy_function(read, [index], tf.float32))
    with pytest.raises(tf.errors.OpError) as caught:
        list(data)
    told = "reading the data failed with OSError: file 17 is broken"
    assert str(as_data_error(caught.value)) == told


def test_other_errors_are_not_blamed_on_the_data():
    assert as_data_error(ValueError("DataError: no")) is None
    with pytest.raises(tf.errors.OpError) as caught:
        tf.debugging.assert_equal(1, 2)
    assert as_data_error(caught.value) is None
