import io
import sys

import pytest

from hh_keras import progress as module
from hh_keras.progress import duration, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def moving(monkeypatch):
    """A clock that moves by hand, and no memory of what was shown before."""
    now = [100.0]
    monkeypatch.setattr(module, "clock", lambda: now[0])
    monkeypatch.setattr(module, "_waiting", module.Waiting())
    return now


@pytest.mark.parametrize("screen", [Terminal(), io.StringIO()])
def test_what_is_short_shows_on_a_terminal_only(monkeypatch, screen):
    monkeypatch.setattr(sys, "stderr", screen)
    assert list(progress(range(3), "counting")) == [0, 1, 2]
    with progress(None, "moving", 2) as bar:
        bar.update(1.5)
    shown = screen.getvalue()
    assert ("counting" in shown and "moving" in shown) == screen.isatty()
    assert screen.isatty() or not shown


def test_a_line_every_ten_seconds_elsewhere(moving, capsys):
    for _ in progress(range(10), "learning"):
        moving[0] += 4
    lines = capsys.readouterr().err.splitlines()
    # After 12, 24 and 36 of 40 seconds.
    assert lines == [
        "  learning: 30 %, about 28 s to go",
        "  learning: 60 %, about 16 s to go",
        "  learning: 90 %, about 4 s to go",
    ]
    moving[0] += 100
    for _ in progress((i for i in range(3)), "unknown"):
        moving[0] += 6
    assert capsys.readouterr().err == "  unknown: 2 done\n"


def test_many_short_computations_count_as_one(moving, capsys):
    for _ in range(8):
        with progress(None, "mending", 2.0) as bar:
            moving[0] += 3
            bar.update(1.0)
    assert len(capsys.readouterr().err.splitlines()) == 2
    moving[0] += 60  # something else; then a wait begins anew
    assert list(progress([1], "mending")) == [1] and not capsys.readouterr().err


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (78, "1 min 20 s"), (119, "2 min")]
    + [
        (596, "10 min"),
        (594, "9 min 50 s"),
        (3599, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_are_as_exact_as_they_are_known(seconds, text):
    assert duration(seconds) == text
