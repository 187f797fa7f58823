"""Networks of two images, and what they learn by."""

from hh_keras.tasks.tracking.networks.trackers import (
    CONTEXT,
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
