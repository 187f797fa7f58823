"""Trackers run through videos, and what they score."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import DataError, HHError
from hh_keras.tasks.tracking.data.sequence import Video
from hh_keras.tasks.tracking.following.tracker import Tracker
from hh_keras.tasks.tracking.measuring import measures
from hh_keras.tasks.tracking.measuring.measures import Measures
from hh_keras.tasks.tracking.networks.learning import overlap, tracking_loss


@dataclasses.dataclass(frozen=True, eq=False)
class Path:
    """A tracker's way through a video.

    Attributes:
        boxes: float `(frames, 4)`; NaN before the target was given.
        scores: float `(frames,)`.
        seconds: of the tracker alone, without decoding.
        damaged: frames that could not be read; they carry the box before them.
    """

    boxes: np.ndarray
    scores: np.ndarray
    seconds: float
    damaged: int


def follow(tracker: Tracker, video: Video) -> Path:
    """Runs a tracker through a video, from the first frame whose box is known.

    Raises:
        DataError: no frame with a box can be read.
    """
    boxes = np.full((len(video), 4), np.nan)
    scores, spent, damaged, started = np.zeros(len(video)), 0.0, 0, False
    for place, decode in enumerate(video.frames):
        if not started and not np.isfinite(video.boxes[place]).all():
            continue
        try:
            frame = decode()
        except (OSError, ValueError):
            damaged += 1
            if started:
                boxes[place] = boxes[place - 1]
            continue
        before = time.perf_counter()
        if started:
            boxes[place], scores[place] = tracker.update(frame)
        else:
            tracker.start(frame, video.boxes[place])
            boxes[place], scores[place], started = video.boxes[place], 1.0, True
        spent += time.perf_counter() - before
    if not started:
        raise DataError(f"video '{video.name}' has no frame with a box to start from.")
    return Path(boxes, scores, spent, damaged)


def one_pass(
    tracker: Tracker,
    videos: Sequence[Video],
    told: Callable[[str], None] = lambda text: None,
) -> tuple[dict[str, Measures], dict[str, Path]]:
    """One-pass evaluation: `(measures, paths)` by the videos' names.

    Args:
        tracker: started anew on each.
        videos: with boxes.
        told: gets a line on each video.
    """
    scores, paths = {}, {}
    for video in videos:
        path = follow(tracker, video)
        first = int(np.isfinite(path.boxes).all(-1).argmax())
        scores[video.name] = measures.measure(path.boxes[first:], video.boxes[first:])
        paths[video.name] = path
        each = 1000 * path.seconds / max(1, len(video) - first)
        told(f"{video.name}: AUC {scores[video.name].auc:.3f}, {each:.1f} ms a frame")
    return scores, paths


def score_pairs(model: keras.Model, dataset: Any) -> dict[str, float]:
    """Loss and overlap on batches of `((exemplars, searches), boxes)`.

    Returns:
        `auc`, the mean overlap of the pairs that show their target, and `loss`.

    Raises:
        DataError: not a single pair shows its target.
        HHError: outputs are not finite.
    """
    rows: list = []
    answer = tf.function(lambda images: model(list(images), training=False))
    for images, boxes in dataset:
        outputs = answer(images)
        if not np.isfinite(keras.ops.convert_to_numpy(outputs)).all():
            raise HHError(
                "evaluation: the network's outputs are not all finite (NaN or infinite "
                "weights); train it again with a lower learning rate."
            )
        pair = overlap(boxes, outputs), tracking_loss(boxes, outputs)
        rows += zip(*map(keras.ops.convert_to_numpy, pair))
    overlaps, losses = np.reshape(rows, (-1, 2)).T
    if np.isnan(overlaps).all():
        raise DataError("evaluation: not a single pair shows its target.")
    return {"auc": float(np.nanmean(overlaps)), "loss": float(losses.mean())}
