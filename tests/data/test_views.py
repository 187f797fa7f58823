"""What is cut out of images, and what comes of it."""

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import hh_keras as hh
from hh_keras.data import load
from hh_keras.data.decoding import decode_cuts
from hh_keras.data.views import VIEWS, cuts_of, number_of_cuts, random_cut

SIDES = st.integers(1, 700)


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, st.integers(1, 300), st.integers(1, 300), st.sampled_from(VIEWS))
def test_cuts_lie_in_the_image_and_keep_the_aspect(width, height, h, w, view):
    cuts = cuts_of(view, (h, w, 3))(width, height)
    assert len(cuts) == number_of_cuts(view)
    for (left, top, right, bottom), _ in cuts:
        assert -1e-6 <= left < right <= width + 1e-6
        assert -1e-6 <= top < bottom <= height + 1e-6
        if view != "resize":
            assert (right - left) / (bottom - top) == pytest.approx(w / h)
            covered = min(width / (right - left), height / (bottom - top))
            assert covered == pytest.approx(256 / 224)


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, st.integers(0, 2**31 - 1), st.integers(0, 10**6))
def test_random_cuts_lie_in_the_image(width, height, seed, index):
    ((left, top, right, bottom), mirrored), *rest = random_cut((seed, index))(
        width, height
    )
    assert not rest and isinstance(mirrored, bool)
    assert 0 <= left < right <= width + 1e-6 and 0 <= top < bottom <= height + 1e-6
    again = random_cut((seed, index))(width, height)
    assert again == [((left, top, right, bottom), mirrored)]


def test_random_cuts_have_the_areas_and_aspects_of_inception():
    found = [random_cut((7, k))(500, 375)[0] for k in range(2000)]
    sizes = np.array([(r - x, b - y) for (x, y, r, b), _ in found])
    areas, aspects = sizes.prod(1) / (500 * 375), sizes[:, 0] / sizes[:, 1]
    assert areas.min() >= 0.0799 and areas.max() <= 1
    assert 0.40 < areas.mean() < 0.50  # large ones fit less often
    assert aspects.min() >= 3 / 4 - 1e-6 and aspects.max() <= 4 / 3 + 1e-6
    assert abs(np.log(aspects).mean()) < 0.03
    assert 0.45 < np.mean([mirrored for _, mirrored in found]) < 0.55


def photo(size=(64, 48)):
    """A smooth picture: two ways of resizing it agree."""
    y, x = np.mgrid[: size[1], : size[0]]
    waves = [np.sin(x / 9 + k) * np.cos(y / 7 - k) for k in range(3)]
    pixels = 127 + 100 * np.stack(waves, -1)
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_the_centre_is_that_of_the_resized_image():
    found = decode_cuts(photo(), (28, 28, 3), cuts_of("center", (28, 28, 3)))[0]
    resized = Image.open(io.BytesIO(photo())).resize((round(32 * 64 / 48), 32))
    left = (resized.width - 28) / 2
    expected = resized.crop((math.floor(left), 2, math.floor(left) + 28, 30))
    difference = np.abs(found.astype(int) - np.asarray(expected))
    assert difference.mean() < 4


def test_five_are_the_corners_and_ten_their_mirror_images():
    five = decode_cuts(photo(), (28, 28, 3), cuts_of("five", (28, 28, 3)))
    ten = decode_cuts(photo(), (28, 28, 3), cuts_of("ten", (28, 28, 3)))
    center = decode_cuts(photo(), (28, 28, 3), cuts_of("center", (28, 28, 3)))
    np.testing.assert_array_equal(ten[:5], five)
    np.testing.assert_array_equal(ten[5:], five[:, :, ::-1])
    np.testing.assert_array_equal(five[0], center[0])
    whole = np.asarray(Image.open(io.BytesIO(photo())))
    for k, corner in enumerate(
        [whole[0, 0], whole[0, -1], whole[-1, 0], whole[-1, -1]]
    ):
        rows, columns = (0, -1)[k // 2], (0, -1)[k % 2]
        shown = five[k + 1][rows, columns].astype(int)
        assert np.abs(shown - corner).max() < 25


@pytest.mark.parametrize("memory", [0, None])
def test_validation_of_several_cuts(folder, memory):
    data = load(folder, batch_size=3, view="ten", memory_bytes=memory)
    shapes = [x.shape for x, _ in data.validation.as_numpy_iterator()]
    assert shapes == [(3, 10, 8, 10, 3), (1, 10, 8, 10, 3)]
    assert next(iter(data.train))[0].shape == (3, 8, 10, 3)
    assert next(iter(data.search))[0].shape == (3, 8, 10, 3)


def test_the_imagenet_protocol(folder, encoded):
    """Pictures of many kinds; training sees pieces, validation the centre."""
    for part in ("train", "val"):
        for k, (kind, mode) in enumerate(
            [("JPEG", "CMYK"), ("PNG", "RGBA"), ("BMP", "L"), ("PNG", "LA")]
        ):
            image = encoded((90 + 7 * k, 60 + 20 * k), kind=kind, mode=mode, seed=k)
            name = f"odd{k}.{kind.lower()}"
            (folder / part / "cat" / name).write_bytes(image)
    data = load(folder, (32, 24, 3), batch_size=4, augment="imagenet")
    first, second = (
        np.concatenate([x for x, _ in data.epoch(k).as_numpy_iterator()])
        for k in range(2)
    )
    assert first.shape == (12, 32, 24, 3) and not np.array_equal(first, second)
    resized, center = (
        next(load(folder, (32, 24, 3), view=view).validation.as_numpy_iterator())[0]
        for view in ("resize", "center")
    )
    seen = next(data.validation.as_numpy_iterator())[0]
    np.testing.assert_array_equal(seen, center[:4])
    assert not np.array_equal(center, resized)


def test_unknown_views_are_told():
    with pytest.raises(hh.DataError, match="view 'six'"):
        load(view="six")
