"""Following a target from frame to frame: the loop around the two networks.

Imports neither Keras nor TensorFlow: the networks may be somewhere else.
"""

from collections.abc import Callable, Sequence

import numpy as np

from hh_keras.errors import DataError, ModelError
from hh_keras.tasks.tracking.data.boxes import around, centres
from hh_keras.tasks.tracking.data.cropping import CONTEXT, crop, mean_colour
from hh_keras.tasks.tracking.following.settings import Settings


class Tracker:
    """One target, followed.

    Args:
        exemplar: images float32 `(n, side, side, 3)` to a list of arrays, the kernel.
            Those of four axes are features, kept from the first frame to the last; the
            others are filters, renewed by frames that follow.
        search: `[images, *kernel]` to the output, see `networks.trackers.tracker`.
        side: of the images, in pixels.
        sides: whether the output tells the target's sides.
        settings: a `Settings`.
    """

    def __init__(
        self,
        exemplar: Callable,
        search: Callable,
        side: int,
        sides: bool,
        settings: Settings | None = None,
    ) -> None:
        self.exemplar, self.search, self.side = exemplar, search, side
        self.sides = sides
        self.settings = settings or Settings()
        self.believes = sides and self.settings.sides_rate > 0

    def start(self, frame: np.ndarray, box: Sequence[float]) -> None:
        """Takes the target of a frame, by its box.

        Raises:
            DataError: the box has no size, or lies outside of the frame.
        """
        check_box(frame, box)
        self.centre = centres(np.asarray(box))
        self.size = np.asarray(box, float)[2:]
        self.first = np.sqrt(np.prod(self.size))
        self.frame = np.array(frame.shape[1::-1])
        self.score, self.frames = 1.0, 0
        self.kernel = self.exemplar(self._image(frame, mean_colour(frame)))

    def update(self, frame: np.ndarray) -> tuple[np.ndarray, float]:
        """Finds the target in the next frame; one of another size shows the same
        picture, resized.

        Returns:
            Its box, float `(4,)`, and the score, about 1 if it looks as it did.

        Raises:
            ModelError: the network's answer is not finite.
        """
        settings, fill = self.settings, mean_colour(frame)
        self._resize(np.array(frame.shape[1::-1]))
        self.frames += 1
        base = np.sqrt(np.prod(self.size))
        scales = self._scales()
        images = np.concatenate([self._image(frame, fill, s) for s in scales])
        kernel = [np.repeat(k, len(scales), 0) for k in self.kernel]
        found = self.search([images, *kernel])
        maps = found[..., 0]
        if not np.isfinite(found).all():
            raise ModelError(
                "the tracker's scores are not all finite (NaN or infinite weights); "
                "train it again with a lower learning rate."
            )
        cells = maps.shape[1]
        best, row, column = self._peak(maps, scales)
        self.score = float(maps[best, row, column])
        cell = CONTEXT * base * scales[best] / cells
        place = np.array([column, row]) + 0.5 - cells / 2
        if self.believes:
            sides = found[best, row, column, 1:] * base
            middle = self.centre + place * cell + (sides[2:] - sides[:2]) / 2
            size = sides[:2] + sides[2:]
        else:
            place = place + _between(maps[best], row, column)
            middle = self.centre + place * cell
            size = self.size * scales[best]
        height, width = frame.shape[:2]
        self.centre = np.clip(middle, 0, [width, height])
        if self.score > settings.lost:
            self._grow(size, [width, height])
            if settings.rate and self.frames % settings.renew_every == 0:
                self._renew(frame, fill)
        return around(self.centre, self.size), self.score

    def _scales(self):
        """The sizes that are tried in this frame, as factors."""
        if self.believes or self.frames % self.settings.scale_every:
            return np.ones(1)
        return np.array(self.settings.scales)

    def _image(self, frame, fill, scale=1.0):
        """What a network sees of a frame around the target, `(1, side, side, 3)`."""
        side = CONTEXT * np.sqrt(np.prod(self.size)) * scale
        image = crop(frame, self.centre, side, self.side, fill)
        return image[None].astype("float32")

    def _peak(self, maps, scales):
        """The best of the maps, row and column; near the middle rather than far."""
        settings, cells = self.settings, maps.shape[1]
        window = np.outer(*2 * [np.hanning(cells + 2)[1:-1]])
        seen = (1 - settings.window) * maps + settings.window * window * maps.max()
        seen = seen * np.where(scales == 1, 1, settings.scale_penalty)[:, None, None]
        return np.unravel_index(seen.argmax(), seen.shape)

    def _grow(self, size, most):
        """Takes over a part of a new size."""
        settings, grow = self.settings, self.settings.grow
        rate = settings.sides_rate if self.believes else settings.scale_rate
        size = self.size ** (1 - rate) * np.maximum(size, 1e-3) ** rate
        mean = np.sqrt(np.prod(size))
        factor = np.clip(mean, self.first / grow, self.first * grow) / mean
        self.size = np.clip(size * factor, 2, most)

    def _renew(self, frame, fill):
        """Takes over a part of the filters that the target has now."""
        if all(each.ndim == 4 for each in self.kernel):
            return
        rate = self.settings.rate
        self.kernel = [
            old if old.ndim == 4 else (1 - rate) * old + rate * own
            for old, own in zip(self.kernel, self.exemplar(self._image(frame, fill)))
        ]

    def _resize(self, size):
        """Takes all over into the pixels of a frame of another size."""
        factor = size / self.frame
        self.centre, self.size = self.centre * factor, self.size * factor
        self.first, self.frame = self.first * np.sqrt(np.prod(factor)), size


def _between(values, row, column):
    """Where between cells the peak is, by a parabola each way: across, down."""

    def vertex(line, place):
        if not 0 < place < len(line) - 1:
            return 0.0
        a, b, c = line[place - 1 : place + 2]
        bend = a - 2 * b + c
        return float(np.clip((a - c) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0

    return np.array([vertex(values[row], column), vertex(values[:, column], row)])


def check_box(frame: np.ndarray, box: Sequence[float]) -> None:
    """Raises DataError unless a box lies, at least in part, in a frame."""
    height, width = frame.shape[:2]
    x, y, w, h = map(float, box)
    told, frame_size = f"box {x:g},{y:g},{w:g},{h:g}", f"which has {width}x{height}"
    if not (np.isfinite([x, y, w, h]).all() and w > 0 and h > 0):
        raise DataError(f"{told} has no size; give left, top, width, height in pixels.")
    if min(w, h) < _LEAST:
        raise DataError(f"{told} is smaller than a pixel: nothing is to be seen of it.")
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise DataError(f"{told} lies outside of the frame, {frame_size}.")
    if w > _MOST * width or h > _MOST * height:
        raise DataError(f"{told} is far larger than the frame, {frame_size}.")


_LEAST, _MOST = 1, 2  # pixels; sides of the frame
