"""Networks of two images, and what they learn by."""

from hh_keras.tasks.tracking.data.cropping import CONTEXT
from hh_keras.tasks.tracking.networks.trackers import (
    KINDS,
    SIGMA,
    compared,
    features,
    tracker,
    usual_strides,
)

__all__ = [
    "CONTEXT",
    "KINDS",
    "SIGMA",
    "compared",
    "features",
    "tracker",
    "usual_strides",
]
