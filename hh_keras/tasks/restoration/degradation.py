"""What is wrong with an image that is to be restored: noise, JPEG, too few pixels."""

from __future__ import annotations

import dataclasses
import io
import re

import numpy as np
from PIL import Image

from hh_keras.data.resizing import imresize, to_pixels
from hh_keras.errors import DataError

KINDS = ("noise", "jpeg", "bicubic")


@dataclasses.dataclass(frozen=True)
class Degradation:
    """How clean images are made worse.

    Attributes:
        kind: one of `KINDS`:
            "noise": Gaussian, of standard deviation `low` to `high` in grey levels of
            255. It is neither rounded nor clipped, as in the papers.
            "jpeg": JPEG of quality `low` to `high` (1 to 100).
            "bicubic": smaller by the factor `low`, by `imresize`, rounded to uint8.
        low, high: the least and the most; between them it is drawn evenly.

    Raises:
        DataError: an unknown kind, or amounts out of range.
    """

    kind: str
    low: float
    high: float

    def __post_init__(self) -> None:
        most = {"noise": 255, "jpeg": 100, "bicubic": 8}.get(self.kind)
        if most is None:
            raise DataError(f"degradation '{self.kind}' is none of {', '.join(KINDS)}.")
        whole = self.kind == "noise" or (self.low % 1, self.high % 1) == (0, 0)
        least = {"noise": 0, "jpeg": 1, "bicubic": 2}[self.kind]
        if not (least <= self.low <= self.high <= most and whole):
            raise DataError(
                f"degradation '{self}': amounts must be {'' if whole else 'whole '}"
                f"numbers from {least} to {most}, the smaller one first."
            )
        if self.kind == "bicubic" and self.low != self.high:
            raise DataError(f"degradation '{self}': a network has one scale; give one.")

    @classmethod
    def parse(cls, text: str) -> Degradation:
        """Reads "noise:25", "noise:0-55", "jpeg:10-40" or "bicubic:2".

        Raises:
            DataError: it is none of these.
        """
        number = r"(\d+(?:\.\d+)?)"
        found = re.fullmatch(rf"(\w+):{number}(?:-{number})?", text.strip())
        if not found:
            raise DataError(
                f"degradation '{text}' is not KIND:AMOUNT or KIND:FROM-TO, such as "
                "noise:25, noise:0-55, jpeg:10-40 or bicubic:2."
            )
        kind, low, high = found.groups()
        return cls(kind, float(low), float(high or low))

    def __str__(self) -> str:
        span = (
            f"{self.low:g}" if self.low == self.high else f"{self.low:g}-{self.high:g}"
        )
        return f"{self.kind}:{span}"

    @property
    def scale(self) -> int:
        """How many times smaller images become; 1 but for "bicubic"."""
        return int(self.low) if self.kind == "bicubic" else 1

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Degrades a clean image.

        Args:
            image: uint8 `(height, width, channels)`, sides multiples of `scale`.
            rng: what random choices are drawn from.

        Returns:
            float32 `(height / scale, width / scale, channels)`, 0 to 255 but for noise.
        """
        if self.kind == "bicubic":
            return to_pixels(imresize(image, 1 / self.scale)).astype(np.float32)
        amount = rng.uniform(self.low, self.high)
        if self.kind == "noise":
            noise = rng.standard_normal(image.shape, np.float32)
            return image + np.float32(amount) * noise
        return _jpeg(image, round(amount)).astype(np.float32)


def _jpeg(image, quality):
    file = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.save(file, "JPEG", quality=quality)
    with Image.open(file) as decoded:
        return np.asarray(decoded, np.uint8).reshape(image.shape)
