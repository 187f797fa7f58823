"""Makes the embedded tracking sequences out of the embedded photographs.

    python -m hh_keras.data.embedded.prepare_sequences --output DIR

They are synthetic: something cut out of one photograph moves over another. It wanders,
grows and shrinks, turns, is squeezed and lit; the camera wanders too, shakes, and blurs
what moves; other things cross. So the boxes are exact. The same seed gives the same
scenes; another Pillow may write other bytes.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from hh_keras.data.embedded import PHOTOGRAPHS
from hh_keras.data.embedded.scenes import SCENES, THINGS, Scene

SIZE = 240, 180
FRAMES = 42
SEED = 20
QUALITY = 43
_FINER = 2  # pixels are drawn in so many parts
_EXPOSURES = 3  # moments of a frame, over half of the time to the next
_EDGE = 0.7  # how soft an outline is, pixels of the frame
_MARGIN = 6  # around what is cut out, pixels of the photograph


def prepare(output: Path, frames: int = FRAMES) -> None:
    """Writes all sequences below `output`, `PART/NAME/` as OTB lays them out."""
    number = 0
    for part, scenes in SCENES.items():
        for scene in scenes:
            write(scene, Path(output, part, scene.name), frames, (SEED, number))
            number += 1


def write(scene: Scene, folder: Path, frames: int, seed: tuple[int, ...]) -> None:
    """Draws one scene; `groundtruth_rect.txt` has columns and rows counted from 1."""
    (folder / "img").mkdir(parents=True, exist_ok=True)
    lines = []
    for number, (image, box) in enumerate(_drawn(scene, frames, seed), 1):
        image.save(
            folder / "img" / f"{number:04d}.jpg",
            quality=QUALITY,
            optimize=True,
            progressive=True,
        )
        left, top, width, height = box
        lines.append(f"{left + 1:.1f},{top + 1:.1f},{width:.1f},{height:.1f}\n")
    (folder / "groundtruth_rect.txt").write_text("".join(lines).replace("nan", "NaN"))


def _drawn(scene, frames, seed):
    """The frames of a scene, each with the box of what is seen of its target."""
    take = _Take.of(frames, np.random.default_rng(seed))
    behind = _background(take, scene.over)
    target = _Thing(take, scene.target, scene.pace, light=scene.light)
    others = [_Thing(take, x, scene.pace, away=target) for x in scene.others]
    before = [_Thing(take, x, scene.pace, away=target) for x in scene.before]
    glow = _wander(take, 0.85, 1.15)
    tint = np.stack([_wander(take, 0.95, 1.05) for _ in range(3)], -1)
    for k in range(frames):
        moments = []
        for moment in [(k, j) for j in range(_EXPOSURES)]:
            canvas = behind(moment)
            for thing in (*others, target, *before):
                thing.draw_on(canvas, moment)
            moments.append(np.asarray(canvas, float))
        middle = k, _EXPOSURES // 2
        pixels = np.mean(moments, 0) * glow[middle] * tint[middle]
        image = Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))
        yield image.reduce(_FINER), target.box(middle)


@dataclasses.dataclass(frozen=True)
class _Take:
    """When there is light on the film, and how the camera shakes meanwhile.

    Attributes:
        rng: where all chance comes from.
        times: float `(frames, moments)`.
        shake: float `(frames, moments, 2)`, pixels across and down.
    """

    rng: np.random.Generator
    times: np.ndarray
    shake: np.ndarray

    @classmethod
    def of(cls, frames, rng):
        times = np.arange(frames)[:, None] + np.arange(_EXPOSURES) / (2 * _EXPOSURES)
        jolts = gaussian_filter1d(rng.normal(size=(2, frames + 1)), 1, axis=1)
        shake = [np.interp(times, np.arange(frames + 1), 1.2 * x) for x in jolts]
        return cls(rng, times, np.stack(shake, -1))

    def through(self, values):
        """A smooth way through values; the same time lies between any two.

        It rests in the first frame, which a tracker is shown, and in the last.
        """
        when = np.linspace(0, self.times.max(), len(values))
        return CubicSpline(when, values, bc_type="clamped")(self.times)


def _wander(take, low, high, turns=4):
    return take.through(take.rng.uniform(low, high, turns))


def _roam(take, pace, start=None, turns=5):
    """A way through the frame whose turning points are `pace` apart.

    It begins well away from `start`, the place where another one begins.
    """
    low, high = np.array([40, 36]), np.array(SIZE) - (40, 36)
    point = take.rng.uniform(low, high)
    while start is not None and np.linalg.norm(point - start) < 75:
        point = take.rng.uniform(low, high)
    points = [point]
    while len(points) < turns:
        angle = take.rng.uniform(0, 2 * np.pi)
        point = points[-1] + pace * np.array([np.cos(angle), np.sin(angle)])
        if ((low <= point) & (point <= high)).all():
            points.append(point)
    return take.through(points)


def _background(take, name):
    """A function of the moment: the photograph as the camera sees it then."""
    with Image.open(PHOTOGRAPHS / name) as opened:
        photo = opened.convert("RGB").filter(ImageFilter.GaussianBlur(1.2))
    photo_size = np.array(photo.size)
    # The widest view that fits, and how close the camera goes.
    widest = min(2, *(photo_size / SIZE))
    zoom = widest * _wander(take, 0.55, 0.75)
    roll = np.deg2rad(_wander(take, -4, 4))
    free = np.maximum(photo_size / 2 - 0.56 * zoom.max() * np.array(SIZE), 0)
    middle = photo_size / 2 + free * np.stack([_wander(take, -1, 1) for _ in "xy"], -1)

    def seen(moment):
        matrix = zoom[moment] / _FINER * _rotation(roll[moment])
        at = middle[moment] - zoom[moment] * take.shake[moment]
        return _through(photo, matrix, at - matrix @ (_FINER * np.array(SIZE) / 2))

    return seen


class _Thing:
    """Something cut out, with its way through the frame."""

    def __init__(self, take, name, pace, light=1.0, away=None):
        photo, side, outline = THINGS[name]
        low, high = np.min(outline, 0), np.max(outline, 0)
        self.middle = (low + high) / 2
        self.outline = outline - self.middle
        self.unit = float(side / max(high - low))
        self.image, self.scale, self.corner = _cut(photo, outline, self.unit)
        start = None if away is None else away.place[0, 0]
        self.place = _roam(take, pace, start) + take.shake
        self.size = np.exp(_wander(take, -0.3, 0.3))
        self.turn = np.deg2rad(_wander(take, -22, 22))
        self.wide = _wander(take, 0.75, 1.1)
        self.light = light * _wander(take, 0.8, 1.2)

    def _pose(self, moment):
        """The matrix from the outline's pixels, about its middle, to the frame's."""
        stretch = self.size[moment] * np.diag([self.wide[moment], 1])
        return self.unit * _rotation(self.turn[moment]) @ stretch

    def draw_on(self, canvas, moment):
        matrix = self.scale * np.linalg.inv(_FINER * self._pose(moment))
        start = self.scale * (self.middle - self.corner)
        layer = _through(
            self.image, matrix, start - matrix @ (_FINER * self.place[moment])
        )
        *bands, alpha = layer.split()
        light = self.light[moment]
        lit = [band.point(lambda value: min(255, light * value)) for band in bands]
        canvas.paste(Image.merge("RGB", lit), (0, 0), alpha)

    def box(self, moment):
        """The box of what is within the frame; NaN if that is little."""
        corners = self.outline @ self._pose(moment).T + self.place[moment]
        low, high = corners.min(0), corners.max(0)
        seen_low, seen_high = np.maximum(low, 0), np.minimum(high, SIZE)
        seen = np.maximum(seen_high - seen_low, 0)
        if seen.prod() < 0.2 * (high - low).prod():
            return [np.nan] * 4
        return [*seen_low, *seen]


def _cut(name, outline, unit):
    """What is within an outline, an RGBA image, with its scale and its corner."""
    low = np.floor(np.min(outline, 0) - _MARGIN).clip(0)
    with Image.open(PHOTOGRAPHS / name) as opened:
        photo = opened.convert("RGB")
    high = np.ceil(np.max(outline, 0) + _MARGIN).clip(0, photo.size)
    part = photo.crop((*map(int, low), *map(int, high)))
    mask = Image.new("L", (4 * part.width, 4 * part.height))
    corners = 4 * (np.array(outline) - low)
    ImageDraw.Draw(mask).polygon([tuple(corner) for corner in corners], fill=255)
    # As large as it will be seen at most, so that nothing is skipped.
    scale = min(1.0, _FINER * unit * 1.4)
    size = [round(scale * n) for n in part.size]
    part, mask = (x.resize(size, Image.Resampling.LANCZOS) for x in (part, mask))
    part.putalpha(mask.filter(ImageFilter.GaussianBlur(_EDGE * scale / unit)))
    return part, scale, low


def _rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _through(image, matrix, start):
    """What is at `matrix @ pixel + start` of an image, for each pixel of the canvas."""
    data = np.c_[matrix, start].ravel()
    return image.transform(
        tuple(_FINER * n for n in SIZE),
        Image.Transform.AFFINE,
        tuple(data),
        Image.Resampling.BICUBIC,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, help="folder to write below")
    prepare(parser.parse_args().output)


if __name__ == "__main__":
    main()
