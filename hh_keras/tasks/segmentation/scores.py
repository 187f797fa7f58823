"""How well masks agree, by class, from counts of pixels."""

from collections.abc import Mapping

import numpy as np

from hh_keras.tasks.segmentation.classes import IGNORED


def counted(mask: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """Counts pixels by their true class and by the one that was found.

    Args:
        mask: integers, classes or `IGNORED`.
        found: integers of the same shape, classes.
        classes: how many there are.

    Returns:
        int64 `(classes, classes)`; rows are the true classes.
    """
    counts = mask != IGNORED
    pairs = mask[counts].astype(np.int64) * classes + found[counts]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def intersection_over_union(counts: np.ndarray) -> np.ndarray:
    """float64 `(classes,)`; NaN for a class that is nowhere and that nobody found."""
    both = np.diag(counts).astype(float)
    either = counts.sum(0) + counts.sum(1) - both
    return np.divide(both, either, out=np.full(len(both), np.nan), where=either > 0)


def summary(counts: np.ndarray) -> Mapping[str, float]:
    """miou, the mean over the classes that are there, and pixel_accuracy."""
    total = counts.sum()
    if not total:
        return {"miou": float("nan"), "pixel_accuracy": float("nan")}
    return {
        "miou": float(np.nanmean(intersection_over_union(counts))),
        "pixel_accuracy": float(np.trace(counts) / total),
    }
