"""How the networks' answers become a path: numbers, checked, and read from a file.

Imports neither Keras nor TensorFlow.
"""

import dataclasses
import math
from typing import Any

from hh_keras.errors import ModelError
from hh_keras.tasks.tracking.data.cropping import CONTEXT


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the networks' answers become a path.

    Attributes:
        rate: share of the filters that a renewal renews.
        renew_every: frames from one renewal to the next.
        scales: sizes that are tried, as factors; 1 is one of them.
        scale_every: frames from one trial of other sizes to the next.
        scale_rate: share of a new size that is believed, of those that are tried.
        sides_rate: the same of sides that a network tells; 0 tries sizes instead.
        scale_penalty: factor on the score of every other size than the present.
        window: share of the cosine window in the score: how much a target is expected
            near where it was.
        lost: a score below it leaves size and kernel as they are.
        grow: how many times larger or smaller a target may become in all.

    Raises:
        ModelError: one is out of its range.
    """

    rate: float = 0.1
    renew_every: int = 2
    scales: tuple[float, ...] = (1 / 1.05, 1.0, 1.05)
    scale_every: int = 3
    scale_rate: float = 0.6
    sides_rate: float = 0.0
    scale_penalty: float = 0.98
    window: float = 0.2
    lost: float = 0.15
    grow: float = 6.0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not (_is_number(value) and low <= value <= high):
                known = f"from {low:g} to {high:g}"
                known = known if high < math.inf else f"of at least {low:g}"
                raise ModelError(f"setting {name}={value!r}: use a number {known}.")
        for name in ("renew_every", "scale_every"):
            if not isinstance(getattr(self, name), int):
                raise ModelError(
                    f"setting {name}={getattr(self, name)!r}: use a whole number."
                )
        least, most = _SCALES
        scales = self.scales if isinstance(self.scales, tuple) else ()
        fit = (_is_number(scale) and least <= scale <= most for scale in scales)
        if not (1 in scales and all(fit)):
            raise ModelError(
                f"setting scales={self.scales!r}: use factors from {least:g} to "
                f"{most:g}, one of which is 1."
            )


_RANGES = {
    "rate": (0, 1),
    "renew_every": (1, math.inf),
    "scale_every": (1, math.inf),
    "scale_rate": (0, 1),
    "sides_rate": (0, 1),
    "scale_penalty": (0, 1),
    "window": (0, 1),
    "lost": (-10, 10),
    "grow": (1, math.inf),
}
_SCALES = 0.25, 4


def _is_number(value):
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return known and math.isfinite(value)


def read_settings(section: Any, where: str) -> Settings:
    """The settings of the section "tracker" of a `.json` beside a tracker's file.

    Args:
        section: a dict with `context` and `settings`, all of them.
        where: what messages call it.

    Raises:
        ModelError: it has others than there are, or such as make no sense.
    """
    again = "export it again, or put that right."
    found = section.get("settings") if isinstance(section, dict) else None
    if not isinstance(found, dict):
        raise ModelError(f'{where}: section "tracker" has no "settings"; {again}')
    if section.get("context") != CONTEXT:
        # What a network has learnt to see, no setting.
        raise ModelError(
            f'{where}: "context" is {section.get("context")!r}, this version of '
            f"hh_keras cuts out squares of {CONTEXT:g}; {again}"
        )
    known = [field.name for field in dataclasses.fields(Settings)]
    for names, what in (
        ([name for name in known if name not in found], "lacks the setting"),
        ([name for name in found if name not in known], "has an unknown setting,"),
    ):
        if names:
            raise ModelError(f"{where} {what} {', '.join(names)}; {again}")
    scales = found["scales"]
    try:
        return Settings(
            **{**found, "scales": tuple(scales) if isinstance(scales, list) else ()}
        )
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from error
