"""How far a long computation is: a bar that is redrawn, or a line now and then.

`verbose` is as in Keras: 0 shows nothing, 1 bars, 2 lines, and "auto" bars on terminals
and in notebooks, lines in files and pipes.
"""

import contextlib
import contextvars
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from tqdm import tqdm

from hh_keras.errors import HHError

Verbose = int | str
EVERY = 10.0  # seconds between lines
_PAUSE = 2.0  # seconds between computations that count as one
_wanted: contextvars.ContextVar = contextvars.ContextVar("verbose", default="auto")

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


@contextlib.contextmanager
def shown(verbose: Verbose) -> Iterator:
    """Within it, so much is shown; "auto" leaves it to what is around.

    Raises:
        HHError: there is no such value.
    """
    if verbose not in ("auto", 0, 1, 2):
        raise HHError(
            f"verbose={verbose!r}: choose 0 (silent), 1 (bars), 2 (lines) or 'auto'."
        )
    token = _wanted.set(_wanted.get() if verbose == "auto" else int(verbose))
    try:
        yield
    finally:
        _wanted.reset(token)


def verbosity(stream: Any) -> int:
    """What is shown on a stream now: 0 is nothing, 1 bars, 2 lines."""
    wanted = _wanted.get()
    return (1 if redraws(stream) else 2) if wanted == "auto" else wanted


def redraws(stream: Any) -> bool:
    """Whether a line can be written over: on terminals, and in Jupyter and Colab."""
    notebook = type(stream).__module__.startswith("ipykernel.")
    return notebook or stream.isatty()


def progress(steps: Iterable | None, label: str, total: float | None = None) -> Any:
    """Passes steps on and shows how many are done.

    On a terminal or in a notebook by a bar; else (a file, a pipe) by a line on the
    standard error about every ten seconds, and none of what is over sooner. `shown`
    may want it otherwise.

    Args:
        steps: to go through; None for a bar that is moved by its `update`.
        label: what is done, a few words.
        total: how many steps; None if it is not known.

    Returns:
        An iterator, and a context, with `update(steps)`.
    """
    level = verbosity(sys.stderr)
    if level != 1:
        return Lines(steps, label, total, silent=not level)
    few = {"bar_format": "{desc}: {percentage:.0f} %|{bar}|"} if steps is None else {}
    return tqdm(steps, label, total, leave=False, **few)


class Lines:
    """What `progress` returns where no bar is drawn."""

    def __init__(
        self,
        steps: Iterable | None,
        label: str,
        total: float | None,
        silent: bool = False,
    ) -> None:
        if total is None and isinstance(steps, Sized):
            total = len(steps)
        self.steps, self.label, self.total = steps, label, total
        self.silent = silent
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
        if not self.silent and _waiting.due():
            print(f"  {self.label}: {self._state()}", file=sys.stderr, flush=True)

    def _state(self) -> str:
        if not self.total:
            return f"{self.done:.0f} done"
        share = min(self.done / self.total, 1)
        left = (clock() - self.started) * (1 / share - 1) if share else 0
        return f"{share:.0%}, about {duration(left)} to go".replace("%", " %")
