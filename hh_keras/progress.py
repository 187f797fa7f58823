"""How far a long computation is: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from tqdm.auto import tqdm

EVERY = 10.0  # seconds between lines
_PAUSE = 2.0  # seconds between computations that count as one

clock = time.monotonic


class Waiting:
    """When the next line is due, for all that is shown in lines.

    Computations that follow one another at once share their wait: of many short ones a
    line tells every ten seconds, too.
    """

    def __init__(self) -> None:
        self.said, self.ended = clock(), -_PAUSE

    def begin(self) -> None:
        """A computation begins."""
        if clock() - self.ended > _PAUSE:
            self.restart()

    def restart(self) -> None:
        """The next line is due in ten seconds."""
        self.said = clock()

    def due(self) -> bool:
        """Whether it is time for a line; whoever asks then writes it."""
        self.ended = clock()  # whether it ends here or goes on
        if self.ended - self.said < EVERY:
            return False
        self.said = self.ended
        return True


_waiting = Waiting()


def duration(seconds: float) -> str:
    """About how long, for the screen: "50 s", "1 min 20 s", "12 min", "2 h 05 min"."""
    if seconds < 59.5:
        return f"{max(seconds, 0):.0f} s"
    tens = round(seconds / 10)
    if tens < 60:
        minutes, tens = divmod(tens, 6)
        return f"{minutes} min {10 * tens} s" if tens else f"{minutes} min"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def progress(steps: Iterable | None, label: str, total: float | None = None) -> Any:
    """Passes steps on and shows how many are done.

    On a terminal by a bar; else (a file, a pipe, a notebook) by a line on the standard
    error about every ten seconds, and none of what is over sooner.

    Args:
        steps: to go through; None for a bar that is moved by its `update`.
        label: what is done, a few words.
        total: how many steps; None if it is not known.

    Returns:
        An iterator, and a context, with `update(steps)`.
    """
    if not sys.stderr.isatty():
        return Lines(steps, label, total)
    few = {"bar_format": "{desc}: {percentage:.0f} %|{bar}|"} if steps is None else {}
    return tqdm(steps, label, total, leave=False, **few)


class Lines:
    """What `progress` returns where there is no terminal."""

    def __init__(self, steps: Iterable | None, label: str, total: float | None) -> None:
        if total is None and isinstance(steps, Sized):
            total = len(steps)
        self.steps, self.label, self.total = steps, label, total
        self.done, self.started = 0.0, clock()
        _waiting.begin()

    def __iter__(self) -> Iterator:
        for step in () if self.steps is None else self.steps:
            yield step
            self.update()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def update(self, steps: float = 1) -> None:
        """So many more steps are done."""
        self.done += steps
        if _waiting.due():
            print(f"  {self.label}: {self._state()}", file=sys.stderr, flush=True)

    def _state(self) -> str:
        if not self.total:
            return f"{self.done:.0f} done"
        share = min(self.done / self.total, 1)
        left = (clock() - self.started) * (1 / share - 1) if share else 0
        return f"{share:.0%}, about {duration(left)} to go".replace("%", " %")
