"""An image and its mask move together; chance is a function of the seed."""

import numpy as np
import pytest

from hh_keras.tasks.segmentation.classes import IGNORED
from hh_keras.tasks.segmentation.cutting import AUGMENTATIONS, _in_another_light, cut

# Smooth, so that resizing keeps it: columns tell red, rows green.
ROWS, COLUMNS = np.mgrid[:60, :90]
IMAGE = np.stack([2 * COLUMNS, 3 * ROWS, 0 * ROWS], -1).astype(np.uint8)


def numbered(axis):
    """Masks that tell the row or the column that a pixel comes from."""
    return np.array((ROWS, COLUMNS)[axis], np.uint8)


@pytest.mark.parametrize("augment", ["none", "flip"])
@pytest.mark.parametrize("seed", range(6))
def test_masks_follow_images(augment, seed):
    for axis, (channel, step) in enumerate(((1, 3), (0, 2))):
        rng = np.random.default_rng(seed)
        image, mask = cut(IMAGE, numbered(axis), 24, augment, rng)
        assert image.shape == (24, 24, 3) and mask.shape == (24, 24)
        np.testing.assert_array_equal(image[..., channel], step * mask)


@pytest.mark.parametrize("seed", range(12))
def test_masks_follow_images_at_every_scale(seed, monkeypatch):
    monkeypatch.setattr(
        "hh_keras.tasks.segmentation.cutting._in_another_light", lambda x, *_: x
    )
    for axis, (channel, step) in enumerate(((1, 3), (0, 2))):
        rng = np.random.default_rng(seed)
        image, mask = cut(IMAGE, numbered(axis), 24, "flip_scale_colour", rng)
        inside = mask != IGNORED
        off = np.abs(image[..., channel] / step - mask)[inside]
        # A mask takes the nearest pixel, which is half a pixel off at most.
        assert inside.any() and off.max() <= 1.1


def test_scales_and_colours_differ():
    rng = np.random.default_rng(0)
    found = [cut(IMAGE, numbered(1), 24, "flip_scale_colour", rng) for _ in range(40)]
    spans = [np.ptp(m[m != IGNORED].astype(int)) for _, m in found]
    assert min(spans) < 15 and max(spans) > 40
    middle = np.full((24, 24, 3), 100, np.uint8)
    light = [cut(middle, middle[..., 0], 24, AUGMENTATIONS[2], rng) for _ in range(20)]
    assert np.ptp([image.mean() for image, _ in light]) > 20


def test_beyond_small_images_nothing_counts():
    image, mask = IMAGE[:10, :30], numbered(0)[:10, :30]
    piece, found = cut(image, mask, 24, "none", np.random.default_rng(3))
    assert (found != IGNORED).sum() == 10 * 24
    rows = np.flatnonzero((found != IGNORED).any(1))
    assert rows[-1] - rows[0] == 9
    np.testing.assert_array_equal(piece[0], piece[rows[0]])


def test_grey_images_keep_their_channel():
    rng = np.random.default_rng(0)
    for augment in AUGMENTATIONS:
        image, _ = cut(IMAGE[..., :1], numbered(0), 16, augment, rng)
        assert image.shape == (16, 16, 1) and image.dtype == np.uint8


def test_saturation_goes_from_grey_to_more_than_there_was():
    image = np.array([[[180, 60, 90], [40, 120, 80]]], np.uint8)
    none, same, more = (
        _in_another_light(image, 1.0, 1.0, saturation).astype(int)
        for saturation in (0.0, 1.0, 1.3)
    )
    assert np.ptp(none, -1).max() == 0
    np.testing.assert_array_equal(same, image)
    np.testing.assert_allclose(np.ptp(more, -1), 1.3 * np.ptp(image, -1), atol=1)
