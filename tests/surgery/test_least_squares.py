"""What of some channels others tell, and how far the data can be trusted with it."""

import numpy as np
import pytest

from hh_keras.surgery.least_squares import RIDGES, best_ridge, inverse, refit, remove


def test_one_removal_is_the_least_squares_solution():
    rng = np.random.default_rng(0)
    x, weights = (
        rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)),
        rng.normal(size=(6, 3)),
    )
    moment, gone = x.T @ x / 500, np.array([1, 4])
    _, found = remove(inverse(moment, 1e-12, ones=False), weights, gone)
    kept = [0, 2, 3, 5]
    wanted = np.linalg.lstsq(x[:, kept], x @ weights, rcond=None)[0]
    np.testing.assert_allclose(found[kept], wanted, rtol=1e-6)
    assert (found[gone] == 0).all()


def test_few_examples_want_a_stronger_ridge():
    def ridge(count):
        rng = np.random.default_rng(0)
        mix = rng.normal(size=(40, 40))
        x = [
            rng.normal(size=(count, 40)) @ mix + 3 * rng.normal(size=(count, 40))
            for _ in "ab"
        ]
        halves = np.stack([np.hstack([a, np.ones((count, 1))]) for a in x])
        halves = np.einsum("hni,hnj->hij", halves, halves) / count
        removed = np.arange(41) < 10
        return best_ridge(halves, removed, np.eye(10))[0]

    assert ridge(30) > ridge(20000)


def pair(common):
    """Moments of two channels of variance 1, without ones."""
    return np.array([[1, common], [common, 1]])


@pytest.mark.parametrize(
    "halves, wanted",
    [
        # What is lost is 2 - 2 s (ab + ba) + s² (aa + bb), s = 1 / (1 + ridge).
        ((0.8, 0.8), RIDGES[0]),  # least at s = 1
        ((0.8, 0.4), 0.3),  # at 0.8, of which 1 / 1.3 is the nearest
        ((0.8, 0.2), 1.0),  # at 0.32 / 0.68
        ((0.8, -0.4), np.inf),  # below 0
    ],
)
def test_the_best_ridge_is_that_of_the_least_error_on_the_other_half(halves, wanted):
    moments = np.stack([pair(common) for common in halves])
    removed = np.array([False, True])
    found, _ = best_ridge(moments, removed, np.ones((1, 1)), ones=False)
    assert found == wanted


def test_optimism_is_what_is_lost_by_what_the_formula_says():
    """Each half promises to lose 0.44 or 0.96; slopes of 0.8 and 0.2 do not agree."""
    moments = np.array([[[4, 3.2], [3.2, 3]], [[1, 0.2], [0.2, 1]]])
    removed = np.array([False, True])
    ridge, optimism = best_ridge(moments, removed, np.ones((1, 1)), ones=False)
    assert ridge == RIDGES[0]
    lost = 0.44 + 0.96 + (4 + 1) * (0.8 - 0.2) ** 2
    assert optimism == pytest.approx(lost / (0.44 + 0.96), rel=1e-5)


def fitted(slopes, powers=(1, 1), counts=(1, 1)):
    """The slope found, from 0, for halves with `x = slope z`, `E[z²] = power`."""
    across = np.stack([np.diag([a * n, 1.0]) for a, n in zip(slopes, powers)])
    own, start = np.stack([np.diag([n, 1.0]) for n in powers]), np.zeros((1, 1))
    found = refit(np.ones((1, 1)), start, across, own, np.array(counts))
    assert found.shape == (2, 1) and found[1] == 0
    return found[0, 0]


def test_refitted_weights_are_those_of_all_data_if_the_halves_agree():
    assert fitted((2, 2)) == pytest.approx(2, rel=1e-6)
    # s = 1 / (1 + ridge) is best at 2 · 1 (1 + 1) / (2² + 1²), 1 / 1.3 is the nearest.
    assert fitted((2, 1), counts=(1, 3)) == pytest.approx(1.25 / 1.3)
    # At 2 · 1 (1 + 4) / (2² 4 + 1² 1), 1 / 2 is the nearest.
    assert fitted((2, 1), powers=(1, 4)) == pytest.approx((2 + 4) / (1 + 4) / 2)


@pytest.mark.parametrize("slopes", [(2, -1), (-1, 2), (1, 0)])
def test_what_one_half_of_the_data_does_not_tell_of_the_other_is_left(slopes):
    """On the whole there is a slope, but that of one half does not serve the other."""
    assert fitted(slopes) == 0
