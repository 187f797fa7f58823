"""Images the way round that their boxes or masks are for."""

import io

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from hh_keras.data.annotated_pixels import annotated_pixels

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def saved(pixels, tag, kind="PNG", mode="RGB"):
    image = Image.fromarray(pixels).convert(mode)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = tag
    file = io.BytesIO()
    image.save(file, kind, exif=exif)
    return file.getvalue()


def turned(encoded):
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(ImageOps.exif_transpose(image))


@pytest.mark.parametrize("tag", [5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_the_size_tells_whether_an_image_is_turned(tag, kind):
    file = saved(PIXELS, tag, kind)
    np.testing.assert_array_equal(annotated_pixels(file, (9, 6)), turned(file))
    if kind == "PNG":  # Pillow has turned the other
        np.testing.assert_array_equal(annotated_pixels(file, (6, 9)), PIXELS)


def test_grey_and_separated_colours_are_turned():
    for mode, channels in (("L", 1), ("CMYK", 3)):
        file = saved(PIXELS, 6, "JPEG", mode)
        found = annotated_pixels(file, (9, 6), channels)
        plain = annotated_pixels(file, (6, 9), channels)
        np.testing.assert_array_equal(found, np.rot90(plain, -1))


@pytest.mark.parametrize(
    "pixels,tag,size",
    [
        (PIXELS, 3, (6, 9)),
        (PIXELS, 2, (6, 9)),
        (PIXELS[:, :6], 6, (6, 6)),
        (PIXELS, 6, None),
    ],
)
def test_what_nothing_tells_is_refused(pixels, tag, size):
    with pytest.raises(ValueError, match="whether its mask is for the turned image"):
        annotated_pixels(saved(pixels, tag), size, 3, "its mask is")


@pytest.mark.parametrize("tag", [0, 1, 9])
def test_upright_images_are_taken_as_they_are(tag):
    for size in ((6, 9), None):
        found = annotated_pixels(saved(PIXELS, tag), size)
        np.testing.assert_array_equal(found, PIXELS)
    with pytest.raises(ValueError, match="has 9x6 pixels, its boxes are for 6x9"):
        annotated_pixels(saved(PIXELS, tag), (9, 6))
