"""The signature that takes image files and gives restored ones."""

import keras
import tensorflow as tf

from hh_keras.errors import ModelError
from hh_keras.export.signatures import Signature
from hh_keras.tasks.png_signature import png_signature
from hh_keras.tasks.tiling import size_multiple

NAME = "restore_bytes"


def restore_bytes(model: keras.Model, image_shape: tuple | None = None) -> Signature:
    """The model for clients that have JPEG or PNG files and want restored ones.

    See `hh_keras.tasks.png_signature`.

    Args:
        model: a Keras model from images of any size to images.
        image_shape: not used; images keep their sizes.

    Raises:
        ModelError: the model takes images of one size only, or does not make images.
    """
    takes, gives = model.inputs[0].shape[1:], model.outputs[0].shape[1:]
    if len(takes) != 3 or len(gives) != 3 or takes[-1] not in (1, 3):
        raise ModelError(
            f"{model.name!r} takes {takes} and returns {gives}; only networks from "
            "grey or RGB images to images can restore files."
        )
    return png_signature(NAME, model, size_multiple(model), _pixels)


def _pixels(found):
    return tf.cast(tf.clip_by_value(tf.round(found), 0.0, 255.0), tf.uint8)
