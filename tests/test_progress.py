import io
import sys

import pytest

from hh_keras.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("screen", [Terminal(), io.StringIO()])
def test_only_a_terminal_shows_it(monkeypatch, screen):
    monkeypatch.setattr(sys, "stderr", screen)
    assert list(progress(range(3), "counting")) == [0, 1, 2]
    with progress(None, "moving", 2) as bar:
        bar.update(1.5)
    shown = screen.getvalue()
    assert ("counting" in shown and "moving" in shown) == screen.isatty()
    assert screen.isatty() or not shown
