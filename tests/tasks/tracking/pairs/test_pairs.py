"""Pairs of one target: the same seed, the same pairs."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import hh_keras as hh
from hh_keras.data import ImageData
from hh_keras.tasks.tracking.data.pictures import Picture
from hh_keras.tasks.tracking.data.regions import Geometry
from hh_keras.tasks.tracking.data.sequence import Video
from hh_keras.tasks.tracking.pairs import load_pairs
from hh_keras.tasks.tracking.pairs.drawing import Drawing

SMALL = Geometry(exemplar_size=24, search_size=32)
ONLY = Drawing(negatives=0)


def frame(number, index, place):
    """Grey of the video's number, a square of the frame's, 5 grey values a step."""
    image = np.full((60, 80, 3), number, np.uint8)
    left, top, across, down = place.astype(int)
    image[top : top + down, left : left + across] = 100 + 5 * index
    return image


def videos(count=4, length=8, kind=Video, first=0):
    made = []
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        low = rng.integers(0, (60, 40), (length, 2))
        boxes = np.hstack([low, np.full((length, 2), (16, 12))]).astype(float)
        if kind is Picture:
            boxes[:] = boxes[0]
            frames = [functools.partial(frame, number, 0, boxes[0])] * length
        else:
            frames = [
                functools.partial(frame, number, k, box) for k, box in enumerate(boxes)
            ]
        made.append(kind(f"{number:02d}", frames, boxes))
    return made


def arrays(dataset):
    return list(dataset.as_numpy_iterator())


def assert_equal(one, two):
    assert len(one) == len(two)
    for a, b in zip(one, two):
        tf.nest.map_structure(np.testing.assert_array_equal, a, b)


def together(dataset):
    """Exemplars, search images and boxes, in pixels, of all batches."""
    parts = zip(*([*x, y] for x, y in arrays(dataset)))
    exemplars, searches, boxes = (np.concatenate(each) for each in parts)
    return exemplars, searches, boxes * searches.shape[1]


def seen(exemplars, searches, boxes):
    """Numbers of the frames that exemplars, and search images, are of."""
    middle = exemplars[:, 12, 12, 0]
    x, y = np.clip(boxes[:, :2] + boxes[:, 2:] / 2, 0, 31).astype(int).T
    other = searches[np.arange(len(boxes)), y, x, 0]
    return np.round((middle - 100) / 5), np.round((other - 100) / 5)


def test_epochs_depend_on_seed_and_number_only():
    settings = {"geometry": SMALL, "batch_size": 6, "pairs_per_epoch": 40}
    given = [*videos(), *videos(2, 3, Picture, 10)]
    data, again, other = (load_pairs(given, seed=s, **settings) for s in (1, 1, 2))
    assert isinstance(data, ImageData) and data.class_names == ()
    assert data.image_shape == ((24, 24, 3), (32, 32, 3))
    assert (data.num_train, data.num_validation) == (40, 1)
    first = arrays(data.epoch(0))
    (exemplars, searches), boxes = first[0]
    assert (exemplars.shape, searches.shape) == ((6, 24, 24, 3), (6, 32, 32, 3))
    assert exemplars.dtype == searches.dtype == boxes.dtype == np.float32
    assert len(first) == 7 == int(data.epoch(0).cardinality())
    assert_equal(first, arrays(again.epoch(0)))
    assert_equal(first[4:], arrays(again.epoch(0, 4)))
    for others in (data.epoch(1), other.epoch(0), data.search):
        assert (arrays(others)[0][0][1] != searches).any()
    assert_equal(arrays(data.search), arrays(again.search))
    assert_equal(arrays(data.validation), arrays(data.validation))
    one, two = arrays(data.train), arrays(data.train)
    assert len(one) == 7 == int(data.train.cardinality())
    assert (one[0][0][1] != two[0][0][1]).any()
    streamed = load_pairs(given, seed=1, memory_bytes=0, **settings)
    assert_equal(first, arrays(streamed.epoch(0)))


def test_pairs_are_of_near_frames_and_boxes_of_what_they_show():
    settings = {"geometry": SMALL, "augment": "none", "pairs_per_epoch": 64}
    for gap in (2, 7):
        drawing = Drawing(gap=gap, negatives=0)
        data = load_pairs(videos(), drawing=drawing, **settings)
        exemplars, searches, boxes = together(data.epoch(0))
        one, two = seen(exemplars, searches, boxes)
        assert set(np.abs(one - two)) == set(range(1, gap + 1))
        assert np.isfinite(boxes).all() and data.skipped == {}
        # A bright rectangle where the box is, as large as the target by its context.
        area = np.sqrt(boxes[:, 2] * boxes[:, 3])
        assert (area > 32 / 3 / 1.21).all() and (area < 32 / 3 * 1.21).all()
        for image, (left, top, width, height) in zip(searches, boxes):
            bright = (image[..., 0] > 50).sum()
            right, low = min(left + width, 32), min(top + height, 32)
            inside = (right - max(left, 0)) * (low - max(top, 0))
            assert bright == pytest.approx(inside, rel=0.25)


def test_targets_are_shifted_within_the_image():
    settings = {"augment": "none", "pairs_per_epoch": 200, "drawing": ONLY}
    moved = Geometry(exemplar_size=24, search_size=32, shift=0.3, zoom=1.0)
    still = Geometry(exemplar_size=24, search_size=32, shift=0.0, zoom=1.0)
    for kind, most in ((Video, 0.3), (Picture, 0.45)):
        boxes = together(load_pairs(videos(kind=kind), moved, **settings).epoch(0))[2]
        away = np.abs((boxes[:, :2] + boxes[:, 2:] / 2) / 32 - 0.5)
        assert most - 0.03 < away.max() <= most + 1e-6
        boxes = together(load_pairs(videos(kind=kind), still, **settings).epoch(0))[2]
        np.testing.assert_allclose(boxes[:, :2] + boxes[:, 2:] / 2, 16, atol=1e-4)


def test_negatives_show_another_videos_target():
    drawing = Drawing(negatives=0.3)
    data = load_pairs(videos(), SMALL, drawing, augment="none", pairs_per_epoch=300)
    exemplars, searches, boxes = together(data.epoch(0))
    absent = np.isnan(boxes).all(1)
    assert (absent == np.isnan(boxes).any(1)).all()
    assert absent.mean() == pytest.approx(0.3, abs=0.08)
    # The least grey value is that of the video, unless all is target and padding.
    one, two = (x.min((1, 2, 3)) for x in (exemplars, searches))
    assert (one != two)[absent].all() and (one == two)[~absent].mean() > 0.9


def test_stills_have_their_share():
    given = [*videos(6), *videos(12, 2, Picture, 30)]
    for share in (0.0, 0.25, 1.0):
        data = load_pairs(
            given, SMALL, Drawing(negatives=0, stills=share), pairs_per_epoch=80,
            augment="none",
        )  # fmt: skip
        exemplars = together(data.epoch(0))[0]
        assert (exemplars.min((1, 2, 3)) >= 30).mean() == share
    alone = load_pairs(videos(3, 2, Picture), SMALL, Drawing(stills=0.0))
    assert alone.num_train == 2
    assert load_pairs(videos(3), SMALL).num_train == 2 * 20


def test_no_sequence_is_in_both_parts():
    data = load_pairs(videos(12), SMALL, ONLY, augment="none")
    train, held_out = (
        set(together(part)[0].min((1, 2, 3)))
        for part in (data.epoch(0), data.validation)
    )
    assert held_out == {4.0} and train == set(range(12)) - {4}
    assert "11 videos to learn from, 1 videos" in data.description["text"]
    few = load_pairs(videos(12), SMALL, ONLY, limit=3, augment="none")
    assert set(together(few.epoch(0))[0].min((1, 2, 3))) == {0, 1, 2}


def broken():
    raise OSError("cannot be read")


def test_bad_frames_are_replaced_and_named():
    given = videos(3, 6)
    frames = [broken, *given[0].frames[1:]]
    given[0] = Video("first", frames, given[0].boxes)
    given[1].boxes[2, 2] = 0
    given[1].boxes[3, 0] = 500
    given[1].boxes[4] = np.nan  # absent, which is no fault
    settings = {"geometry": SMALL, "pairs_per_epoch": 60, "validation_pairs": 2}
    with pytest.warns(UserWarning, match="first#0 is left out: cannot be read"):
        data = load_pairs(given, **settings)
        assert [len(y) for _, y in arrays(data.epoch(0))] == [16, 16, 16, 12]
    assert data.skipped == {
        "first#0": "cannot be read",
        "01#2": "its box has no size",
        "01#3": "the middle of its box lies outside of the image",
    }
    with pytest.raises((hh.DataError, tf.errors.OpError), match="first#0"):
        arrays(load_pairs(given, on_bad_image="fail", **settings).epoch(0))


def test_nothing_is_left():
    given = [Video(str(k), [broken] * 2, np.full((2, 4), 5.0)) for k in range(3)]
    with pytest.warns(UserWarning), pytest.raises(hh.DataError, match="not one of the"):
        load_pairs(given)
    for each in given:
        each.boxes[:] = np.nan
    with pytest.raises(hh.DataError, match="not one of the 2 videos"):
        load_pairs(given)
    for few in ([], given[:1]):
        with pytest.raises(hh.DataError, match="not one box|one sequence only"):
            load_pairs(few)


def test_arguments_out_of_range():
    for wrong, told in (
        ({"geometry": Geometry(search_size=0)}, "search_size=0"),
        ({"geometry": Geometry(shift=0.5)}, "shift=0.5: use a number from 0 to 0.49"),
        ({"geometry": Geometry(zoom=0.5)}, "zoom=0.5"),
        ({"geometry": Geometry(exemplar_context=0.5)}, "exemplar_context"),
        ({"drawing": Drawing(gap=0)}, "gap=0"),
        ({"drawing": Drawing(negatives=2)}, "negatives=2"),
        ({"augment": "flip"}, "none, track"),
        ({"batch_size": 0}, "batch_size"),
        ({"on_bad_image": "ask"}, "skip nor fail"),
        ({"pairs_per_epoch": 0}, "pairs=0"),
    ):
        with pytest.raises(hh.DataError, match=told):
            load_pairs(videos(2), **wrong)
