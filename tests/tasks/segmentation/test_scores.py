"""Scores against Keras's own; the loss against its definition."""

import keras
import numpy as np
import pytest

from hh_keras.tasks.segmentation.classes import IGNORED
from hh_keras.tasks.segmentation.learning import overlap, segmentation_loss
from hh_keras.tasks.segmentation.scores import (
    counted,
    intersection_over_union,
    summary,
)

L = keras.layers


def masks_and_answers(seed, classes, shape=(2, 9, 11)):
    """Random ones; class 1 is nowhere, a third of the pixels is ignored."""
    rng = np.random.default_rng(seed)
    known = [c for c in range(classes) if c != 1]
    masks, found = rng.choice(known, shape), rng.choice(known, shape)
    found = np.where(rng.random(shape) < 0.5, masks, found)
    return np.where(rng.random(shape) < 0.3, IGNORED, masks).astype(np.uint8), found


@pytest.mark.parametrize("classes", [3, 6])
def test_miou_is_that_of_keras(classes):
    metric = keras.metrics.MeanIoU(classes, ignore_class=IGNORED)
    each = [
        keras.metrics.IoU(classes, [c], ignore_class=IGNORED) for c in range(classes)
    ]
    counts = 0
    for seed in range(3):
        masks, found = masks_and_answers(seed, classes)
        for m in (metric, *each):
            m.update_state(masks.astype("int32"), found)
        counts = counts + counted(masks, found, classes)
    assert summary(counts)["miou"] == pytest.approx(float(metric.result()), abs=1e-6)
    own = intersection_over_union(counts)
    for c, m in enumerate(each):
        if c == 1:
            assert np.isnan(own[c])
        else:
            assert own[c] == pytest.approx(float(m.result()), abs=1e-6)
    right = sum(
        ((m == f) & (m != IGNORED)).sum()
        for m, f in (masks_and_answers(s, classes) for s in range(3))
    )
    assert summary(counts)["pixel_accuracy"] == pytest.approx(right / counts.sum())


def test_nothing_counts():
    counts = counted(np.full((2, 2), IGNORED), np.zeros((2, 2), int), 3)
    assert not counts.any() and np.isnan(summary(counts)["miou"])
    outputs = np.zeros((1, 2, 2, 3), "float32")
    assert np.isnan(overlap(np.full((1, 2, 2), IGNORED), outputs)[0])


def test_overlap_of_single_images():
    masks, found = masks_and_answers(0, 4, (3, 8, 8))
    outputs = np.eye(4, dtype="float32")[found]
    wanted = [summary(counted(m, f, 4))["miou"] for m, f in zip(masks, found)]
    np.testing.assert_allclose(overlap(masks, outputs), wanted, atol=1e-6)


def network(activation, classes=3):
    image = keras.Input((None, None, 3))
    x = L.Conv2D(classes, 1)(image)
    return keras.Model(image, L.Activation(activation)(x) if activation else x)


def loss_by_definition(mask, shares):
    counts = mask != IGNORED
    entropy = -np.log(np.take_along_axis(shares[counts], mask[counts][:, None], 1))
    dice = []
    for c in np.unique(mask[counts]):
        y, p = (mask[counts] == c).astype(float), shares[counts][:, c]
        dice.append((2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1))
    return entropy.mean() + np.mean(1 - np.array(dice))


def test_loss_is_its_definition():
    masks, _ = masks_and_answers(1, 3)
    logits = np.random.default_rng(0).normal(size=(*masks.shape, 3)).astype("float32")
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    wanted = [loss_by_definition(m.astype(int), s) for m, s in zip(masks, shares)]
    for activation, outputs in ((None, logits), ("softmax", shares)):
        loss = segmentation_loss(network(activation))
        np.testing.assert_allclose(loss(masks, outputs), wanted, rtol=1e-5)
    changed = np.where((masks == IGNORED)[..., None], 9 * logits, logits)
    np.testing.assert_allclose(
        segmentation_loss(network(None))(masks, changed), wanted, rtol=1e-5
    )


def test_enlarged_probabilities_are_no_logits():
    """A softmax that is enlarged behind it is one still."""
    image = keras.Input((None, None, 3))
    x = L.Activation("softmax")(L.Conv2D(3, 1, strides=2)(image))
    enlarged = keras.Model(image, L.UpSampling2D(2, interpolation="bilinear")(x))
    masks, _ = masks_and_answers(2, 3)
    shares = np.full((*masks.shape, 3), 1 / 3, "float32")
    shares[..., 0], shares[..., 1] = 0.6, 0.0667
    np.testing.assert_allclose(
        segmentation_loss(enlarged)(masks, shares),
        segmentation_loss(network("softmax"))(masks, shares),
    )
