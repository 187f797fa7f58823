"""Pairs of an exemplar and a search image, drawn from videos and pictures."""

from hh_keras.tasks.tracking.data.regions import GEOMETRY, Geometry
from hh_keras.tasks.tracking.pairs.colours import AUGMENTATIONS
from hh_keras.tasks.tracking.pairs.drawing import DRAWING, Drawing
from hh_keras.tasks.tracking.pairs.loading import IN_MEMORY_BYTES, load_pairs

__all__ = [
    "AUGMENTATIONS",
    "DRAWING",
    "Drawing",
    "GEOMETRY",
    "Geometry",
    "IN_MEMORY_BYTES",
    "load_pairs",
]
