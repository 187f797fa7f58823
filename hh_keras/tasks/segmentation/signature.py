"""The signature that takes image files and gives masks."""

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow as tf

from hh_keras.errors import ModelError
from hh_keras.export.signatures import Signature, labels_for
from hh_keras.tasks.png_signature import png_signature
from hh_keras.tasks.segmentation.whole import size_multiple

NAME = "segment_bytes"


def segment_bytes(
    model: keras.Model,
    image_shape: tuple | None = None,
    labels: Sequence[str] | None = None,
) -> Signature:
    """The model for clients that have JPEG or PNG files and want masks.

    See `hh_keras.tasks.png_signature`; the PNG file is grey, as large as the image, and
    its values are classes, in the order of the network's outputs. A further output says
    what they mean, the same for every image:

    - `classes`: class names, strings `(n, classes)`; value k is the k-th.

    Args:
        model: a Keras model from images of any size to classes of their pixels.
        image_shape: not used; images keep their sizes.
        labels: class names in the order of the outputs; None numbers them from "0".

    Raises:
        ModelError: the model takes images of one size only, or gives no classes; labels
            and classes differ in number.
    """
    gives = model.outputs[0].shape[1:]
    if len(gives) != 3 or not 2 <= (gives[-1] or 0) <= 255:
        raise ModelError(
            f"{model.name!r} returns {tuple(gives)}; masks are made of (height, width, "
            "classes), 2 to 255."
        )
    names = labels_for(labels, gives[-1], model.name)
    masks = png_signature(NAME, model, size_multiple(model), _classes)

    def call(encoded):
        told = tf.repeat(names[None], tf.size(encoded), 0)
        return {**masks.call(encoded), "classes": told}

    return dataclasses.replace(masks, call=call)


def _classes(found):
    return tf.cast(tf.argmax(found, -1), tf.uint8)[..., None]
