"""The closed form is the ridge regression it says it is."""

import keras
import numpy as np
import pytest

from hh_keras.tasks.tracking.networks import spectrum
from hh_keras.tasks.tracking.networks.filters import Fit, Match, Spectrum


@pytest.mark.parametrize("side", [5, 8, 12])
def test_products_are_a_fourier_transform(side):
    x = np.random.default_rng(side).normal(size=(side, side))
    across, down = spectrum.forward(side)
    found = np.einsum("hw,kpw->hkp", x, across)
    found = np.einsum("hkp,gqhp->gkq", found, down)
    expected = np.fft.rfft2(x)
    np.testing.assert_allclose(found[..., 0] + 1j * found[..., 1], expected, atol=1e-4)
    down, across = spectrum.backward(side, side)
    back = np.einsum("gkq,ypgq->ykp", found, down)
    back = np.einsum("ykp,xkp->yx", back, across)
    np.testing.assert_allclose(back, x, atol=1e-5)


@pytest.mark.parametrize("size", [6, 24])
def test_maps_of_several_sizes_lie_on_each_other(size):
    side, wave = 12, lambda places: np.cos(2 * np.pi * (places + 0.5) / 12)
    x = np.outer(wave(np.arange(12)), wave(np.arange(12)))
    across, down = spectrum.forward(side)
    found = np.einsum("hkp,gqhp->gkq", np.einsum("hw,kpw->hkp", x, across), down)
    down, across = spectrum.backward(side, size)
    back = np.einsum("ykp,xkp->yx", np.einsum("gkq,ypgq->ykp", found, down), across)
    places = (np.arange(size) + 0.5) * side / size - 0.5
    np.testing.assert_allclose(back, np.outer(wave(places), wave(places)), atol=1e-5)


def _answer(z, x, ridge):
    spectrum_ = Spectrum()
    found = Fit(1.0, ridge)(spectrum_(z))
    return keras.ops.convert_to_numpy(Match(z.shape[1])([spectrum_(x), found]))


def test_the_exemplar_answers_with_the_gaussian():
    z = np.random.default_rng(0).normal(size=(1, 12, 12, 4)).astype("float32")
    found = _answer(z, z, 1e-6)[0, ..., 0]
    np.testing.assert_allclose(found, spectrum.bump(12, 1.0), atol=1e-3)


def test_it_minimises_the_squares():
    """Against the normal equations of all shifts, written out."""
    rng, side, channels = np.random.default_rng(1), 6, 2
    z = rng.normal(size=(1, side, side, channels)).astype("float32")
    x = rng.normal(size=(1, side, side, channels)).astype("float32")

    def prepared(image):
        image = (image - image.mean((1, 2), keepdims=True)) * spectrum.hann(side)[
            ..., None
        ]
        return (image / np.sqrt((image**2).sum(-1).mean()))[0].astype("float64")

    own, other = prepared(z), prepared(x)
    rows = [
        np.roll(own, (-a, -b), (0, 1)).ravel() for a in range(side) for b in range(side)
    ]
    shifts, wanted = np.array(rows), spectrum.bump(side, 1.0).ravel()
    ridge = 0.1
    # The mean energy of a frequency is side².
    normal = shifts.T @ shifts + ridge * side**2 * np.eye(shifts.shape[1])
    weights = np.linalg.solve(normal, shifts.T @ wanted)
    answers = [
        np.roll(other, (-a, -b), (0, 1)).ravel() @ weights
        for a in range(side)
        for b in range(side)
    ]
    found = _answer(z, x, ridge)[0, ..., 0]
    np.testing.assert_allclose(found, np.reshape(answers, (side, side)), atol=1e-4)


def test_a_shifted_target_is_found_where_it_went():
    rng = np.random.default_rng(3)
    big = rng.normal(size=(1, 32, 32, 3)).astype("float32")
    z, x = big[:, 8:24, 8:24], big[:, 5:21, 12:28]  # 3 down, 4 to the left
    found = _answer(z, x, 1e-3)[0, ..., 0]
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert abs(row - 7.5 - 3) <= 1 and abs(column - 7.5 + 4) <= 1


def test_maps_must_be_square():
    with pytest.raises(ValueError, match="square maps"):
        Spectrum(name="level")(np.zeros((1, 8, 6, 2), "float32"))
