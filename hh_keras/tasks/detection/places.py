"""Where a detector looks: the cells of its maps, and the boxes they tell.

A detector's output is `(batch, places, 4 + classes)`. The places are the cells of maps
with a stride each, the finest first, row by row. The first four numbers of a place tell
how far the box reaches to the left, up, to the right and down from the cell's middle:
their softplus, in strides. The others are logits, one for each class.
"""

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from hh_keras.errors import ModelError

_STRIDES = tuple(
    tuple(2**k for k in range(first, last + 1))
    for first in (3, 2, 4, 5, 1)
    for last in range(7, first - 1, -1)
)


@dataclasses.dataclass(frozen=True, eq=False)
class Places:
    """The places of a detector.

    Attributes:
        centres: float32 `(n, 2)`: across, down, in pixels.
        strides: float32 `(n,)`, in pixels.
    """

    centres: np.ndarray
    strides: np.ndarray


def places_of(size: tuple[int, int], number: int) -> Places:
    """The places of a detector, by how many there are.

    Args:
        size: height and width of its images.
        number: of places.

    Raises:
        ModelError: no maps of strides that double have so many cells together.
    """
    for strides in _STRIDES:
        cells = [(-(-size[0] // s), -(-size[1] // s)) for s in strides]
        if sum(down * across for down, across in cells) == number:
            maps = [_map(*each, s) for each, s in zip(cells, strides)]
            spread = [np.full(len(m), s) for m, s in zip(maps, strides)]
            return Places(
                np.concatenate(maps).astype("float32"),
                np.concatenate(spread).astype("float32"),
            )
    raise ModelError(
        f"{number} places on images of {size[0]}x{size[1]} are not the cells of maps "
        "with strides such as 8, 16 and 32; see docs/detection.md for what a detector "
        "puts out."
    )


def _map(down, across, stride):
    rows, columns = np.mgrid[:down, :across].reshape(2, -1)
    return (np.stack([columns, rows], -1) + 0.5) * stride


def corners(output: Any, places: Places) -> Any:
    """The box of each place, `(batch, places, 4)`: left, top, right, bottom, pixels.

    Args:
        output: of a detector, `(batch, places, 4 + classes)`.
        places: its `Places`.
    """
    reach = ops.softplus(output[..., :4]) * places.strides[:, None]
    return ops.concatenate(
        [places.centres - reach[..., :2], places.centres + reach[..., 2:]], -1
    )
