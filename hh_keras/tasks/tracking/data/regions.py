"""What is kept of a frame: the surroundings of its target, no finer than needed."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from hh_keras.tasks.tracking.data import boxes
from hh_keras.tasks.tracking.data.cropping import mean_colour, target_side

_WORTH = 0.8  # by which a frame must shrink at least, that it is resized


@dataclasses.dataclass(frozen=True)
class Geometry:
    """How squares are laid around a target; its side is the root of its area.

    Attributes:
        exemplar_size, search_size: sides of a network's two images, in pixels.
        exemplar_context, search_context: sides of the squares, in sides of the target.
        shift: how far the target is from the middle of the search image at most,
            across and down, as a share of the image; below 0.5: it stays inside.
        zoom: factor by which the search image is larger or smaller, at most.
    """

    exemplar_size: int = 192
    search_size: int = 192
    exemplar_context: float = 3.0
    search_context: float = 3.0
    shift: float = 0.25
    zoom: float = 1.2

    def stronger(self) -> Geometry:
        """For pairs of one image, in which nothing else moves."""
        return dataclasses.replace(
            self,
            shift=max(self.shift, min(1.5 * self.shift, 0.45)),
            zoom=self.zoom**2,
        )

    @property
    def reach(self) -> float:
        """How far squares reach from the middle of a target, in its sides."""
        search = self.search_context * self.zoom * (0.5 + self.shift)
        return max(self.exemplar_context / 2, search)

    @property
    def finest(self) -> float:
        """How many pixels of a network's image a target's side has at most."""
        search = self.search_size * self.zoom / self.search_context
        return max(self.exemplar_size / self.exemplar_context, search)


GEOMETRY = Geometry()


@dataclasses.dataclass(frozen=True, eq=False)
class Region:
    """A part of a frame.

    Attributes:
        pixels: uint8 `(height, width, 3)`.
        box: of the target in these pixels, float `(4,)`.
        fill: uint8 `(3,)`, mean colour of the frame.
    """

    pixels: np.ndarray
    box: np.ndarray
    fill: np.ndarray


def unusable(box: Sequence | np.ndarray, shape: Sequence | None = None) -> str | None:
    """Why nothing can be learnt from a box; None if it can.

    Args:
        box: left, top, width, height.
        shape: height and width of its image, if they are known.
    """
    left, top, width, height = box
    if not (np.isfinite(box).all() and width > 0 and height > 0):
        return "its box has no size"
    if shape is not None:
        x, y = left + width / 2, top + height / 2
        if not (0 <= x < shape[1] and 0 <= y < shape[0]):
            return "the middle of its box lies outside of the image"
    return None


def cut_out(frame: np.ndarray, box: np.ndarray, geometry: Geometry) -> Region:
    """The part of a frame that squares of a geometry can reach.

    Args:
        frame: uint8 `(height, width, 3)`.
        box: of the target; usable.
        geometry: how squares are laid around it.
    """
    side = target_side(box)
    middle, reach = boxes.centres(box), geometry.reach * side + 1
    size = np.array(frame.shape[1::-1])
    low = np.clip(np.floor(middle - reach).astype(int), 0, size)
    high = np.clip(np.ceil(middle + reach).astype(int), 0, size)
    part = frame[low[1] : high[1], low[0] : high[0]]
    wanted = high - low
    if geometry.finest / side < _WORTH:
        wanted = np.maximum(1, np.round(wanted * geometry.finest / side)).astype(int)
        image = Image.fromarray(np.ascontiguousarray(part))
        part = np.asarray(image.resize(tuple(wanted), Image.Resampling.BILINEAR))
    scale = np.tile(wanted / (high - low), 2)
    place = (np.asarray(box, float) - [*low, 0, 0]) * scale
    return Region(part.copy(), place, mean_colour(frame))


class Regions:
    """Regions by key, kept until the memory for them is full.

    The later ones are cut out whenever they are asked for: what is given does not
    depend on the memory.
    """

    def __init__(self, make: Callable[..., Region | None], most: float) -> None:
        """`make(*key)` gives a region or None; `most` bytes are kept."""
        self._make, self._left = make, most
        self._kept: dict[tuple, Region] = {}
        self._lock = threading.Lock()

    def __call__(self, *key: int) -> Region | None:
        if key in self._kept:
            return self._kept[key]
        region = self._make(*key)
        with self._lock:
            if region and key not in self._kept and self._left >= region.pixels.nbytes:
                self._left -= region.pixels.nbytes
                self._kept[key] = region
        return region
