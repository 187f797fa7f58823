"""Limits on costs, and how they are written."""

import dataclasses
import re

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}


@dataclasses.dataclass(frozen=True)
class Limit:
    """A limit on a cost: a number, or a multiple of what the original costs.

    Attributes:
        value: the number, or the factor.
        relative: whether value is a factor.
        text: as the user wrote it.
    """

    value: float
    relative: bool
    text: str

    def __str__(self) -> str:
        return self.text

    def whole(self, reference: float) -> int | None:
        """Returns the limit in absolute terms, an int; None means no limit."""
        amount = self.amount(reference)
        return None if amount is None else int(amount)

    def amount(self, reference: float) -> float | None:
        """Returns the limit in absolute terms, a float; None means no limit."""
        if self.value == float("inf"):
            return None
        return float(self.value * reference if self.relative else self.value)


def parse_limit(text: str) -> Limit:
    """Reads "0.95x", "300M", "1.2G", "250k", "270896" or "none".

    Examples:
        >>> parse_limit("0.5x").whole(1000), parse_limit("1.2k").whole(0)
        (500, 1200)
    """
    lower = text.strip().lower()
    if lower == "none":
        return Limit(float("inf"), False, "none")
    number = re.fullmatch(r"(\d+\.?\d*|\.\d+)(x|[kmgbt]?)", lower)
    if not number or float(number[1]) == 0:
        raise ValueError(
            "write a multiple of the original such as 0.95x, a number such as "
            "300M, 1.2G or 250k, or none."
        )
    value, unit = float(number[1]), number[2]
    if unit == "x":
        return Limit(value, True, text)
    if not unit and value < 2:
        raise ValueError(f"{text} is a count; did you mean {text}x, a share?")
    return Limit(round(value * _UNITS[unit]), False, text)


def parse_minutes(text: str) -> float:
    """Reads "10m", "1h", "90s", "10" or "full"; minutes, 0 for "full".

    Examples:
        >>> parse_minutes("1.5h"), parse_minutes("10"), parse_minutes("full")
        (90.0, 10.0, 0.0)
    """
    lower = text.strip().lower()
    if lower == "full":
        return 0.0
    number = re.fullmatch(r"(\d+\.?\d*|\.\d+)(s|m|min|h|)", lower)
    if not number or float(number[1]) == 0:
        raise ValueError("write a time such as 10m or 1h, minutes such as 10, or full.")
    return float(number[1]) * {"s": 1 / 60, "h": 60}.get(number[2], 1)


def parse_latency(text: str) -> Limit:
    """Reads "0.5x", "12ms" or "none"; a `Limit` in milliseconds."""
    lower = text.strip().lower()
    if lower == "none":
        return Limit(float("inf"), False, "none")
    number = re.fullmatch(r"(\d+\.?\d*|\.\d+)(x|ms)", lower)
    if not number or float(number[1]) == 0:
        raise ValueError(
            "write a multiple of the original's such as 0.5x, milliseconds such as "
            "12ms, or none."
        )
    return Limit(float(number[1]), number[2] == "x", text)
