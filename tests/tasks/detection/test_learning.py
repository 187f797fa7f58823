"""Which place tells which box, the loss, and how it is measured."""

import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras.errors import HHError
from hh_keras.models.detection import detector_small
from hh_keras.tasks.detection import evaluation, learning, overlaps
from hh_keras.tasks.detection.places import corners, places_of

SIZE = (64, 96)
PLACES = places_of(SIZE, 126)
ROWS = np.float32(
    [
        [[8, 8, 24, 24, 0], [0, 0, 90, 60, 1], [0, 0, 0, 0, 0], [50, 40, 53, 43, 0]],
        [[0, 0, 0, 0, 0]] * 4,
        [[10, 10, 80, 50, -1], [20, 20, 40, 40, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]],
    ]
)


def told(boxes_of, rows=ROWS, right=8.0):
    """An output that tells every box where it is to be told."""
    chosen = np.array(learning.assigned(rows, PLACES))
    output = np.full((len(rows), 126, 6), -8, "float32")
    output[..., :4] = 0.0
    for image, place in zip(*np.nonzero(chosen >= 0)):
        left, top, right_, low, kind = boxes_of(rows[image, chosen[image, place]])
        x, y = PLACES.centres[place]
        reach = np.array([x - left, y - top, right_ - x, low - y])
        reach = np.maximum(reach / PLACES.strides[place], 1e-3)
        output[image, place, :4] = np.log(np.expm1(reach))
        output[image, place, 4 + int(kind)] = right
    return output


def model():
    return detector_small((*SIZE, 3), 2, widths=(4, 4, 4, 4, 4), neck=4)


def test_places_tell_the_box_whose_middle_is_near_on_its_own_map():
    chosen = np.array(learning.assigned(ROWS, PLACES))
    strides = [set(PLACES.strides[chosen[0] == box]) for box in range(4)]
    assert strides == [{8.0}, {16.0}, set(), {8.0}]
    near = PLACES.centres[chosen[0] == 0]
    assert len(near) == 4 and (np.abs(near - 16) <= 12).all()
    assert (chosen[0] == 3).sum() == 1  # smaller than a cell: the one that has it
    assert (chosen[1] == -1).all()
    assert set(chosen[2]) == {-1, 1}  # a crowd is nobody's


def test_the_loss_is_small_where_all_is_told_and_no_row_is_lost():
    loss = learning.detection_loss(model())
    right = np.array(loss(ROWS, told(lambda row: row)))
    assert right.shape == (3,) and right[1] < 1e-3 and right.max() < 0.35
    shifted = np.array(loss(ROWS, told(lambda row: row + [6, 6, 6, 6, 0])))
    other = np.array(loss(ROWS, told(lambda row: [*row[:4], 1 - row[4]])))
    for wrong in (shifted, other):
        assert (wrong[[0, 2]] > right[[0, 2]] + 0.3).all()


def test_what_is_seen_within_a_crowd_is_no_mistake():
    loss = learning.detection_loss(model())
    output = told(lambda row: row)
    inside = np.flatnonzero((PLACES.centres == [68, 44]).all(-1))[0]
    before = np.array(loss(ROWS, output))
    output[:, inside, 5] = 8.0
    after = np.array(loss(ROWS, output))
    assert after[2] == before[2] and after[1] > before[1] + 1


def test_measures_are_one_for_what_is_right():
    output = told(lambda row: row)
    within = np.array(learning.precision_within(ROWS, output, SIZE))
    np.testing.assert_allclose(within, [1, 1, 1], atol=1e-2)
    found = evaluation.detect(lambda x: output, SIZE, [(np.zeros((3, 1)), ROWS)])
    assert evaluation.average_precision(found[0], found[1], 2)["ap50"] == 1
    none = np.array(learning.precision_within(ROWS, -output, SIZE))
    assert (none < 0.2).all()


def test_average_precision_counts_what_is_missed_and_what_is_wrong():
    rows = ROWS[:1]
    boxes = np.float32([[[8, 8, 24, 24], [30, 30, 40, 40], [0, 0, 90, 60]]])
    kinds, scores = np.array([[0, 0, 1]]), np.array([[0.9, 0.8, 0.7]])
    found = evaluation.average_precision(rows, (boxes, kinds, scores), 3)
    # One of two small boxes: precision 1 up to a recall of a half, of 101 recalls 51.
    assert found["each"][0][0] == pytest.approx(51 / 101)
    assert found["each"][1] == pytest.approx((1, 1))
    assert np.isnan(found["each"][2][0])
    assert found["ap50"] == pytest.approx((51 / 101 + 1) / 2)
    nothing = evaluation.average_precision(rows, (boxes, kinds, 0 * scores), 3)
    assert nothing["ap50"] == 0


def test_without_pycocotools_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HHError, match=r"pip install 'hh_keras\[detect\]'"):
        evaluation.check_measuring()


def test_every_weight_of_a_detector_learns():
    network = model()
    loss = learning.detection_loss(network)
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (3, *SIZE, 3)).astype("float32")
    rows = ROWS.copy()
    rows[1, 0] = [-100, -100, 190, 160, 1]  # for the coarsest map
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(loss(rows, network(images, training=True)))
    slopes = tape.gradient(value, network.trainable_variables)
    for weight, slope in zip(network.trainable_variables, slopes, strict=True):
        assert np.abs(keras.ops.convert_to_numpy(slope)).max() > 0, weight.path


def test_overlaps_told_by_hand():
    a = np.float32([[0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 2, 2]])
    b = np.float32([[1, 0, 3, 2], [2, 0, 3, 1], [0, 0, 2, 2]])
    np.testing.assert_allclose(overlaps.iou(a, b), [1 / 3, 0, 1], atol=1e-6)
    # A hull of 3, of which 2 are covered.
    wanted = [1 / 3, -1 / 3, 1]
    np.testing.assert_allclose(overlaps.generalized_iou(a, b), wanted, atol=1e-6)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_boxes_a_place_tells_the_smaller(order):
    rows = np.zeros((1, 2, 5), "float32")
    rows[0, list(order)] = [[6, 6, 26, 26, 0], [8, 8, 24, 24, 1]]
    chosen = np.array(learning.assigned(rows, PLACES))[0]
    inner = (np.abs(PLACES.centres - 16) < 8).all(-1) & (PLACES.strides == 8)
    assert inner.sum() == 4 and set(chosen[inner]) == {order[1]}


def test_the_loss_is_that_of_its_formula():
    """Quality focal loss (arXiv:2006.04388, beta 2) and twice 1 - GIoU, per place."""
    rng = np.random.default_rng(0)
    output = rng.normal(0, 1.5, (3, 126, 6)).astype("float32")
    found = np.array(learning.detection_loss(model())(ROWS, output))
    boxes = np.array(corners(output, PLACES))
    chosen = np.array(learning.assigned(ROWS, PLACES))
    for image in range(3):
        total, number = 0.0, 0
        for place in range(126):
            row = ROWS[image, chosen[image, place]]
            tells = chosen[image, place] >= 0
            x, y = PLACES.centres[place]
            crowded = image == 2 and 10 < x < 80 and 10 < y < 50
            quality = np.zeros(2)
            if tells:
                one, other = boxes[image, place][None], row[None, :4]
                quality[int(row[4])] = overlaps.iou(one, other)[0]
                total += 2 * (1 - float(overlaps.generalized_iou(one, other)[0]))
                number += 1
            if tells or not crowded:
                score = 1 / (1 + np.exp(-output[image, place, 4:].astype("float64")))
                entropy = -quality * np.log(score) - (1 - quality) * np.log(1 - score)
                total += ((quality - score) ** 2 * entropy).sum()
        assert found[image] == pytest.approx(total / max(number, 1), rel=1e-4)
