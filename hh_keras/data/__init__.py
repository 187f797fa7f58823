"""Image classification data as `tf.data` pipelines."""

from hh_keras.data.augmentation import AUGMENTATIONS
from hh_keras.data.loading import ImageData, load

__all__ = ["AUGMENTATIONS", "ImageData", "load"]
