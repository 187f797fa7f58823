"""A tracker on footage whose later boxes nobody knows."""

import dataclasses
import time
from collections.abc import Iterator, Sequence

import numpy as np

from hh_keras.errors import DataError
from hh_keras.tasks.tracking.data.footage import Footage
from hh_keras.tasks.tracking.following.tracker import Tracker


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """What became of one frame.

    Attributes:
        number: of the frame, from 0.
        frame: uint8 `(height, width, 3)`; None if it could not be read.
        box: float `(4,)`; of a frame that could not be read, the box before it.
        score: about 1 where the target looks as it did.
        seconds: of the tracker.
    """

    number: int
    frame: np.ndarray | None
    box: np.ndarray
    score: float
    seconds: float


def followed(
    tracker: Tracker, footage: Footage, box: Sequence[float]
) -> Iterator[Step]:
    """Follows a target from the first frame that can be read.

    Args:
        tracker: is started.
        footage: the frames.
        box: of the target in the first frame: left, top, width, height.

    Raises:
        DataError: no frame can be read, or the box lies outside of the first.
    """
    seen, last = False, np.full(4, np.nan)
    for number, frame in enumerate(footage):
        if frame is None:
            yield Step(number, None, last, 0.0, 0.0)
            continue
        started, score = time.perf_counter(), 1.0
        if seen:
            last, score = tracker.update(frame)
        else:
            tracker.start(frame, box)
            seen, last = True, np.asarray(box, float)
        yield Step(number, frame, last, score, time.perf_counter() - started)
    if not seen:
        raise DataError(f"'{footage.path}': not one of its frames can be read.")
