"""The loop by itself, around networks that say what a test wants."""

import numpy as np
import pytest

from hh_keras.errors import DataError, ModelError
from hh_keras.tasks.tracking.data.cropping import CONTEXT
from hh_keras.tasks.tracking.data.sequence import Video
from hh_keras.tasks.tracking.following.settings import Settings
from hh_keras.tasks.tracking.following.tracker import Tracker, check_box
from hh_keras.tasks.tracking.measuring.evaluation import follow

FRAME = np.zeros((120, 160, 3), np.uint8)
BOX = (60, 40, 20, 30)


class Networks:
    """Kernels that count, features and a filter; a map whose middle tells sides."""

    def __init__(self, sides=0.5):
        self.made, self.told, self.seen, self.tried = 0, sides, [], []

    def exemplar(self, images):
        self.made += 1
        return [np.full((1, 2, 2, 3), self.made, float), np.full((1, 4), self.made)]

    def search(self, inputs):
        self.seen.append([k[0].ravel()[0] for k in inputs[1:]])
        self.tried.append(len(inputs[0]))
        found = np.zeros((len(inputs[0]), 5, 5, 5))
        found[..., 2, 2, 0] = 1
        found[..., 1:] = self.told
        return found


def followed(networks, frames, **settings):
    tracker = Tracker(
        networks.exemplar, networks.search, 24, True, Settings(**settings)
    )
    tracker.start(FRAME, BOX)
    for _ in range(frames):
        box, _ = tracker.update(FRAME)
    return box


def test_features_stay_and_filters_are_renewed():
    networks = Networks()
    followed(networks, 4, rate=0.5, renew_every=1)
    features, filters = zip(*networks.seen)
    assert set(features) == {1}
    np.testing.assert_allclose(filters, [1, 1.5, 2.25, 3.125])


def test_renewals_may_be_rare():
    networks = Networks()
    followed(networks, 7, renew_every=3)
    assert networks.made == 1 + 2


def test_a_share_of_the_sides_is_believed():
    # Sides for a square of 0.8 times the side: half of the way, as logarithms go.
    box = followed(Networks(0.4), 1, sides_rate=0.5, scale_rate=0.9)
    square = 0.8 * np.sqrt(20 * 30)
    np.testing.assert_allclose(box[2:], np.sqrt(np.array(BOX[2:]) * square))


def test_sides_that_are_not_believed_leave_sizes_to_be_tried():
    networks = Networks(0.4)
    box = followed(networks, 2, sides_rate=0.0, scale_every=1)
    assert networks.tried == [3, 3]
    np.testing.assert_allclose(box, BOX)


def test_sizes_may_be_tried_rarely():
    networks = Networks()
    followed(networks, 6, scale_every=3)
    assert networks.tried == [1, 1, 3, 1, 1, 3]


def test_a_larger_frame_shows_the_same_larger():
    """Its size may have changed far more than a target may, and it is no smaller."""
    tracker = Tracker(Networks().exemplar, Networks().search, 24, True)
    tracker.start(FRAME, BOX)
    tracker.update(FRAME)
    for factor in (8, 8, 1):
        frame = np.zeros((120 * factor, 160 * factor, 3), np.uint8)
        box, _ = tracker.update(frame)
        np.testing.assert_allclose(box, np.array(BOX) * factor)


def test_a_video_whose_frames_change_size_is_measured_alike():
    def video(factors):
        frames = [np.zeros((12 * f, 16 * f, 3), np.uint8) for f in factors]
        boxes = np.array([np.array([6, 4, 2, 3]) * f for f in factors], float)
        return Video("clip", [lambda frame=frame: frame for frame in frames], boxes)

    networks = Networks()
    tracker = Tracker(networks.exemplar, networks.search, 24, True)
    path = follow(tracker, video([10, 10, 30, 5]))
    np.testing.assert_allclose(path.boxes, video([10, 10, 30, 5]).boxes)


def test_scores_that_are_no_numbers_are_told():
    networks = Networks(sides=np.nan)
    tracker = Tracker(networks.exemplar, networks.search, 24, True)
    tracker.start(FRAME, BOX)
    with pytest.raises(ModelError, match="not all finite"):
        tracker.update(FRAME)


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ((1, 1, 0, 5), "has no size"),
        ((np.nan, 1, 5, 5), "has no size"),
        ((1, 1, 0.01, 5), "smaller than a pixel"),
        ((160, 1, 5, 5), "outside of the frame, which has 160x120"),
        ((-9, 1, 9, 5), "outside of the frame"),
        ((0, 0, 1e6, 50), "far larger than the frame"),
    ],
)
def test_a_box_of_no_use_is_refused(box, said):
    with pytest.raises(DataError, match=said):
        check_box(FRAME, box)
    check_box(FRAME, (-20, -20, 200, 200))


class Peaks(Networks):
    """A map with scores at some cells (row, column), and the same sides everywhere."""

    def __init__(self, scores, sides=0.5):
        super().__init__(sides)
        self.scores = scores

    def search(self, inputs):
        found = super().search(inputs)
        found[..., 0] = 0
        for place, score in self.scores.items():
            found[(slice(None), *place, 0)] = score
        return found


BASE = np.sqrt(20 * 30)  # the side of a square as large as the target
CELL = CONTEXT * BASE / 5


@pytest.mark.parametrize("rate", [0.5, 0.0])  # by its sides, and by the map alone
def test_a_target_that_moves_is_followed_to_its_cell(rate):
    for (row, column), moved in {
        (2, 3): (1, 0),
        (1, 2): (0, -1),
        (3, 0): (-2, 1),
    }.items():
        networks = Peaks({(row, column): 1.0}, np.array([20, 30, 20, 30]) / 2 / BASE)
        box = followed(networks, 1, window=0.0, sides_rate=rate, scale_every=9)
        wanted = np.array(BOX) + [*np.array(moved) * CELL, 0, 0]
        np.testing.assert_allclose(box, wanted)


def test_sides_move_the_middle():
    told = np.array([5, 15, 15, 15]) / BASE  # left, top, right, bottom of the cell
    box = followed(Peaks({(2, 2): 1.0}, told), 1, sides_rate=1.0, scale_rate=1.0)
    np.testing.assert_allclose(box, [60 + 5, 40, 20, 30])


def test_what_is_near_is_believed_rather_than_what_is_far():
    far = {(2, 2): 0.9, (0, 0): 1.0}
    sides = np.array([20, 30, 20, 30]) / 2 / BASE
    near = followed(Peaks(far, sides), 1, window=0.4)
    np.testing.assert_allclose(near, BOX)
    away = followed(Peaks(far, sides), 1, window=0.0)
    np.testing.assert_allclose(away[:2], np.array(BOX[:2]) - 2 * CELL)


def test_a_target_that_is_lost_keeps_its_size():
    for score, changes in ((0.9, True), (0.1, False)):
        networks = Peaks({(2, 2): score}, 0.4)
        box = followed(networks, 1, lost=0.5, sides_rate=0.5)
        assert np.allclose(box[2:], BOX[2:]) != changes


def test_sizes_stay_within_bounds_of_the_first():
    box = followed(Peaks({(2, 2): 1.0}, 5.0), 20, sides_rate=1.0, grow=1.5)
    assert np.sqrt(box[2] * box[3]) == pytest.approx(1.5 * BASE)
