import keras
import numpy as np
import pytest

from hh_keras.errors import DataError, ModelError
from hh_keras.graph import heads
from hh_keras.tasks.classification import task as classification

L = keras.layers


def classifier(*last):
    return keras.Sequential([keras.Input((4,)), L.Dense(6), *last])


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda: [L.Dense(3)], True),
        (lambda: [L.Dense(3, activation="relu")], True),
        (lambda: [L.Dense(3, activation="softmax")], False),
        (lambda: [L.Dense(3, activation="sigmoid")], False),
        (lambda: [L.Dense(3), L.Softmax()], False),
        (lambda: [L.Dense(3), L.Activation("softmax", dtype="float32")], False),
        (lambda: [L.Dense(3, activation="softmax"), L.Activation("linear")], False),
        (lambda: [L.Dense(3, activation="softmax"), L.Reshape((3,))], False),
        (lambda: [L.Dense(3, activation="softmax"), L.Dense(3)], True),
        (lambda: [classifier(L.Dense(3, activation="softmax"))], False),
    ],
)
def test_from_logits(make, expected):
    last = make()
    if isinstance(last[0], keras.Model):
        model = keras.Sequential([keras.Input((4,)), *last])
    else:
        model = classifier(*last)
    assert heads.from_logits(model) is expected


def test_from_logits_sees_the_operation():
    x = keras.Input((4,))
    model = keras.Model(x, keras.ops.softmax(L.Dense(3)(x)))
    assert not heads.from_logits(model)


def test_loss_is_the_same_for_logits_and_probabilities():
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    labels = np.array([0, 1, 2, 1, 0])
    by_logits = classification.loss(classifier(L.Dense(3)))
    by_shares = classification.loss(classifier(L.Dense(3), L.Softmax()))
    shares = keras.ops.softmax(logits)
    one, other = by_logits(labels, logits), by_shares(labels, shares)
    np.testing.assert_allclose(one, other, rtol=1e-4)
    one_hot = np.eye(3, dtype="float32")[labels]
    np.testing.assert_allclose(by_logits(one_hot, logits), one, rtol=1e-5)
    halves = 0.5 * one_hot + 0.5 * np.eye(3, dtype="float32")[[0] * 5]
    expected = 0.5 * one + 0.5 * by_logits(np.zeros(5, int), logits)
    np.testing.assert_allclose(by_logits(halves, logits), expected, rtol=1e-5)


def test_accuracy():
    outputs = np.array([[0.2, 0.7, 0.1], [2.0, 0.1, 0.3]], "float32")
    np.testing.assert_array_equal(
        classification.accuracy(np.array([1, 1]), outputs), [1, 0]
    )
    shares = np.array([[0.4, 0.6, 0.0], [0.6, 0.0, 0.4]], "float32")
    np.testing.assert_array_equal(classification.accuracy(shares, outputs), [1, 1])


def test_label_smoothing_of_integer_labels():
    logits = np.array([[2.0, 0.0, -1.0]], "float32")
    smoothed = classification.loss(classifier(L.Dense(3)), label_smoothing=0.3)
    logs = np.log(np.exp(logits) / np.exp(logits).sum())
    expected = -(logs * [[0.8, 0.1, 0.1]]).sum()
    assert np.mean(smoothed(np.array([0]), keras.ops.convert_to_tensor(logits))) == (
        pytest.approx(expected, rel=1e-5)
    )


def test_check_head():
    classification.check_head(classifier(L.Dense(3)), 3)
    with pytest.raises(DataError, match="3 units.*10 classes"):
        classification.check_head(classifier(L.Dense(3)), 10)
    with pytest.raises(ModelError, match="shape"):
        classification.check_head(classifier(L.Reshape((2, 3))), 3)
    x = keras.Input((4,))
    with pytest.raises(ModelError, match="2 outputs"):
        classification.check_head(keras.Model(x, [L.Dense(3)(x), L.Dense(3)(x)]), 3)


def test_unbuilt_model_is_refused():
    with pytest.raises(ModelError, match="no known outputs"):
        classification.check_head(keras.Sequential([L.Dense(3)]), 3)
