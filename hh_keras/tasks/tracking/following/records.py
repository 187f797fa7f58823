"""What a tracked video leaves: boxes as text, and frames with the box drawn."""

import contextlib
import csv
import pathlib
import types
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from hh_keras.errors import WorkdirError
from hh_keras.tasks.tracking.data.footage import Footage
from hh_keras.tasks.tracking.following.steps import Step

_COLOUR, _LOST = (217, 95, 2), (160, 160, 160)
_SURE = 0.3  # of a score below it, the box is drawn grey


_RESULTS = "boxes.csv", "boxes.txt", "frames", "tracked.mp4"


class Record:
    """Files of a tracked video, a line at a time; use it as a context.

    Args:
        folder: where to.
        footage: what is tracked in; frames of a folder are written as images, of a
            video file as a video.
        draw: whether to write frames at all.
        overwrite: replace earlier results.

    Raises:
        WorkdirError: there are earlier results, or the folder cannot be written to.
    """

    def __init__(
        self, folder: str, footage: Footage, draw: bool, overwrite: bool
    ) -> None:
        self.folder, self.footage, self.draw = pathlib.Path(folder), footage, draw
        self.frames = self.damaged = self.unsure = 0
        self.seconds, self.video, self.table, self.boxes = 0.0, None, None, None
        self.waiting: list[Step] = []
        for there in (self.folder / name for name in _RESULTS):
            if there.resolve() == footage.path.resolve():
                raise WorkdirError(
                    f"--output={folder} would write over {footage.path}, which is "
                    "tracked in: give another --output."
                )
            if there.exists() and not overwrite:
                raise WorkdirError(
                    f"{there} exists: give another --output, or --overwrite to replace "
                    "it."
                )
        with self._written():
            self.folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def _written(self):
        try:
            yield
        except OSError as error:
            raise WorkdirError(
                f"--output={self.folder} cannot be written: {error}"
            ) from error

    def _open(self):
        """Once there is something to tell: until then, earlier results stay."""
        with self._written():
            for name in ("tracked.mp4", f"frames/{6 * '[0-9]'}.jpg"):
                for earlier in self.folder.glob(name):
                    earlier.unlink()
            self.table = (self.folder / "boxes.csv").open("w", newline="")
            self.boxes = (self.folder / "boxes.txt").open("w")
        self.rows = csv.writer(self.table)
        self.rows.writerow(["frame", "left", "top", "width", "height", "score"])

    def __enter__(self) -> "Record":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        for file in (self.table, self.boxes):
            if file is not None:
                file.close()
        if self.video is not None:
            self.video.release()

    def add(self, step: Step) -> None:
        """Writes one frame; those before the first that can be read, with it."""
        self.waiting.append(step)
        if self.table is None:
            if step.frame is None:
                return
            self._open()
        for each in self.waiting:
            self._write(each)
        self.waiting.clear()

    def _write(self, step):
        left, top, width, height = step.box
        numbers = [f"{value:.2f}" for value in step.box]
        self.rows.writerow([step.number, *numbers, f"{step.score:.4f}"])
        counted = f"{left + 1:.2f},{top + 1:.2f},{width:.2f},{height:.2f}"
        self.boxes.write(counted + "\n")  # OTB counts from 1
        for file in (self.table, self.boxes):
            file.flush()
        self.frames += 1
        self.damaged += step.frame is None
        self.unsure += step.frame is not None and step.score < _SURE
        self.seconds += step.seconds
        if self.draw and step.frame is not None:
            self._draw(step)

    def _draw(self, step):
        image = drawn(step)
        if self.footage.path.is_dir():
            folder = self.folder / "frames"
            folder.mkdir(exist_ok=True)
            Image.fromarray(image).save(
                folder / f"{step.number + 1:06d}.jpg", quality=90
            )
            return
        if self.video is None:
            self.video, self.size = _writer(self.folder, self.footage, image)
        if image.shape[1::-1] != self.size:
            image = np.asarray(Image.fromarray(image).resize(self.size))
        self.video.write(np.ascontiguousarray(image[..., ::-1]))

    def summary(self) -> str:
        """A few lines on what was done."""
        read = self.frames - self.damaged
        speed = read / self.seconds if self.seconds else 0.0
        text = f"{self.frames} frames, {speed:.0f} per second without decoding"
        if self.damaged:
            text += f"; {self.damaged} could not be read and carry the box before them"
        if self.unsure:
            text += f"; {self.unsure} times the target was hardly to be seen"
        names = ["boxes.csv", "boxes.txt"]
        if self.draw and read:
            names.append("frames/" if self.footage.path.is_dir() else "tracked.mp4")
        return f"{text}\nWritten: {', '.join(str(self.folder / n) for n in names)}"


def drawn(step: Step) -> np.ndarray:
    """The frame with the box in it, uint8; grey where the target is hardly seen."""
    assert step.frame is not None
    image = Image.fromarray(step.frame)
    left, top, width, height = step.box
    thick = max(1, round(min(image.size) / 160))
    ImageDraw.Draw(image).rectangle(
        (left, top, left + width, top + height),
        outline=_COLOUR if step.score >= _SURE else _LOST,
        width=thick,
    )
    return np.asarray(image)


def _writer(folder: pathlib.Path, footage: Footage, image: np.ndarray) -> Any:
    """An OpenCV video writer, and the size that it takes."""
    import cv2  # it has read the video

    size = image.shape[1], image.shape[0]
    code = cv2.VideoWriter.fourcc(*"mp4v")
    path = str(folder / "tracked.mp4")
    video = cv2.VideoWriter(path, code, footage.fps or 25.0, size)
    if not video.isOpened():
        raise WorkdirError(
            f"{path} cannot be written by this OpenCV: --nodraw leaves it out."
        )
    return video, size
