"""Image files as arrays and back, without loss: 8 and 16 bits, grey, RGB, alpha."""

from __future__ import annotations

import io
import os
import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from hh_keras import files
from hh_keras.data.decoding import unreadable

_PNG, _DEPTH_AT = b"\x89PNG\r\n\x1a\n", 24  # the byte that holds the bits per channel


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads an image file, upright.

    Args:
        path: a file of any format that Pillow knows.

    Returns:
        uint8 or uint16 `(height, width)` for grey images, `(height, width, channels)`
        with 2 (grey and alpha), 3 (RGB) or 4 (RGBA) channels for others. Palettes and
        CMYK become RGB.

    Raises:
        DataError: there is no readable image there; the message names it.
    """
    try:
        content = pathlib.Path(path).read_bytes()
        if content[:8] == _PNG and content[_DEPTH_AT : _DEPTH_AT + 1] == b"\x10":
            # Pillow would make 8 bits of them.
            pixels = tf.io.decode_png(content, dtype=tf.uint16).numpy()
        else:
            pixels = _by_pillow(content)
    except UnidentifiedImageError as error:
        told = ValueError("it holds no image of a known format")
        raise unreadable(os.fsencode(path), told) from error
    except Exception as error:  # Pillow and TensorFlow raise whatever they stumble over
        raise unreadable(os.fsencode(path), _short(error)) from error
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels


def _by_pillow(content):
    if not content:
        raise ValueError("the file is empty")
    with Image.open(io.BytesIO(content)) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16"):
            return np.asarray(image).astype(np.uint16)
        if image.mode in ("I", "F"):
            raise ValueError(f"its pixels are of a kind (mode {image.mode}) not known")
        if image.mode not in ("L", "LA", "RGB", "RGBA"):
            clear = image.mode == "PA" or "transparency" in image.info
            plain = "L" if image.mode == "1" else "RGB"
            image = image.convert("RGBA" if clear else plain)
        return np.asarray(image)


def _short(error):
    if isinstance(error, (OSError, ValueError)) and getattr(error, "strerror", None):
        return error
    text = (str(error).splitlines() or [""])[0][:200]
    return ValueError(text or type(error).__name__)


def write_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes an array as `read_image` gives it to a PNG file, whole or not at all.

    Raises:
        WorkdirError: it cannot be written.
    """
    pixels = image if image.ndim == 3 else image[..., None]
    files.write(path, tf.io.encode_png(tf.constant(pixels)).numpy())
