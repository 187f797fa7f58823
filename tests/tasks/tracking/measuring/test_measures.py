"""One-pass evaluation: by hand, and against the toolkit of GOT-10k."""

import numpy as np
import pytest

import hh_keras as hh
from hh_keras.tasks.tracking.measuring import measures
from hh_keras.tasks.tracking.measuring.measures import mean, measure

NOWHERE = [np.nan] * 4


def followed(seed, frames=60):
    """A target that wanders, and a tracker that errs more and more."""
    rng = np.random.default_rng(seed)
    truth = np.cumsum(rng.normal(0, 2, (frames, 4)), 0) + (100, 80, 0, 0)
    truth[:, 2:] = 40 + np.abs(truth[:, 2:])
    error = rng.normal(0, 1, (frames, 4)) * np.linspace(0, 15, frames)[:, None]
    found = truth + error
    found[:, 2:] = np.abs(found[:, 2:])
    return found, truth


def test_a_sequence_by_hand():
    truth = np.array([[0, 0, 10, 20], [0, 0, 10, 20], [0, 0, 10, 20], NOWHERE])
    found = np.array([[0, 0, 10, 20], [0, 5, 10, 20], [30, 0, 10, 20], [1, 1, 1, 1]])
    one = measure(found, truth)
    # Overlaps are 1, 150 / 250 = 0.6 and 0; the last frame does not count.
    assert one.success[0] == one.success[11] == pytest.approx(2 / 3)
    assert one.success[13] == pytest.approx(1 / 3) and one.success[20] == 0
    # Thresholds below 1, and those below 0.6: 0, 0.05 … 0.95 and 0, 0.05 … 0.55.
    assert one.auc == pytest.approx((20 + 12) / 3 / 21)
    # Middles are 0, 5 and 30 pixels off.
    assert one.precision[4] == pytest.approx(1 / 3)
    assert one.precision[5] == one.precision20 == pytest.approx(2 / 3)
    assert one.precision[30] == 1
    # That is 0, 5 / 20 of the height and 30 / 10 of the width.
    assert one.normalized[9] == pytest.approx(1 / 3)
    assert one.normalized[10] == one.normalized[20] == pytest.approx(2 / 3)
    assert one.normalized_auc == pytest.approx((9.5 / 20 + 2 * 10.5 / 20) / 3)
    # The first frame's box was given.
    assert one.ao == pytest.approx(0.3) and (one.sr50, one.sr75) == (0.5, 0)


def test_a_perfect_and_a_lost_tracker():
    _, truth = followed(0)
    best, lost = measure(truth, truth), measure(truth * np.nan, truth)
    assert best.auc == pytest.approx(20 / 21)  # no overlap is above 1
    rest = [value for name, value in best.numbers().items() if name != "auc"]
    assert rest == pytest.approx([1] * 5)
    assert set(lost.numbers().values()) == {0.0}


def test_frames_without_a_box_do_not_count():
    found, truth = followed(1)
    some = truth.copy()
    some[20:30] = np.nan
    kept = np.r_[0:20, 30:60]
    one, other = measure(found, some), measure(found[kept], truth[kept])
    assert one.numbers() == pytest.approx(other.numbers())


def test_the_mean_counts_sequences_the_same_and_leaves_out_empty_ones():
    _, truth = followed(2, 10)
    empty = measure(truth, truth * np.nan)
    assert np.isnan(list(empty.numbers().values())).all()
    long = np.repeat(truth, 5, 0)
    both = mean([measure(truth, truth), measure(long * np.nan, long), empty])
    assert (both.auc, both.ao) == pytest.approx((10 / 21, 0.5))
    assert np.isnan(mean([]).ao) and mean([empty]).success.shape == (21,)


def test_one_box_for_each_frame():
    _, truth = followed(3)
    with pytest.raises(hh.DataError, match="59 boxes were found in 60 frames"):
        measure(truth[1:], truth)


@pytest.mark.parametrize("seed", range(3))
def test_as_the_toolkit_of_got10k_measures(seed):
    pytest.importorskip("got10k")
    from got10k.experiments import ExperimentGOT10k, ExperimentOTB
    from got10k.utils.metrics import center_error, rect_iou

    found, truth = followed(seed)
    one = measure(found, truth)

    otb = object.__new__(ExperimentOTB)  # without a data set
    otb.nbins_iou, otb.nbins_ce = 21, 51
    overlaps, errors = rect_iou(found, truth), center_error(found, truth)
    success, precision = otb._calc_curves(overlaps, errors)
    np.testing.assert_allclose(one.success, success)
    np.testing.assert_allclose(one.precision, precision)

    got = object.__new__(ExperimentGOT10k)
    ao, sr50, _, curve = got._evaluate(rect_iou(found[1:], truth[1:]), [])
    assert (one.ao, one.sr50, one.sr75) == pytest.approx((ao, sr50, curve[75]))


def test_thresholds():
    assert measures.OVERLAPS[[0, 1, 20]] == pytest.approx([0, 0.05, 1])
    assert measures.PIXELS[20] == 20 and measures.SHARES[20] == 0.5
