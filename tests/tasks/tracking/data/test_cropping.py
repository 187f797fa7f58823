"""Squares are cut where they should be, whatever of them the frame has."""

import numpy as np
import pytest

from hh_keras.tasks.tracking.data.cropping import box_in_crop, crop, mean_colour
from hh_keras.tasks.tracking.data.regions import Geometry, Regions, cut_out, unusable
from hh_keras.tasks.tracking.pairs.colours import augmented

FILL = np.array([7, 8, 9], np.uint8)


def noise(height=40, width=50, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def with_box(box, height=90, width=120):
    """A dark frame with a bright rectangle."""
    frame = np.zeros((height, width, 3), np.uint8)
    left, top, across, down = box
    frame[top : top + down, left : left + across] = 255
    return frame


def found(image):
    """The box of what is bright, to half a pixel."""
    bright = image.mean(-1) > 127
    rows, columns = (np.flatnonzero(bright.any(axis)) for axis in (1, 0))
    left, top = columns[0], rows[0]
    return np.array([left, top, columns[-1] + 1 - left, rows[-1] + 1 - top])


def test_whole_pixels_are_copied():
    frame = noise()
    part = crop(frame, (20, 15), 10, 10, FILL)
    np.testing.assert_array_equal(part, frame[10:20, 15:25])


def test_what_is_outside_has_the_colour_given():
    frame = noise()
    part = crop(frame, (0, 40), 20, 20, FILL)
    np.testing.assert_array_equal(part[:10, 10:], frame[30:, :10])
    assert (part[10:] == FILL).all() and (part[:, :10] == FILL).all()
    assert (crop(frame, (-100, 500), 9.5, 4, FILL) == FILL).all()
    assert mean_colour(np.full((300, 9, 3), FILL)).tolist() == FILL.tolist()


def test_shrinking_averages():
    frame = noise(64, 64)
    part = crop(frame, (32, 32), 64, 4, FILL)
    assert np.abs(part.astype(int) - 127).max() < 20  # single pixels have 0 to 255


@pytest.mark.parametrize("side, size", [(30.3, 96), (71.7, 48), (150.0, 64)])
def test_boxes_move_with_the_pixels(side, size):
    box = np.array([41, 30, 24, 14])
    middle = np.array([55.2, 38.6])
    image = crop(with_box(box), middle, side, size, np.zeros(3, np.uint8))
    inside = box_in_crop(box, middle, side, size)
    np.testing.assert_allclose(found(image), inside, atol=1.01)


def test_a_region_has_all_that_squares_reach_and_no_more():
    geometry = Geometry(exemplar_size=32, search_size=48, shift=0.3, zoom=1.3)
    frame, box = noise(400, 500), np.array([230.0, 170, 30, 40])
    region = cut_out(frame, box, geometry)
    assert max(region.pixels.shape) < 48 * 1.3**2 * 1.6 + 3
    side = np.sqrt(region.box[2] * region.box[3])
    assert side == pytest.approx(geometry.finest, rel=0.02)
    # What a square holds does not depend on whether the rest was kept.
    far = region.box[:2] + region.box[2:] / 2 + 0.3 * 3.9 * side
    assert (np.abs(far + 1.95 * side) < np.array(region.pixels.shape[1::-1]) + 1).all()
    whole = crop(frame, (245, 190), 60, 30, FILL).astype(int)
    small = crop(region.pixels, region.box[:2] + region.box[2:] / 2, 60 * side /
                 np.sqrt(1200), 30, FILL)  # fmt: skip
    assert np.abs(whole - small).mean() < 12


def test_small_frames_are_kept_as_they_are():
    frame = noise()
    geometry = Geometry(shift=0, zoom=1)
    region = cut_out(frame, np.array([20, 15, 9, 9]), geometry)
    np.testing.assert_array_equal(region.pixels, frame[5:34, 10:39])
    np.testing.assert_allclose(region.box, [10, 10, 9, 9])
    assert region.pixels.base is None  # the frame is not held


def test_memory_is_bounded_and_changes_nothing():
    made = []

    def make(number):
        made.append(number)
        return cut_out(noise(seed=number), np.array([20, 15, 9, 9]), Geometry())

    regions = Regions(make, 10_000)
    first = [regions(k).pixels for k in range(4)]
    again = [regions(k).pixels for k in range(4)]
    assert made == [0, 1, 2, 3, 1, 2, 3]  # of 6,000 bytes, one fits
    for one, two in zip(first, again):
        np.testing.assert_array_equal(one, two)


def test_boxes_of_no_use():
    assert unusable([1, 2, 3, 4], (10, 10)) is None
    assert unusable([-2, 0, 5, 5], (10, 10)) is None  # partly outside
    for box in ([1, 2, 0, 4], [1, 2, 3, -4], [1, 2, np.nan, 4], [1, 2, np.inf, 4]):
        assert unusable(box) == "its box has no size"
    assert "outside" in unusable([8, 0, 5, 5], (10, 10))


def test_both_images_are_mirrored_and_the_box_with_them():
    box = np.array([10.0, 20, 30, 12])
    frame = with_box([10, 20, 30, 12], 64, 64)
    mirrored, grey = set(), set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        light = 60 + frame // 255 * np.array([120, 90, 60], np.uint8)
        exemplar, search, place = augmented(light, light, box, rng)
        mirrored.add(place[0])
        assert exemplar.dtype == search.dtype == np.uint8
        colour = [np.ptp(x.astype(int), -1).max() > 2 for x in (exemplar, search)]
        assert colour[0] == colour[1]
        grey.add(colour[0])
        for image in (exemplar, search):
            half = (image.max(0).max(0) / 2 + image.min(0).min(0) / 2).mean()
            seen = found(np.where(image > half, 255, 0))
            np.testing.assert_allclose(seen, place, atol=3)
    assert mirrored == {10.0, 64 - 40.0} and grey == {True, False}
