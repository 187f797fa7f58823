"""Every kind of image file that people have, and some that are none."""

import io
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from hh_keras.data.decoding import decode_image, native_shape

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 9, 3), np.uint8)
SMOOTH = np.kron(RNG.integers(0, 256, (3, 4, 3)), np.ones((16, 16, 1))).astype(np.uint8)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_lossless_colours_are_kept():
    image = Image.fromarray(COLOURS)
    palette = image.quantize(16)
    for file, expected in (
        (saved(image, "PNG"), COLOURS),
        (saved(image, "BMP"), COLOURS),
        (saved(image, "TIFF"), COLOURS),
        (saved(image.convert("RGBA"), "PNG"), COLOURS),
        (saved(palette, "PNG"), np.asarray(palette.convert("RGB"))),
        (saved(palette, "PNG", transparency=0), np.asarray(palette.convert("RGB"))),
        (saved(palette, "BMP"), np.asarray(palette.convert("RGB"))),
        (saved(palette, "GIF"), np.asarray(palette.convert("RGB"))),
    ):
        assert native_shape(file) == (6, 9, 3)
        np.testing.assert_array_equal(decode_image(file, (6, 9, 3)), expected)


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_jpeg_colours_are_nearly_kept(mode):
    file = saved(Image.fromarray(SMOOTH).convert(mode), "JPEG", quality=95)
    assert native_shape(file) == (48, 64, 3)
    decoded = decode_image(file, (48, 64, 3)).astype(int)
    assert np.abs(decoded - SMOOTH).mean() < 6


def test_grey_images_of_every_depth():
    grey = COLOURS[..., 0]
    deep = Image.fromarray(grey.astype(np.uint16) * 256 + 77)
    black = Image.fromarray(grey > 127)
    for image, expected in (
        (Image.fromarray(grey), grey),
        (deep, grey),
        (black, np.where(grey > 127, 255, 0)),
        (Image.merge("LA", [Image.fromarray(grey)] * 2), grey),
    ):
        file = saved(image, "PNG")
        assert native_shape(file) == (6, 9, 1)
        np.testing.assert_array_equal(
            decode_image(file, (6, 9, 1)), expected[..., None]
        )
        rgb = decode_image(file, (6, 9, 3))
        np.testing.assert_array_equal(rgb, np.repeat(expected[..., None], 3, -1))


def test_rgb_becomes_luma():
    grey = decode_image(saved(Image.fromarray(COLOURS), "PNG"), (6, 9, 1))
    luma = COLOURS @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - luma).max() <= 1


@pytest.mark.parametrize("size", [(12, 20), (100, 80), (48, 10)])
def test_resizing_is_antialiased_bilinear(size):
    decoded = decode_image(saved(Image.fromarray(SMOOTH), "PNG"), (*size, 3))
    expected = tf.image.resize(SMOOTH, size, antialias=True).numpy()
    assert decoded.shape == (*size, 3) and decoded.dtype == np.uint8
    # Pillow calculates in whole numbers, and treats borders a little differently.
    assert np.abs(decoded - expected).mean() < 1


PNG, JPEG = (saved(Image.fromarray(SMOOTH), kind) for kind in ("PNG", "JPEG"))
FLOATS = saved(Image.fromarray(COLOURS[..., 0].astype(np.float32)), "TIFF")


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>404</html>", "no image of a known format"),
        (JPEG[: len(JPEG) // 2], "(?i)truncated"),
        (PNG[: len(PNG) // 2], "truncated|incomplete|unrecognized"),
        (PNG[:60] + b"\0\0\0\0" + PNG[64:], "."),
        (FLOATS, "floating-point"),
    ],
)
def test_damaged_files_are_told(file, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        decode_image(file, (6, 9, 3))
    assert not re.search("0x|\n", str(caught.value))
