"""How well a target was followed: one-pass evaluation.

The tracker is started once, on the box of the first frame, and runs to the end. What
the field does, and so this:

- OTB (Wu, Lim, Yang, PAMI 2015): the share of frames whose overlap is *above* each of
  21 thresholds, and the share whose middle is *no more* than 0 to 50 pixels off. The
  first frame counts, whose box was given.
- TrackingNet (Muller et al., arXiv:1803.10794): the middle's error divided by the
  target's width and height, *no more* than each of 21 thresholds up to 0.5; the area
  under that curve, by trapezoids, over 0.5. Boxes are not rounded as its server does.
- GOT-10k (Huang et al., arXiv:1810.11981): mean overlap, and the share of overlaps
  *above* 0.5 and 0.75, without the first frame. Boxes are not clipped to the image, and
  each sequence counts the same, however long.

Frames without a known box do not count. A frame in which the tracker has no box (NaN)
counts as one it failed in.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from hh_keras.errors import DataError
from hh_keras.tasks.tracking.data.boxes import centres, iou

OVERLAPS = np.linspace(0, 1, 21)
"""Thresholds of the success curve."""

PIXELS = np.arange(51)
"""Thresholds of the precision curve."""

SHARES = np.linspace(0, 0.5, 21)
"""Thresholds of the normalised precision curve, in widths and heights of the target."""


@dataclasses.dataclass(frozen=True, eq=False)
class Measures:
    """How well targets were followed: in one sequence, or the mean over several.

    Attributes:
        success: float `(21,)`, share of frames by `OVERLAPS`.
        precision: float `(51,)`, by `PIXELS`.
        normalized: float `(21,)`, by `SHARES`.
        ao: mean overlap.
        sr50: share of frames with an overlap above 0.5; OTB's is `success[10]`.
        sr75: the same above 0.75.
    """

    success: np.ndarray
    precision: np.ndarray
    normalized: np.ndarray
    ao: float
    sr50: float
    sr75: float

    @property
    def auc(self) -> float:
        """The area under the success curve: the mean over its thresholds."""
        return float(self.success.mean())

    @property
    def precision20(self) -> float:
        """The share of frames whose middle is no more than 20 pixels off."""
        return float(self.precision[20])

    @property
    def normalized_auc(self) -> float:
        """The area under the curve of normalised precision, 0 to 1."""
        inner = self.normalized[1:] + self.normalized[:-1]
        return float(inner.mean() / 2)

    def numbers(self) -> dict[str, float]:
        """The single numbers, by name; floats from 0 to 1."""
        names = "auc", "precision20", "normalized_auc", "ao", "sr50", "sr75"
        return {name: float(getattr(self, name)) for name in names}


def measure(predicted: np.ndarray, truth: np.ndarray) -> Measures:
    """Compares the boxes of one sequence.

    Args:
        predicted: float `(frames, 4)`, from the frame on in which the tracker was
            started.
        truth: the same, where the target is.

    Returns:
        The sequence's `Measures`; NaN where no frame counts.

    Raises:
        DataError: there are more boxes of the one than of the other.
    """
    predicted, truth = np.asarray(predicted, float), np.asarray(truth, float)
    if predicted.shape != truth.shape:
        raise DataError(
            f"{len(predicted)} boxes were found in {len(truth)} frames: give one for "
            "each frame, NaN where there is none."
        )
    overlap = np.nan_to_num(iou(predicted, truth))
    error = centres(predicted) - centres(truth)
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.linalg.norm(error, axis=-1)
        far_for_its_size = np.linalg.norm(error / truth[:, 2:], axis=-1)
    known = np.isfinite(truth).all(-1)
    later = overlap[1:][known[1:]]
    return Measures(
        _mean(overlap[known][:, None] > OVERLAPS),
        _mean(far[known][:, None] <= PIXELS),
        _mean(far_for_its_size[known][:, None] <= SHARES),
        float(_mean(later)),
        float(_mean(later > 0.5)),
        float(_mean(later > 0.75)),
    )


def mean(sequences: Sequence[Measures]) -> Measures:
    """The mean over sequences, each counted the same; NaN ones are left out."""
    nothing = measure(np.zeros((0, 4)), np.zeros((0, 4)))
    means = {}
    for name in (field.name for field in dataclasses.fields(Measures)):
        values = [getattr(one, name) for one in sequences]
        known = [value for value in values if np.isfinite(value).all()]
        means[name] = np.mean(known or [getattr(nothing, name)], 0)
    return Measures(**means)


def _mean(values):
    return values.mean(0) if len(values) else np.full(values.shape[1:], np.nan)
