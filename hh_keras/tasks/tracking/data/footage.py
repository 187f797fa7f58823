"""Frames to track in, one after the other: of a video file or a folder of images."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hh_keras.errors import DataError
from hh_keras.tasks.tracking.data.frames import frame_paths, read_frame

_INSIDE = ("img", "color")  # where OTB and VOT have the frames of a sequence
_TRIES = 100  # unreadable frames in a row after which a video is at its end


class Footage:
    """Frames of a video, read when they are asked for; none is held.

    Iterating gives each as uint8 `(height, width, 3)`, RGB, or None for one that is
    damaged; again and again from the beginning.

    Attributes:
        path: where it is.
        count: how many frames there are, None if that is not known. Of a video file it
            is what the file says, which may be more than can be read.
        fps: frames per second, None if that is not known.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[], Iterator[np.ndarray | None]],
        count: int | None = None,
        fps: float | None = None,
    ) -> None:
        self.path, self.count, self.fps = path, count, fps
        self._read = read

    def __iter__(self) -> Iterator[np.ndarray | None]:
        return self._read()


def frames_of(path: str | os.PathLike) -> Footage:
    """Opens a video file, or a folder of images in the order of their numbers.

    Args:
        path: a file that OpenCV reads (it needs the extra `video`); or a folder of
            images, or with `img/` or `color/` as OTB and VOT have it.

    Returns:
        A `Footage`.

    Raises:
        DataError: there are no frames, or OpenCV is missing.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise DataError(
            f"'{path}' does not exist: give a video file or a folder of images."
        )
    return _file(path)


def _folder(path):
    places = [path, *(path / name for name in _INSIDE if (path / name).is_dir())]
    paths = next(filter(None, map(frame_paths, places)), None)
    if not paths:
        raise DataError(f"'{path}' holds no images: put frames into it.")

    def read():
        for frame in paths:
            try:
                yield read_frame(frame)
            except (OSError, ValueError):
                yield None

    return Footage(path, read, len(paths))


def _file(path):
    cv2 = _opencv()
    with _opened(cv2, path) as video:
        count = video.get(cv2.CAP_PROP_FRAME_COUNT)
        fps = video.get(cv2.CAP_PROP_FPS)
        if not any(True for _ in _decoded(cv2, video)):
            raise DataError(f"'{path}' is a video without a frame that can be read.")

    def read():
        with _opened(cv2, path) as video:
            yield from _decoded(cv2, video)

    known = math.isfinite(count) and count > 0
    return Footage(
        path,
        read,
        int(count) if known else None,
        fps if math.isfinite(fps) and fps > 0 else None,
    )


def _decoded(cv2, video):
    """The frames of an open video; a damaged one as soon as another follows.

    Reading fails alike at a damaged frame and at the end, and where that is a file
    tells only roughly. What a decoder loses without a word (MJPEG's does) is not seen.
    """
    damaged = 0
    while damaged < _TRIES:
        there, frame = video.read()
        if not there or frame is None:
            damaged += 1
            continue
        for _ in range(damaged):
            yield None
        damaged = 0
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


@contextlib.contextmanager
def _opened(cv2: Any, path: Path) -> Iterator[Any]:
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise DataError(
                f"'{path}' is not a video that OpenCV reads. Make an .mp4 or .avi file "
                "of it, or a folder of images."
            )
        yield video
    finally:
        video.release()


def _opencv():
    # It would tell of each damaged frame on the terminal.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    try:
        import cv2
    except ImportError as error:
        raise DataError(
            "video files are read by OpenCV, which is not installed: pip install "
            "'hh_keras[video]', or give a folder of images."
        ) from error
    return cv2
