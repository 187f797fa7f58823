"""Which parts of an image are looked at: boxes that are cut out and resized."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

VIEWS = ("resize", "center", "five", "ten")
"""Names of how `load` brings validation images to one shape.

Examples:
    >>> hh_keras.data.VIEWS
    ('resize', 'center', 'five', 'ten')
"""
"""Names that `load` takes as `view`.

`resize` squashes the whole image to the wanted shape. `center` is the protocol of
ImageNet: resized until it covers 256/224 of the wanted shape, then its centre. `five`
are the corners and the centre of that (Krizhevsky et al., NeurIPS 2012), `ten` the same
mirrored besides.
"""

Cut = tuple[tuple[float, float, float, float], bool]
"""A box `(left, top, right, bottom)` in pixels, and whether to mirror it."""

Cuts = Callable[[int, int], "list[Cut]"]
"""`cuts(width, height)` gives the cuts of an image of that size."""

MARGIN = 256 / 224


def number_of_cuts(view: str) -> int:
    """How many images a view makes of one."""
    return {"five": 5, "ten": 10}.get(view, 1)


def cuts_of(view: str, image_shape: tuple[int, int, int]) -> Cuts:
    """The cuts of one of `VIEWS`, for images of shape `(height, width, channels)`."""
    wanted_height, wanted_width = image_shape[:2]

    def cuts(width, height):
        if view == "resize":
            return [((0, 0, width, height), False)]
        shrink = min(width / wanted_width, height / wanted_height) / MARGIN
        size = wanted_width * shrink, wanted_height * shrink
        right, low = width - size[0], height - size[1]
        corners = [(right / 2, low / 2)]
        if view != "center":
            corners += [(0, 0), (right, 0), (0, low), (right, low)]
        boxes = [(x, y, x + size[0], y + size[1]) for x, y in corners]
        mirrored = (False, True) if view == "ten" else (False,)
        return [(box, mirror) for mirror in mirrored for box in boxes]

    return cuts


def random_cut(seed: tuple[int, int]) -> Cuts:
    """A random box of 8 to 100 % of the area and aspect 3/4 to 4/3, mirrored or not.

    Szegedy et al., arXiv:1409.4842, as in torchvision: after ten boxes that do not fit,
    the largest centred one of such an aspect.

    Args:
        seed: the same gives the same cut.
    """

    def cuts(width, height):
        draw = np.random.default_rng(seed)
        mirrored = bool(draw.random() < 0.5)
        for _ in range(10):
            area = draw.uniform(0.08, 1.0) * width * height
            aspect = math.exp(draw.uniform(math.log(3 / 4), math.log(4 / 3)))
            size = math.sqrt(area * aspect), math.sqrt(area / aspect)
            if size[0] <= width and size[1] <= height:
                x, y = (
                    draw.uniform(0, width - size[0]),
                    draw.uniform(0, height - size[1]),
                )
                return [((x, y, x + size[0], y + size[1]), mirrored)]
        size = min(width, height * 4 / 3), min(height, width * 4 / 3)
        x, y = (width - size[0]) / 2, (height - size[1]) / 2
        return [((x, y, x + size[0], y + size[1]), mirrored)]

    return cuts
