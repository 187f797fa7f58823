"""What light and cameras do to a pair: colour, brightness, sharpness, a mirror."""

import numpy as np
from PIL import Image

AUGMENTATIONS = ("none", "track")
"""Names that `load_pairs` takes as `augment`.

`track` mirrors every second pair and takes the colour from every fifth, both images
alike; and, for each image by itself, changes brightness, contrast and saturation by up
to a quarter, and blurs every fifth. Shifts and scales belong to a pair either way.
"""

_MIRRORED, _GREY, _BLURRED = 0.5, 0.2, 0.2  # shares
_CHANGE = 0.25
_COARSEST = 3.0  # pixels that a blurred image makes one of, across and down

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601


def augmented(
    exemplar: np.ndarray, search: np.ndarray, box: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Changes a pair as "track" does.

    Args:
        exemplar, search: uint8 `(size, size, 3)`.
        box: of the target in the search image.
        rng: decides.
    """
    mirrored, grey = rng.random(2) < (_MIRRORED, _GREY)
    exemplar, search = (_recorded(image, grey, rng) for image in (exemplar, search))
    if mirrored:
        exemplar, search = exemplar[:, ::-1], search[:, ::-1]
        left = search.shape[1] - box[0] - box[2]
        box = np.concatenate([[left], box[1:]])
    return exemplar, search, box


def _recorded(pixels, grey, rng):
    """An image by another camera, in another light."""
    brightness, contrast, saturation = 1 + _CHANGE * rng.uniform(-1, 1, 3)
    blurred, coarse = rng.random() < _BLURRED, rng.uniform(1, _COARSEST)
    if grey:
        saturation = 0.0
    mixed = saturation * np.eye(3) + (1 - saturation) * _LUMA
    middle = pixels[::8, ::8].mean()
    mixed *= brightness * contrast
    added = np.full((3, 1), brightness * (1 - contrast) * middle)
    matrix = tuple(np.hstack([mixed, added]).ravel())
    image = Image.fromarray(pixels).convert("RGB", matrix)
    if blurred:
        size, fewer = image.size, round(image.width / coarse)
        image = image.resize((fewer, fewer), Image.Resampling.BILINEAR)
        image = image.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image)
