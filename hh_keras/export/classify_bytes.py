"""The signature that takes image files and gives class names."""

import io
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from hh_keras.export.encoded import check_decodable, decode_batch, of_any_number
from hh_keras.export.signatures import Signature, labels_for, wanted_shape
from hh_keras.graph.heads import from_logits

NAME = "classify_bytes"
MOST_CLASSES = 10


def classify_bytes(
    model: keras.Model,
    image_shape: tuple | None = None,
    labels: Sequence[str] | None = None,
    view: str = "resize",
) -> Signature:
    """The model for clients that have JPEG or PNG files and want class names.

    Its input `image_bytes` is a batch of encoded images, strings of shape `(n,)`. Its
    outputs are, for every image, with the likeliest class first:

    - `classes`: class names, strings `(n, k)`, k the number of classes, at most 10;
    - `probabilities`: theirs, float32 `(n, k)`;
    - `error`: string `(n,)`, empty for a good image. Of one that cannot be read it says
      why; its classes are then empty and its probabilities zero. The other images of
      the batch are answered. A server that joins the requests of several clients into
      one batch thus never fails one for another's bad image.

    Images come to the model's shape as in training, see
    `hh_keras.export.encoded.decode_batch`.

    Args:
        model: a built Keras classifier of one image.
        image_shape: `(height, width, channels)`, where the model takes any size.
        labels: class names in the order of the outputs; None numbers them from "0".
        view: as `hh_keras.data.load` had it in validation, "resize" or "center".

    Returns:
        A `Signature`.

    Raises:
        ModelError: labels and outputs differ in number, the images' shape is unknown,
            or `view` needs several cuts of one image.
    """
    shape = wanted_shape(model, image_shape)
    check_decodable(shape, view)
    units = model.outputs[0].shape[-1]
    names = labels_for(labels, units, model.name)
    logits = from_logits(model)
    most = min(units, MOST_CLASSES)

    @of_any_number
    def call(encoded):
        images, errors = decode_batch(encoded, shape, view)
        outputs = model(tf.cast(images, model.inputs[0].dtype), training=False)
        outputs = tf.cast(tf.nest.flatten(outputs)[0], tf.float32)
        shares = tf.nn.softmax(outputs) if logits else outputs
        shares, places = tf.math.top_k(shares, most)
        good = (errors == "")[:, None]
        return {
            "classes": tf.where(good, tf.gather(names, places), ""),
            "probabilities": tf.where(good, shares, 0.0),
            "error": errors,
        }

    inputs = (tf.TensorSpec((None,), tf.string, name="image_bytes"),)
    return Signature(NAME, inputs, call, ({"image_bytes": _examples(shape)},))


def _examples(shape):
    """A JPEG and a PNG file, so that warming up goes through both decoders."""
    height, width, channels = shape
    ramp = np.linspace(0, 255, height * width).reshape(height, width, 1)
    pixels = np.repeat(ramp.astype(np.uint8), channels, axis=2)
    files = []
    for kind in ("JPEG", "PNG"):
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels).save(
            file, kind
        )
        files.append(file.getvalue())
    return np.array(files, object)
