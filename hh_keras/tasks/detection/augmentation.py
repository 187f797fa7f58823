"""What chance does to an image and to its boxes: part, size, mirror, colour."""

import numpy as np
from PIL import Image

AUGMENTATIONS = ("none", "detect", "detect_any_way_up")
"""Names that `load_boxes` takes as `augment`.

`detect` shows another part of the image, larger or smaller and a little squashed,
mirrors every second, and changes brightness, contrast and saturation.
`detect_any_way_up` also turns images upside down and by a quarter: for what is seen
from above or through a microscope.
"""

_ZOOM, _SQUASH, _CHANGE = 1.6, 1.15, 0.25
_LEAST_SEEN = 0.3  # of a box; of less, nobody could tell what it is
_LEAST_SIDE = 2.0  # pixels
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601


def resized(
    pixels: np.ndarray, corners: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The whole image at another size, uint8, and its boxes' corners, float `(n, 4)`.

    Args:
        pixels: uint8 `(height, width, 3)`.
        corners: `(n, 4)`: left, top, right, bottom.
        size: height and width that are wanted.
    """
    height, width = size
    scale = np.array([width / pixels.shape[1], height / pixels.shape[0]] * 2)
    image = Image.fromarray(pixels)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image), corners * scale


def augmented(
    pixels: np.ndarray,
    corners: np.ndarray,
    size: tuple[int, int],
    augment: str,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image and its boxes as chance shows them.

    Args:
        pixels, corners, size: as of `resized`.
        augment: one of `AUGMENTATIONS`.
        rng: decides.

    Returns:
        `(image, corners, seen)`: uint8 `(*size, 3)`, corners cut to it, float `(n, 4)`,
        and bool `(n,)`: whether enough of a box is still there.
    """
    if augment == "none":
        image, found = resized(pixels, corners, size)
        return image, found, np.ones(len(found), bool)
    if augment == "detect_any_way_up" and rng.random() < 0.5:
        pixels = np.ascontiguousarray(pixels.swapaxes(0, 1))
        corners = corners[:, [1, 0, 3, 2]]
    image, found = _part(pixels, corners, size, rng)
    mirrored = rng.random(2) < 0.5
    mirrored[1] &= augment == "detect_any_way_up"
    for axis in np.flatnonzero(mirrored).tolist():  # 0 across, 1 down
        image = np.flip(image, 1 - axis)
        end = size[1 - axis]
        found[:, [axis, axis + 2]] = end - found[:, [axis + 2, axis]]
    whole = _area(found)
    found = np.clip(found, 0, np.array([size[1], size[0]] * 2))
    seen = _area(found) >= _LEAST_SEEN * np.maximum(whole, 1e-9)
    seen &= (found[:, 2:] - found[:, :2]).min(-1, initial=np.inf) >= _LEAST_SIDE
    return _coloured(image, rng), found, seen


def _area(corners):
    return np.prod(np.maximum(corners[:, 2:] - corners[:, :2], 0), -1)


def _part(pixels, corners, size, rng):
    """A window of the image, or one that reaches past it, at the wanted size."""
    own, wanted = np.array(pixels.shape[1::-1]), np.array(size[::-1])
    squash = _SQUASH ** rng.uniform(-1, 1)
    window = own * _ZOOM ** rng.uniform(-1, 1) * np.array([squash, 1 / squash])
    low = (own - window) * rng.random(2)
    seen = np.maximum(low, 0), np.minimum(low + window, own)
    first, last = (np.round((x - low) * wanted / window).astype(int) for x in seen)
    last = np.maximum(last, first + 1)
    image = Image.new("RGB", tuple(wanted), tuple(_mean_colour(pixels)))
    part = Image.fromarray(pixels).resize(
        tuple(last - first), Image.Resampling.BILINEAR, (*seen[0], *seen[1])
    )
    image.paste(part, tuple(first))
    scale = (last - first) / (seen[1] - seen[0])
    return np.asarray(image), (corners - np.tile(seen[0], 2)) * np.tile(
        scale, 2
    ) + np.tile(first, 2)


def _mean_colour(pixels):
    return (pixels[::8, ::8].mean((0, 1)) + 0.5).astype(int).tolist()


def _coloured(image, rng):
    """In another light, by another camera."""
    brightness, contrast, saturation = 1 + _CHANGE * rng.uniform(-1, 1, 3)
    mixed = saturation * np.eye(3) + (1 - saturation) * _LUMA
    middle = brightness * (1 - contrast) * image[::8, ::8].mean()
    matrix = np.hstack([brightness * contrast * mixed, np.full((3, 1), middle)])
    changed = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(changed.convert("RGB", tuple(matrix.ravel())))
