"""How numbers are written: one place, so that pictures and page agree.

Each function takes None or NaN for "not known" and writes a dash.
"""

import functools
import math
from typing import Any, TypeGuard

DASH = "–"


def known(value: Any) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def _dash_for_unknown(write):
    @functools.wraps(write)
    def checked(*values):
        return write(*values) if all(map(known, values)) else DASH

    return checked


@_dash_for_unknown
def millions(count: float) -> str:
    """Three digits and a unit: 1234567 -> "1.23 M"."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        # 999,600 is "1.00 M", not "1000 k".
        if count >= 0.9995 * size:
            return f"{_three_digits(count / size)} {unit}"
    return f"{count:.0f}"


@_dash_for_unknown
def tick(count: float) -> str:
    """The same for axes, with no more digits than needed: 2500000 -> "2.5 M"."""
    number, *unit = (f"{count:.3g}" if count < 999 else millions(count)).split(" ")
    number = number.rstrip("0").rstrip(".") if "." in number else number
    return " ".join([number, *unit])


@_dash_for_unknown
def file_size(count: float) -> str:
    """Bytes: 1234567 -> "1.23 MB"."""
    text = millions(count)
    return text + "B" if " " in text else text + " B"


@_dash_for_unknown
def whole(count: float) -> str:
    """12345 -> "12,345"."""
    return f"{count:,.0f}"


@_dash_for_unknown
def percent(share: float) -> str:
    """0.12345 -> "12.35 %"; for accuracies."""
    return f"{share:.2%}".replace("%", " %")


@_dash_for_unknown
def rough_percent(share: float) -> str:
    """0.12345 -> "12 %"."""
    return f"{share:.0%}".replace("%", " %")


@_dash_for_unknown
def decimals(value: float) -> str:
    """0.12345 -> "0.1235"; for losses."""
    return f"{value:.4f}"


@_dash_for_unknown
def decibels(value: float) -> str:
    """31.2345 -> "31.23 dB"."""
    return f"{value:.2f} dB"


@_dash_for_unknown
def decibels_more(before: float, after: float) -> str:
    """(31.2, 31.25) -> "+0.05 dB"."""
    return _signed(after - before, 2) + " dB"


@_dash_for_unknown
def small(value: float) -> str:
    """0.000012345 -> "1.2e-05"; for differences between outputs."""
    return f"{value:.2g}"


@_dash_for_unknown
def milliseconds(value: float) -> str:
    """1.2345 -> "1.23 ms"."""
    return f"{_three_digits(value)} ms"


@_dash_for_unknown
def duration(seconds: float) -> str:
    """75.2 -> "1 min 15 s"; 7.51 -> "7.5 s"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


@_dash_for_unknown
def change(before: float, after: float) -> str:
    """(200, 190) -> "−5.0 %"."""
    return _signed(100 * (after / before - 1), 1) + " %" if before else DASH


@_dash_for_unknown
def points(before: float, after: float) -> str:
    """Difference of two shares: (0.88, 0.89) -> "+1.00 points"."""
    return _signed(100 * (after - before), 2) + " points"


@_dash_for_unknown
def difference(before: float, after: float) -> str:
    """(0.5, 0.45) -> "−0.0500"."""
    return _signed(after - before, 4)


def _three_digits(value):
    """Like the format .3g, but with all three digits and no exponent."""
    magnitude = math.floor(math.log10(value * 1.0005)) if value > 0 else 0
    return f"{value:.{min(4, max(0, 2 - magnitude))}f}"


def _signed(value, digits):
    """A sign, except for zero; the minus is as wide as the plus."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")
