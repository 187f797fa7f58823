"""Scores, confusions and averages over cuts, against plain numpy and Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hh_keras.errors import DataError, HHError, ModelError
from hh_keras.tasks.classification.evaluation import (
    accuracy_by_class,
    averaged,
    confusion,
    evaluate,
    outputs_and_labels,
    score_outputs,
)

L = keras.layers


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def network(activation=None):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6, 6, 2))
    x = L.GlobalMaxPooling2D()(L.Conv2D(5, 3)(inputs))
    return keras.Model(inputs, L.Dense(6, activation=activation)(x))


def batches(*sizes, cuts=(), classes=6):
    """Batches of (images, labels) of these sizes, all different."""
    rng = np.random.default_rng(1)
    found = [
        (
            rng.normal(size=(n, *cuts, 6, 6, 2)).astype("float32") * 3,
            rng.integers(0, classes, n),
        )
        for n in sizes
    ]
    signature = (
        tf.TensorSpec([None, *cuts, 6, 6, 2]),
        tf.TensorSpec([None], tf.int64),
    )
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(found), output_signature=signature
    )
    return dataset, *(np.concatenate(part) for part in zip(*found))


@pytest.mark.parametrize("activation", [None, "softmax"])
@pytest.mark.parametrize("cuts", [(), (1,), (5,), (10,)])
def test_the_mean_probability_over_the_cuts_decides(activation, cuts):
    model = network(activation)
    dataset, images, labels = batches(4, 3, 1, cuts=cuts)
    outputs = model(images.reshape(-1, 6, 6, 2)).numpy().astype("float64")
    shares = outputs if activation else softmax(outputs)
    shares = shares.reshape(len(images), -1, 6).mean(1)
    target = shares[np.arange(len(labels)), labels]
    scores = evaluate(model, dataset)
    assert scores["loss"] == pytest.approx(-np.log(target).mean(), rel=1e-4)
    assert scores["accuracy"] == np.mean(shares.argmax(1) == labels)
    top5 = (np.argsort(-shares, 1)[:, :5] == labels[:, None]).any(1)
    assert scores["accuracy_top5"] == pytest.approx(np.mean(top5))


def test_one_cut_is_as_good_as_none():
    model = network()
    dataset, images, _ = batches(4, 3)
    as_cut = dataset.map(lambda x, y: (x[:, None], y))
    expected = evaluate(model, dataset)
    assert evaluate(model, as_cut) == pytest.approx(expected, rel=1e-5)
    assert evaluate(model, dataset.batch(1).unbatch()) == expected


def test_batches_without_examples_are_passed_over():
    model = network()
    for cuts in [(), (5,)]:
        with_gaps, *_ = batches(0, 4, 0, 3, 0, cuts=cuts)
        without, *_ = batches(4, 3, cuts=cuts)
        assert evaluate(model, with_gaps) == evaluate(model, without)
    with pytest.raises(DataError, match="not a single example"):
        evaluate(model, batches(0, 0)[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 10), st.floats(0.1, 200))
def test_averages_stay_of_the_kind_they_were(seed, cuts, scale):
    logits = np.random.default_rng(seed).normal(size=(3, cuts, 4)) * scale
    expected = softmax(logits).mean(1)
    np.testing.assert_allclose(averaged(softmax(logits), False), expected, atol=1e-12)
    found = averaged(logits, True)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.exp(found), expected, atol=1e-9)
    mirrored = averaged(logits[:, ::-1], True)
    np.testing.assert_allclose(found, mirrored, rtol=1e-9, atol=1e-9)
    shifted = averaged(logits + np.arange(cuts)[:, None], True)
    np.testing.assert_allclose(found, shifted, rtol=1e-6, atol=1e-6)


def test_what_outputs_are_is_found_out_for_cuts_too():
    logits = np.random.default_rng(0).normal(size=(6, 5, 7)) * 3
    labels = np.arange(6)
    expected = score_outputs(logits, labels, from_logits=True)
    assert score_outputs(logits, labels) == expected
    assert score_outputs(softmax(logits), labels) == pytest.approx(expected)
    dataset, *_ = batches(4, 2, cuts=(5,))
    run = network("softmax").predict_on_batch
    outputs, _ = outputs_and_labels(run, dataset)
    assert outputs.shape == (6, 6)
    np.testing.assert_allclose(outputs.sum(1), 1, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 8), st.sampled_from([(), (3,)]))
def test_confusions_agree_with_the_accuracy(seed, classes, cuts):
    rng = np.random.default_rng(seed)
    # Whole numbers: ties must count the same way in both.
    outputs = rng.integers(-2, 3, (20, *cuts, classes)).astype(float)
    labels = rng.integers(0, classes, 20)
    counts = confusion(outputs, labels, True)
    scores = score_outputs(outputs, labels, True)
    assert np.trace(counts) / counts.sum() == pytest.approx(scores["accuracy"])
    np.testing.assert_array_equal(counts.sum(1), np.bincount(labels, minlength=classes))
    shares, sizes = accuracy_by_class(counts), counts.sum(1)
    assert (np.isnan(shares) == (sizes == 0)).all()
    assert np.nansum(shares * sizes) == pytest.approx(np.trace(counts))


def test_rows_are_labels_and_columns_what_was_said():
    outputs = np.eye(3)[[1, 1, 0, 2]]
    counts = confusion(outputs, [0, 1, 0, 0])
    np.testing.assert_array_equal(counts, [[1, 1, 1], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(accuracy_by_class(counts), [1 / 3, 1, np.nan])


@pytest.mark.parametrize("cuts", [(), (5,)])
def test_what_cannot_be_scored(cuts):
    dataset, *_ = batches(4, cuts=cuts)
    with pytest.raises(HHError, match="not all finite"):
        run = lambda images: np.full((len(images), 6), np.nan)  # noqa: E731
        score_outputs(*outputs_and_labels(run, dataset))
    with pytest.raises(ModelError, match=r"\(4, 6, 6, 2\).*\(images, classes\)"):
        outputs_and_labels(lambda images: images, dataset)
    with pytest.raises(ModelError, match=r"\(4, 2\), \(4, 3\)"):
        both = lambda images: [np.zeros((4, 2)), np.zeros((4, 3))]  # noqa: E731
        outputs_and_labels(both, dataset)
    with pytest.raises(DataError, match="labels go from 0 to 9"):
        score_outputs(np.zeros((2, *cuts, 6)), [0, 9])


def test_rounded_probabilities_are_shares_of_their_sum():
    shares = np.array([[0.5, 0.25, 0.25], [0.125, 0.25, 0.5]])  # the second: 0.875
    expected = -np.log([0.5, 0.5 / 0.875]).mean()
    assert score_outputs(shares, [0, 2], False)["loss"] == pytest.approx(expected)
