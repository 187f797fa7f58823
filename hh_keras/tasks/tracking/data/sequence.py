"""A video with the boxes of one target."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Video:
    """Frames in order, and where the target is.

    Attributes:
        name: of the sequence, unique in its data set.
        frames: a function for each frame that decodes it, uint8 `(height, width, 3)`;
            it raises OSError or ValueError if the frame is damaged.
        boxes: float `(frames, 4)`, see `.boxes`; NaN where the
            target is absent, or nobody said.
    """

    name: str
    frames: Sequence[Callable[[], np.ndarray]]
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)
