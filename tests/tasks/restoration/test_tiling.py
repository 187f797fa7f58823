"""Tiles give what the whole image gives, for all kinds of images."""

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras.graph.reach import Reach, reach
from hh_keras.models import denoising, superresolution
from hh_keras.tasks.restoration.tiling import restore
from tests.zoo import randomize

L = keras.layers


def dilated():
    i = keras.Input((None, None, 3))
    x = L.Conv2D(4, 5, dilation_rate=2, padding="same", activation="relu")(i)
    x = L.DepthwiseConv2D(4, padding="same")(L.Conv2D(1, (3, 1), padding="same")(x))
    return keras.Model(
        i, L.Concatenate()([x, L.SeparableConv2D(2, 3, padding="same")(i)])
    )


def down_and_up():
    i = keras.Input((None, None, 3))
    x = L.Conv2D(4, 4, strides=2, padding="same", activation="relu")(i)
    x = L.AveragePooling2D(3, 2, padding="same")(x)
    x = L.Conv2DTranspose(4, 4, 2, padding="same", activation="relu")(x)
    x = L.Conv2DTranspose(4, 3, 2, padding="same")(L.Conv2D(4, 3, padding="same")(x))
    return keras.Model(i, L.Conv2D(3, 3, padding="same")(x))


def shuffled_down():
    i = keras.Input((None, None, 3))
    x = L.Conv2D(16, 3, padding="same")(keras.ops.space_to_depth(i, 2))
    return keras.Model(i, keras.ops.depth_to_space(x, 4))


def pooled_and_enlarged():
    i = keras.Input((None, None, 3))
    x = L.Conv2DTranspose(3, 3, 2, padding="same")(L.AveragePooling2D(2)(i))
    return keras.Model(i, x)


def upsampled():
    i = keras.Input((None, None, 3))
    x = L.UpSampling2D(2)(L.Conv2D(4, 3, padding="same")(i))
    return keras.Model(i, L.Conv2D(3, 3, padding="same")(L.UpSampling2D(2)(x)))


NETWORKS = {
    "dncnn": lambda: denoising.dncnn_s((None, None, 3), depth=4, width=4),
    "unet": lambda: denoising.unet((None, None, 3), width=4, levels=2),
    "dilated": dilated,
    "down_and_up": down_and_up,
    "pooled_and_enlarged": pooled_and_enlarged,
    "upsampled": upsampled,
}
if hasattr(keras.ops, "depth_to_space"):
    NETWORKS |= {
        "edsr": lambda: superresolution.edsr(blocks=1, width=4, scale=3),
        "srresnet": lambda: superresolution.srresnet(blocks=1, width=4, scale=4),
        "shuffled_down": shuffled_down,
    }


@pytest.fixture(params=sorted(NETWORKS))
def network(request):
    keras.utils.set_random_seed(0)
    return randomize(NETWORKS[request.param]())


def photograph(height=71, width=90, channels=3, dtype="float32"):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (height, width, channels)).astype(dtype)


def whole(model, image):
    """The model on the whole image, whose border goes on up to a multiple."""
    seen, sides = reach(model), image.shape[:2]
    pads = [(0, -n % seen.multiple) for n in sides]
    padded = np.pad(image, [*pads, (0, 0)], "edge")[None]
    out = keras.tree.flatten(model(padded, training=False))[0]
    return np.asarray(out)[0][: sides[0] * seen.scale, : sides[1] * seen.scale]


def test_tiles_give_what_the_whole_image_gives(network):
    image = photograph()
    expected, seen = whole(network, image), reach(network)
    margin = -(-seen.overlap // seen.multiple) * seen.multiple
    for tile in (2 * margin + max(13, seen.multiple), None):
        found = restore(network, image, tile)
        assert found.shape == expected.shape and found.dtype == np.float32
        assert np.abs(found - expected).max() <= 1e-5 * np.ptp(expected)


def test_the_reach_is_no_larger_than_need_be(network):
    """One pixel is changed: what changes lies within the reach, and nearly fills it."""
    seen = reach(network)
    side = 8 * -(-seen.overlap // 8) * 2 + 16
    image = photograph(side, side)
    places = np.zeros((side * seen.scale,) * 2, bool)
    at = side // 2
    for y in range(at, at + seen.multiple):
        for x in range(at, at + seen.multiple):
            other = image.copy()
            other[y, x] += 50
            difference = whole(network, other) != whole(network, image)
            rows, columns = np.nonzero(difference.any(-1))
            for found, here in ((rows, y), (columns, x)):
                assert found.min() >= (here - seen.overlap) * seen.scale
                assert found.max() < (here + 1 + seen.overlap) * seen.scale
            places |= difference.any(-1)
            if seen.multiple > 1 and (y, x) != (at, at):
                break
    width = np.ptp(np.nonzero(places)[0]) + 1
    assert width >= (seen.overlap - seen.multiple * 2 - 1) * seen.scale


def test_published_networks():
    assert reach(denoising.dncnn_s()) == Reach(17, 1, 1)
    assert reach(denoising.unet()).multiple == 16


def test_networks_that_take_no_tiles():
    i = keras.Input((None, None, 3))
    x = L.Conv2D(3, 3, padding="same")(i)
    pooled = L.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    gated = keras.Model(i, L.Multiply()([x, pooled]))
    with pytest.raises(hh.ModelError, match="'squeeze'.*overlap"):
        restore(gated, photograph())
    assert restore(gated, photograph(), 40, 8).shape == (71, 90, 3)
    with pytest.raises(hh.ModelError, match="padding 'valid'"):
        reach(keras.Model(i, L.Conv2D(3, 3)(i)))
    with pytest.raises(hh.ModelError, match="2 times smaller"):
        reach(keras.Model(i, L.Conv2D(3, 2, 2)(i)))
    with pytest.raises(hh.ModelError, match="2 outputs"):
        reach(keras.Model(i, [x, x + 1]))


def test_tiles_that_are_too_small():
    model = denoising.dncnn_s(depth=10, width=2)
    with pytest.raises(hh.HHError, match="too small for an overlap of 10.*21 at least"):
        restore(model, photograph(channels=1), 20)


class Recorded:
    """The identity, or enlarging by repetition, on tiles of one size."""

    def __init__(self, scale=1):
        self.scale, self.shapes = scale, []

    def __call__(self, x):
        self.shapes.append(x.shape)
        return x.repeat(self.scale, 1).repeat(self.scale, 2)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_kinds_of_images(dtype, kind, channels):
    image = photograph(40, 30, kind or 1)
    if dtype == "uint16":
        image = image * 257
    image = image.astype(dtype)
    image = image if kind else image[..., 0]
    for scale in (1, 2):
        network, shares = Recorded(scale), []
        found = restore(network, image, 16, 2, shares.append, channels)
        assert found.dtype == image.dtype
        expected = image.repeat(scale, 0).repeat(scale, 1)
        assert found.shape == expected.shape
        opaque = 1 if kind < 3 else 3
        a, b = (x if kind else x[..., None] for x in (found, expected))
        np.testing.assert_allclose(a[..., :opaque], b[..., :opaque], rtol=1e-6)
        if scale == 1 and kind in (2, 4):
            np.testing.assert_array_equal(found[..., opaque:], image[..., opaque:])
        assert set(network.shapes) == {(1, 16, 16, channels)}
        assert shares == sorted(shares) and shares[-1] == 1


def test_images_smaller_than_a_fixed_tile():
    network = Recorded(2)
    image = photograph(5, 40, 3, "uint8")
    found = restore(network, image, 16, 2, channels=3)
    np.testing.assert_array_equal(found, image.repeat(2, 0).repeat(2, 1))
    assert set(network.shapes) == {(1, 16, 16, 3)}
    model = denoising.dncnn_s((32, 32, 3), depth=3, width=4)
    assert restore(model, image).shape == (5, 40, 3)


def test_what_is_no_image():
    model = denoising.dncnn_small()
    for wrong in (np.zeros((3, 4, 5), "uint8"), np.zeros((3, 4), int), np.zeros(4), 3):
        with pytest.raises(hh.DataError, match="an image must"):
            restore(model, wrong)
    with pytest.raises(hh.HHError, match="a function needs"):
        restore(lambda x: x, photograph())
