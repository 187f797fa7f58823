"""The loop by itself, around networks that say what a test wants."""

import numpy as np

from hh_keras.tasks.tracking.following.tracker import Settings, Tracker

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
