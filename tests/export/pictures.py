"""Image files of every kind that `classify_bytes` meets, and of kinds it refuses."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def photo(height, width, channels=3, seed=0):
    """Smooth blobs, edges and a little noise, uint8."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(0, 255, (5, 7, channels)).astype("uint8")
    layers = [
        np.asarray(Image.fromarray(small[..., c]).resize((width, height)), float)
        for c in range(channels)
    ]
    pixels = np.stack(layers, -1) + rng.normal(0, 12, (height, width, channels))
    pixels[height // 3 : height // 2, width // 4 : width // 2] = 250
    return np.clip(pixels, 0, 255).astype("uint8")


def encoded(image, kind, **settings):
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def sixteen_bit_rgb(pixels):
    """A PNG with 16 bits per channel, which Pillow reads and cannot write."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind, data):
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def good():
    """Name to bytes of files that are answered."""
    image, grey = (
        Image.fromarray(photo(123, 187)),
        Image.fromarray(photo(90, 70, 1)[..., 0]),
    )
    small = Image.fromarray(photo(9, 13))
    deep = photo(60, 50).astype("uint16") * 257
    clear = np.dstack([np.asarray(image), photo(123, 187, 1, seed=1)])
    grey_clear = np.dstack([np.asarray(grey), np.asarray(grey)[::-1]])
    return {
        "whole colour.jpg": encoded(image, "JPEG", quality=90, subsampling=0),
        "half colour.jpg": encoded(image, "JPEG", quality=75),
        "progressive.jpg": encoded(image, "JPEG", progressive=True),
        "grey.jpg": encoded(grey, "JPEG"),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "small.jpg": encoded(small, "JPEG"),
        "rgb.png": encoded(image, "PNG"),
        "grey.png": encoded(grey, "PNG"),
        "transparent.png": encoded(Image.fromarray(clear), "PNG"),
        "grey transparent.png": encoded(Image.fromarray(grey_clear), "PNG"),
        "palette.png": encoded(image.convert("P"), "PNG"),
        "16-bit grey.png": encoded(Image.fromarray(deep[..., 0]), "PNG"),
        "16-bit rgb.png": sixteen_bit_rgb(deep),
    }


def bad():
    """Name to bytes of files that are refused, and what the refusal says."""
    image = Image.fromarray(photo(123, 187))
    frames = [Image.fromarray(photo(40, 40, seed=n)) for n in range(3)]
    jpeg, png = encoded(image, "JPEG"), encoded(image, "PNG")
    huge = b"\x89PNG\r\n\x1a\n" + _chunk(
        b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    )
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    return {
        "empty.jpg": (b"", "is empty"),
        "text.png": (b"no image at all", "is neither JPEG nor PNG"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "is a damaged JPEG or PNG file"),
        "head.jpg": (jpeg[:10], "is a damaged JPEG or PNG file"),
        "cut.png": (png[: len(png) // 2], "is a damaged JPEG or PNG file"),
        "head.png": (png[:20], "is a damaged JPEG or PNG file"),
        "checksum.png": (
            png[:1000] + b"\0\1" + png[1002:],
            "is a damaged JPEG or PNG file",
        ),
        "moving.gif": (moving, "is a GIF file, neither JPEG nor PNG"),
        "picture.bmp": (encoded(image, "BMP"), "is a BMP file, neither JPEG nor PNG"),
        "picture.tif": (encoded(image, "TIFF"), "is a TIFF file, neither JPEG nor PNG"),
        "huge.png": (huge, "has more than 178,956,970 pixels"),
    }
