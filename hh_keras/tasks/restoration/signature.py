"""The signature that takes image files and gives restored ones."""

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import ModelError
from hh_keras.export.encoded import refusals
from hh_keras.export.signatures import Signature
from hh_keras.tasks.restoration.tiling import size_multiple

NAME = "restore_bytes"
_EXAMPLE = 64  # pixels of the warm-up request's sides


def restore_bytes(model: keras.Model, image_shape: tuple | None = None) -> Signature:
    """The model for clients that have JPEG or PNG files and want PNG files.

    Its input `image_bytes` is a batch of encoded images of any sizes, strings of shape
    `(n,)`, which become grey or RGB as the model takes them. Its outputs are, for every
    image:

    - `png`: the restored image, 8 bits, as a PNG file, string `(n,)`;
    - `error`: string `(n,)`, empty for a good image. Of one that cannot be read it says
      why; its `png` is then empty. The other images of the batch are answered.

    Images are restored whole: a server needs memory for the largest.

    Args:
        model: a Keras model from images of any size to images.
        image_shape: not used; images keep their sizes.

    Returns:
        A `Signature`.

    Raises:
        ModelError: the model takes images of one size only, or does not make images.
    """
    takes, gives = model.inputs[0].shape[1:], model.outputs[0].shape[1:]
    channels = takes[-1]
    if len(takes) != 3 or len(gives) != 3 or channels not in (1, 3):
        raise ModelError(
            f"{model.name!r} takes {takes} and returns {gives}; only networks from "
            "grey or RGB images to images can restore files."
        )
    if None not in takes[:2]:
        raise ModelError(
            f"{model.name!r} takes images of one size; build it for any, "
            f"(None, None, {channels}), to restore files."
        )
    multiple = size_multiple(model)
    blank = tf.io.encode_png(tf.zeros((1, 1, channels), tf.uint8))

    def call(encoded):
        errors = refusals(encoded)
        errors = tf.where(
            (errors == "") & ~_decodable(encoded, errors), _DAMAGED, errors
        )
        good = errors == ""
        usable = tf.where(good, encoded, blank)

        def one(content):
            return _restored(model, _decoded(content, channels), multiple)

        found = tf.map_fn(one, usable, fn_output_signature=tf.string)
        return {"png": tf.where(good, found, ""), "error": errors}

    inputs = (tf.TensorSpec((None,), tf.string, name="image_bytes"),)
    ramp = tf.cast(tf.range(_EXAMPLE) * 4, tf.uint8)[:, None, None]
    pixels = tf.broadcast_to(ramp, (_EXAMPLE, _EXAMPLE, channels))
    example = [tf.io.encode_jpeg(pixels).numpy(), tf.io.encode_png(pixels).numpy()]
    return Signature(NAME, inputs, call, ({"image_bytes": np.array(example, object)},))


_DAMAGED = "is a damaged JPEG or PNG file"


def _decoded(content, channels):
    image = tf.io.decode_image(content, channels, expand_animations=False)
    return tf.ensure_shape(image, (None, None, channels))


def _decodable(encoded, errors):
    """Which files can be decoded, bool `(n,)`, without failing at those that cannot."""
    count = tf.size(encoded)
    files = tf.data.Dataset.from_tensor_slices((tf.range(count), encoded))
    files = files.filter(lambda place, _: errors[place] == "")
    # The size is used, or the decoding would be left out as idle.
    found = files.map(lambda place, x: (place, tf.size(_decoded(x, 3)) > 0))
    last = tf.data.Dataset.from_tensors((count, True))
    batches = (
        found.ignore_errors().concatenate(last).batch(tf.cast(count, tf.int64) + 1)
    )
    places, there = batches.get_single_element()
    marks = tf.scatter_nd(places[:, None], tf.cast(there, tf.int32), [count + 1])
    return marks[:-1] > 0


def _restored(model, image, multiple):
    """The PNG file of one restored image; up to a multiple, its border goes on."""
    size, pixels = tf.shape(image)[:2], tf.cast(image, tf.float32)
    for axis in (0, 1):
        padded = -(-size[axis] // multiple) * multiple
        places = tf.minimum(tf.range(padded), size[axis] - 1)
        pixels = tf.gather(pixels, places, axis=axis)
    found = tf.nest.flatten(model(pixels[None], training=False))[0][0]
    scale = tf.shape(found)[0] // tf.shape(pixels)[0]
    found = tf.cast(found[: size[0] * scale, : size[1] * scale], tf.float32)
    found = tf.clip_by_value(tf.round(found), 0.0, 255.0)
    return tf.io.encode_png(tf.cast(found, tf.uint8))
