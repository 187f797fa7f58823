"""Calibration data that cannot be learnt from is refused or warned of, by name."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers as L

import hh_keras as hh
from hh_keras.search.calibration import calibration_moments
from hh_keras.search.checks import flat_inputs

SHAPE = (8, 8, 3)


def network():
    keras.utils.set_random_seed(0)
    i = keras.Input(SHAPE, name="image")
    x = L.Conv2D(6, 3, use_bias=False, name="conv")(i)
    x = L.ReLU()(L.BatchNormalization(momentum=0.5, name="norm")(x))
    x = L.Conv2D(6, 3)(x)
    x = L.BatchNormalization(momentum=0.5, name="later")(x)
    return keras.Model(i, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))


@pytest.fixture(scope="module")
def trained():
    """A network of pixels 0..255 that was trained on them, a little."""
    model = network()
    model.compile("adam", "mse")
    model.fit(pixels(256), np.zeros((256, 3)), 32, 2, verbose=0)
    return model


def pixels(count, seed=0):
    """Pictures with an average and a contrast of their own."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(60, 190, (count, 1, 1, 3))
    contrast = rng.uniform(5, 60, (count, 1, 1, 1))
    noise = rng.normal(size=(count, *SHAPE))
    return np.clip(place + contrast * noise, 0, 255).astype("float32")


def learn(model, data):
    """Collects moments; returns the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        calibration_moments(model, hh.trace(model), data)
    return [str(w.message) for w in caught if "hh_keras" in w.filename]


def test_data_like_those_of_training_are_taken(trained):
    assert not learn(trained, pixels(64, 1))
    assert not learn(trained, pixels(64, 1).astype("uint8"))
    assert not learn(trained, list(pixels(40, 2)[:, None]))  # one by one


@pytest.mark.parametrize("change", [lambda x: x / 255, lambda x: x / 127.5 - 1])
def test_another_range_is_told_by_batch_normalization(trained, change):
    (message,) = learn(trained, change(pixels(64)))
    assert "another range" in message and "'norm'" in message
    assert message.count("standard deviation") == 2 and "in training it was" in message


def test_untrained_batch_normalization_tells_nothing():
    images = np.random.default_rng(0).integers(0, 256, (40, *SHAPE), np.uint8)
    assert not [m for m in learn(network(), images) if "range" in m]


def test_too_few_examples(trained):
    i = keras.Input((5,))
    x = L.Dense(30, activation="relu", name="wide")(i)
    model = keras.Model(i, L.Dense(2, name="head")(x))
    data = np.random.default_rng(0).normal(size=(20, 5)).astype("float32")
    (message,) = learn(model, data)
    assert "'head' reads 30 channels" in message and "20 vectors" in message
    assert "30 examples would do" in message


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_that_are_not_finite(trained, bad):
    images = pixels(64)
    images[40, 0, 0, 0] = bad
    with pytest.raises(hh.SearchError, match=r"batch 2 .*1 of 32 .*'image'"):
        learn(trained, images)


def test_weights_and_outputs_that_are_not_finite():
    i = keras.Input((4,))
    x = L.Dense(6, activation="relu")(i)
    model = keras.Model(i, L.Dense(2, name="head")(x))
    data = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    good = model.get_weights()
    model.set_weights([*good[:3], np.array([0, np.nan])])
    with pytest.raises(hh.SearchError, match="weight 'bias' of layer 'head'"):
        learn(model, data)
    model.set_weights([*good[:2], 1e38 * np.sign(good[2]), good[3]])
    with pytest.raises(hh.SearchError, match="layer 'head' is not finite"):
        learn(model, data * 100)


def test_images_that_are_all_the_same(trained):
    with pytest.raises(hh.SearchError, match="all 40 examples .* are the same"):
        learn(trained, np.repeat(pixels(1), 40, 0))


def test_inputs_that_the_model_does_not_take(trained):
    with pytest.raises(hh.SearchError, match="'image' .* 8x8x3.* 9x9x3"):
        learn(trained, [np.zeros((4, 9, 9, 3), "float32")])
    with pytest.raises(hh.SearchError, match="'image' .* 8x8x3.* 8x8"):
        learn(trained, [np.zeros((4, 8, 8), "float32")])
    with pytest.raises(hh.SearchError, match="1 inputs .*holds 2"):
        learn(trained, [([pixels(4), pixels(4)],)])


def test_named_inputs_go_where_their_names_say():
    a, b = keras.Input((2,), name="b"), keras.Input((2,), name="a")
    model = keras.Model([a, b], L.Dense(2)(L.Dense(4)(L.Concatenate()([a, b]))))
    first, second = np.zeros((3, 2)), np.ones((3, 2))
    found = flat_inputs(model, {"a": second, "b": first})
    np.testing.assert_array_equal(found, [first, second])
    found = flat_inputs(model, [first, second])
    np.testing.assert_array_equal(found, [first, second])
    data = np.random.default_rng(0).normal(size=(2, 9, 2)).astype("float32")
    for batch in ([*data], (*data,), {"b": data[0], "a": data[1]}, ([*data], data[0])):
        assert not [m for m in learn(model, [batch]) if "few" not in m]
    with pytest.raises(hh.SearchError, match=r"2 inputs \(b, a\).*holds 1"):
        flat_inputs(model, first)


def test_errors_of_the_data_are_passed_on(trained):
    def data():
        yield pixels(4)
        raise hh.DataError("photo.jpg is broken")

    with pytest.raises(hh.DataError, match=r"photo\.jpg"):
        learn(trained, data())
