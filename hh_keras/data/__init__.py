"""Images as `tf.data` pipelines."""

from hh_keras.data.augmentation import AUGMENTATIONS
from hh_keras.data.loading import (
    ImageData,
    example_shape,
    first_images,
    load,
    open_source,
)
from hh_keras.data.pipeline import as_data_error
from hh_keras.data.unlabelled import Unlabelled, unlabelled
from hh_keras.data.views import VIEWS

__all__ = [
    "AUGMENTATIONS",
    "VIEWS",
    "ImageData",
    "Unlabelled",
    "as_data_error",
    "example_shape",
    "first_images",
    "load",
    "open_source",
    "unlabelled",
]
