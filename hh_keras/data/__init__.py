"""Images as `tf.data` pipelines: with labels, or degraded and clean."""

from hh_keras.data.augmentation import AUGMENTATIONS
from hh_keras.data.loading import ImageData, load, open_source
from hh_keras.data.pipeline import as_data_error
from hh_keras.data.views import VIEWS
from hh_keras.tasks.restoration.degradation import Degradation
from hh_keras.tasks.restoration.pairs import load_pairs

__all__ = [
    "AUGMENTATIONS",
    "VIEWS",
    "Degradation",
    "ImageData",
    "as_data_error",
    "load",
    "load_pairs",
    "open_source",
]
