"""Suppression for all images at once is the greedy one, box by box."""

import numpy as np
import pytest

from hh_keras.tasks.detection.detections import detections
from hh_keras.tasks.detection.places import places_of


def overlap(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inner = np.prod(np.maximum(high - low, 0))
    return inner / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inner)


def greedy(boxes, logits, most, limit):
    """`(box, class, score)` by the loop of the textbook."""
    every = [
        (1 / (1 + np.exp(-logits[p, c])), c, boxes[p])
        for p in range(len(boxes))
        for c in range(logits.shape[1])
    ]
    kept = []
    for score, kind, box in sorted(every, key=lambda x: -x[0])[:300]:
        if all(k != kind or overlap(box, b) <= limit for _, k, b in kept):
            kept.append((score, kind, box))
    return kept[:most]


@pytest.mark.parametrize("classes, limit", [(1, 0.3), (3, 0.6)])
def test_suppression_is_greedy_and_by_class(classes, limit):
    rng = np.random.default_rng(0)
    places = places_of((64, 96), 126)
    output = rng.normal(0, 2, (3, 126, 4 + classes)).astype("float32")
    boxes, kinds, scores = (np.array(x) for x in detections(output, places, 50, limit))
    assert boxes.shape == (3, 50, 4)
    for image in range(3):
        reach = np.log1p(np.exp(output[image, :, :4])) * places.strides[:, None]
        own = np.hstack([places.centres - reach[:, :2], places.centres + reach[:, 2:]])
        wanted = greedy(own, output[image, :, 4:], 50, limit)
        assert (scores[image] > 0).sum() == len(wanted)
        for place, (score, kind, box) in enumerate(wanted):
            assert scores[image, place] == pytest.approx(score, abs=1e-5)
            assert kinds[image, place] == kind
            np.testing.assert_allclose(boxes[image, place], box, atol=1e-3)


def test_places_are_found_by_their_number():
    places = places_of((96, 64), 12 * 8 + 6 * 4 + 3 * 2)
    assert sorted(set(places.strides)) == [8, 16, 32]
    assert places.centres[0].tolist() == [4, 4] and places.centres[8].tolist() == [
        4,
        12,
    ]
    assert places.centres[-1].tolist() == [48, 80]
    assert set(places_of((96, 64), 12 * 8).strides) == {8}
