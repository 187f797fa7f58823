"""Mask files as arrays of their values."""

import io

import numpy as np
from PIL import Image


def mask_values(encoded: bytes, colours: bool = False) -> np.ndarray:
    """Reads the values of a mask file.

    Args:
        encoded: its content: PNG or another format without loss; grey of 8 or 16 bits,
            of one bit (0 and 1), or a palette, whose indices are the values.
        colours: whether pixels are colours, and 0xRRGGBB their value.

    Returns:
        Integers `(h, w)`.

    Raises:
        ValueError: it cannot be read, or has other pixels.
    """
    if not encoded:
        raise ValueError("the file is empty")
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            if image.format == "JPEG":
                raise ValueError("a JPEG file has blurred its values; write PNG")
            if colours:
                red, green, blue = np.moveaxis(
                    np.asarray(image.convert("RGB")).astype(np.int32), -1, 0
                )
                return (red << 16) | (green << 8) | blue
            found, mode = np.asarray(image), image.mode
    except ValueError:
        raise
    except Exception as error:  # Pillow raises whatever its decoders stumble over
        text = (str(error).splitlines() or [""])[0][:200]
        raise ValueError(text or type(error).__name__) from error
    if mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if found.ndim == 3:
        grey = found[..., : {"LA": 1, "PA": 1}.get(mode, 3)]
        if (grey != grey[..., :1]).any():
            raise ValueError(
                "its pixels are colours: name the classes by them, '#rrggbb NAME'"
            )
        found = grey[..., 0]
    return found.astype(np.int32)
