"""Signatures that take image files of any size and give PNG files."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import ModelError
from hh_keras.export.encoded import refusals
from hh_keras.export.signatures import Signature

_EXAMPLE = 64  # pixels of the warm-up request's sides


def png_signature(
    name: str, model: keras.Model, multiple: int, finish: Callable
) -> Signature:
    """The model for clients that have JPEG or PNG files and want PNG files.

    Its input `image_bytes` is a batch of encoded images of any sizes, strings of shape
    `(n,)`, which become grey or RGB as the model takes them. Its outputs are, for every
    image:

    - `png`: what the model makes of it, 8 bits, as a PNG file, string `(n,)`;
    - `error`: string `(n,)`, empty for a good image. Of one that cannot be read it says
      why; its `png` is then empty. The other images of the batch are answered.

    Images go through the network whole: a server needs memory for the largest.

    Args:
        name: of the signature.
        model: a Keras model of images of any size.
        multiple: what the sides of its images must be multiples of; beyond an image
            its border goes on.
        finish: `f(float32 (h, w, outputs)) → uint8 (h, w, 1 or 3)`.

    Returns:
        A `Signature`.

    Raises:
        ModelError: the model takes images of one size only, or no grey or RGB images.
    """
    takes = tuple(model.inputs[0].shape[1:])
    channels = takes[-1]
    if len(takes) != 3 or channels not in (1, 3):
        raise ModelError(
            f"{model.name!r} takes {takes}; only networks of grey or RGB images can "
            "take files."
        )
    if None not in takes[:2]:
        raise ModelError(
            f"{model.name!r} takes images of one size; build it for any, "
            f"(None, None, {channels}), to take files."
        )
    blank = tf.io.encode_png(tf.zeros((1, 1, channels), tf.uint8))

    def call(encoded):
        errors = refusals(encoded)
        errors = tf.where(
            (errors == "") & ~_decodable(encoded, errors), _DAMAGED, errors
        )
        good = errors == ""
        usable = tf.where(good, encoded, blank)

        def one(content):
            return _made(model, _decoded(content, channels), multiple, finish)

        found = tf.map_fn(one, usable, fn_output_signature=tf.string)
        return {"png": tf.where(good, found, ""), "error": errors}

    inputs = (tf.TensorSpec((None,), tf.string, name="image_bytes"),)
    ramp = tf.cast(tf.range(_EXAMPLE) * 4, tf.uint8)[:, None, None]
    pixels = tf.broadcast_to(ramp, (_EXAMPLE, _EXAMPLE, channels))
    example = [tf.io.encode_jpeg(pixels).numpy(), tf.io.encode_png(pixels).numpy()]
    return Signature(name, inputs, call, ({"image_bytes": np.array(example, object)},))


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


def _made(model, image, multiple, finish):
    """The PNG file that is made of one image."""
    size, pixels = tf.shape(image)[:2], tf.cast(image, tf.float32)
    for axis in (0, 1):
        padded = -(-size[axis] // multiple) * multiple
        places = tf.minimum(tf.range(padded), size[axis] - 1)
        pixels = tf.gather(pixels, places, axis=axis)
    found = tf.nest.flatten(model(pixels[None], training=False))[0][0]
    scale = tf.shape(found)[0] // tf.shape(pixels)[0]
    found = tf.cast(found[: size[0] * scale, : size[1] * scale], tf.float32)
    return tf.io.encode_png(finish(found))
