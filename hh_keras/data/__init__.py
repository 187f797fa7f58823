"""Image classification data as `tf.data` pipelines."""

from hh_keras.data.augmentation import AUGMENTATIONS
from hh_keras.data.loading import ImageData, load, open_source
from hh_keras.data.pipeline import as_data_error
from hh_keras.data.views import VIEWS

__all__ = [
    "AUGMENTATIONS",
    "VIEWS",
    "ImageData",
    "as_data_error",
    "load",
    "open_source",
]
