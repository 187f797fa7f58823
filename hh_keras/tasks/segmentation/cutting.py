"""Pieces of an image and of its mask, cut out and changed together."""

import numpy as np
from PIL import Image

from hh_keras.tasks.segmentation.classes import IGNORED

AUGMENTATIONS = ("none", "flip", "flip_scale_colour")
"""Names that `load_crops` takes as `augment`.

All cut pieces out at random. `flip` mirrors every second, image and mask alike;
`flip_scale_colour` shows them 0.5 to 2 times as large besides, both alike, and changes
brightness, contrast and saturation of the image by up to 0.3.
"""

_SCALES = 0.5, 2.0
_CHANGE = 0.3
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601


def cut(
    image: np.ndarray,
    mask: np.ndarray,
    size: int,
    augment: str,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a square out.

    Args:
        image: uint8 `(h, w, channels)`.
        mask: uint8 `(h, w)`.
        size: side of the piece; beyond a smaller image its border goes on, and the
            mask is `IGNORED` there.
        augment: one of `AUGMENTATIONS`.
        rng: decides; as much is drawn for every augmentation.

    Returns:
        uint8 `(size, size, channels)` and `(size, size)`.
    """
    place, mirrored = rng.random(2), rng.random() < 0.5
    scale = np.exp(rng.uniform(*np.log(_SCALES)))
    changes = 1 + _CHANGE * rng.uniform(-1, 1, 3)
    side = round(size / scale) if augment == "flip_scale_colour" else size
    room = np.array(mask.shape) - side
    low = np.floor(place * (np.abs(room) + 1)).astype(int) * np.sign(room)
    image, mask = _window(image, low, side), _window(mask, low, side, IGNORED)
    if side != size:
        image, mask = _resized(image, size), _nearest(mask, size)
    if augment == "flip_scale_colour":
        image = _in_another_light(image, *changes)
    if augment != "none" and mirrored:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return image, mask


def _window(pixels, low, side, beyond=None):
    """What is in a square, which may reach beyond the image."""
    inside = [slice(max(0, n), max(0, n + side)) for n in low]
    piece = pixels[tuple(inside)]
    before = np.maximum(-low, 0)
    after = side - before - piece.shape[:2]
    if not before.any() and not after.any():
        return piece
    widths = [*zip(before, after), *[(0, 0)] * (pixels.ndim - 2)]
    if beyond is None:
        return np.pad(piece, widths, "edge")
    return np.pad(piece, widths, constant_values=beyond)


def _resized(image, size):
    """Bilinear, antialiased."""
    flat = image[..., 0] if image.shape[-1] == 1 else image
    larger = Image.fromarray(flat).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(larger).reshape(size, size, -1)


def _nearest(mask, size):
    """The value at the middle of every new pixel."""
    places = ((np.arange(size) + 0.5) * len(mask) / size).astype(int)
    return mask[places[:, None], places]


def _in_another_light(image, brightness, contrast, saturation):
    pixels = image.astype(np.float32)
    if image.shape[-1] == 3:
        grey = (pixels @ _LUMA)[..., None]
        pixels = grey + saturation * (pixels - grey)
    middle = pixels.mean()
    pixels = brightness * (middle + contrast * (pixels - middle))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
