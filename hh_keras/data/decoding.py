"""From the bytes of an image file to pixels of the wanted shape."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from hh_keras.data.source import Split

_FILES_AT_ONCE = 1024


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG, PNG or BMP image to RGB.

    Grey becomes RGB, transparency is dropped, CMYK JPEGs are converted, 16 bits per
    channel become 8. The format is read from the bytes, not from a file name.

    Args:
        encoded: Scalar string, the content of an image file.

    Returns:
        uint8 of shape `(height, width, 3)`.

    Raises:
        tf.errors.OpError: The bytes are no image, or a damaged one.
    """
    # TensorFlow reads the palette indices of a BMP as grey levels; Pillow does not.
    is_bmp = tf.equal(tf.strings.substr(encoded, 0, 2), b"BM")
    image = tf.cond(
        is_bmp,
        lambda: tf.numpy_function(_decode_with_pillow, [encoded], tf.uint8, False),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(image, (None, None, 3))


def _decode_with_pillow(encoded: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def native_shape(encoded: bytes) -> tuple[int, int, int]:
    """Reads `(height, width, channels)` from the head of an image file.

    Args:
        encoded: The content of the file.

    Returns:
        The shape; channels are 1 for grey images and 3 for all others.

    Raises:
        OSError: The bytes are no image.
    """
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        is_grey = image.mode.split(";")[0] in ("1", "L", "LA", "La", "I", "F")
        return image.height, image.width, 1 if is_grey else 3


def fit_image(image: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Resizes an RGB image (antialiased, bilinear) and makes it grey if asked to.

    The aspect ratio is not kept. Grey is ITU-R 601 luma.

    Args:
        image: uint8 of shape `(height, width, 3)`.
        image_shape: The wanted `(height, width, channels)`, channels 1 or 3.

    Returns:
        uint8 of shape `image_shape`.
    """
    height, width, channels = image_shape
    if channels == 1:
        image = tf.image.rgb_to_grayscale(image)
    size = tf.shape(image)[:2]
    image = tf.cond(
        tf.reduce_all(tf.equal(size, (height, width))),
        lambda: image,
        lambda: _resize(image, (height, width)),
    )
    return tf.ensure_shape(image, image_shape)


def _resize(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    resized = tf.image.resize(image, size, antialias=True)
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def find_unreadable(split: Split) -> str | None:
    """Looks for the first image of a split that cannot be decoded.

    `tf.data` does not say which file it failed on; this reads all of them again, on
    all cores, and does.

    Args:
        split: The split to read through.

    Returns:
        A text that names the image and what is wrong with it; None if all is well.
    """

    def reason(record: bytes) -> str | None:
        try:
            decode_image(split.read(tf.constant(record)))
        except (tf.errors.OpError, OSError) as error:
            return _first_line(error)
        return None

    index = 0
    records = split.records(None, False).batch(_FILES_AT_ONCE)
    with ThreadPoolExecutor() as pool:
        try:
            for batch, _ in records.as_numpy_iterator():
                for record, trouble in zip(batch, pool.map(reason, batch)):
                    if trouble:
                        return f"{split.locate(index, record)} ({trouble})"
                    index += 1
        except tf.errors.OpError as error:
            return f"{split.locate(index, None)} ({_first_line(error)})"
    return None


def _first_line(error: Exception) -> str:
    text = getattr(error, "message", None) or str(error)
    # TensorFlow puts the name of the operation before and after the message.
    text = text.split("}}")[-1].split(" [Op:")[0].strip()
    return (text.splitlines() or [type(error).__name__])[0][:200]
