"""A gain and an offset for each channel bring a layer back to what it was."""

import numpy as np
import pytest
from keras import layers as L

from hh_keras.surgery import gains

LAYERS = {
    "depthwise": (L.DepthwiseConv2D(3, name="layer"), "bias"),
    "layer norm": (L.LayerNormalization(name="layer"), "beta"),
    "group norm": (L.GroupNormalization(1, name="layer"), "beta"),
}


@pytest.fixture(params=LAYERS, ids=lambda name: name.replace(" ", "_"))
def made(request):
    """A layer, its input, what it puts out, and where its constant is."""
    layer, constant = LAYERS[request.param]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 5, 5, 3)).astype("float32")
    layer(x)
    for weight in layer.weights:
        weight.assign(rng.normal(1, 0.3, weight.shape))
    return layer, x, np.asarray(layer(x)), ("layer", constant, 1)


def halves(y, z):
    return np.stack([gains.sums(y[k::2], z[k::2]) for k in (0, 1)])


def test_a_layer_that_is_off_by_gain_and_offset_is_mended(made):
    layer, x, z, home = made
    assert gains.takes(layer)
    wanted = z * np.float32([1.5, 0.7, 1]) + np.float32([0.3, -1, 0])
    gains.mend("layer", halves(wanted, z), {"layer": layer}, home)
    np.testing.assert_allclose(layer(x), wanted, atol=1e-5)


def test_where_one_half_does_not_serve_the_other_nothing_is_done(made):
    layer, _, z, home = made
    both = np.stack([gains.sums(times * z, z) for times in (0.5, 2)])
    before = [np.array(weight) for weight in layer.weights]
    gains.mend("layer", both, {"layer": layer}, home)
    for old, weight in zip(before, layer.weights):
        np.testing.assert_array_equal(weight, old)


@pytest.mark.parametrize("times", [0.2, 5])
def test_gains_stay_within_a_factor_of_two(times):
    z = np.random.default_rng(0).normal(size=(8, 4, 4, 2)).astype("float32")
    found, _ = gains.gains(halves(times * z, z))
    np.testing.assert_allclose(found, np.clip(times, 0.5, 2))
