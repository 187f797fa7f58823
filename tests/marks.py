"""Which tests are slow, and which long: by how long they would take alone.

    pytest -m "" --junitxml=times.xml
    python tests/marks.py times.xml ...

`pytest` leaves out those in long.txt, `pytest -m "not slow"` those in slow.txt besides;
new tests, which no list has, are run. Of several files the longest time counts: without
one test, another may have to prepare what both need. What a fixture prepares for a
module is in the time of the first test that uses it, so all others are charged with it.
"""

import collections
import pathlib
import sys
import xml.etree.ElementTree
from collections.abc import Iterable, Mapping, Sequence

import pytest

LIMITS = {"slow": (0.15, 1.0), "long": (2.5, 10.0)}
"""Seconds of a test, and of what is prepared for it and others; less than that may be
what the first test does itself. At these, the rest takes two cores less than three and
twelve minutes."""

_HERE = pathlib.Path(__file__).parent


def listed() -> dict[str, set[str]]:
    """The names of the tests of each mark, as pytest has them."""
    return {mark: set(_list(mark).read_text().splitlines()) for mark in LIMITS}


def _list(mark: str) -> pathlib.Path:
    return _HERE / f"{mark}.txt"


def times(path: str | pathlib.Path) -> dict[str, float]:
    """Test → seconds, in the order of a JUnit file: that in which tests were done."""
    found = {}
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}"
        found[name] = float(case.get("time"))
    return found


def shared(test: pytest.Item) -> set[tuple[str, str]]:
    """The fixtures of this suite that a test shares with others, `(where, name)`."""
    found = (each[-1] for each in test._fixtureinfo.name2fixturedefs.values() if each)
    return {(f.baseid, f.argname) for f in found if f.scope != "function" and f.baseid}


def above(
    limits: tuple[float, float],
    runs: Sequence[Mapping[str, float]],
    fixtures: Mapping[str, Iterable],
) -> set[str]:
    """Tests that take more than one of the limits with all that they need.

    Args:
        limits: see `LIMITS`.
        runs: of each what `times` found.
        fixtures: of each test there is, those that it shares.
    """
    users = collections.defaultdict(set)
    for test, own in fixtures.items():
        for fixture in own:
            users[fixture].add(test)
    found = {t for t in fixtures if any(run.get(t, 0) > limits[0] for run in runs)}
    for tests in users.values():
        # Whichever used it first prepared it: that took no longer than any of these.
        firsts = [next((run[t] for t in run if t in tests), None) for run in runs]
        if min((s for s in firsts if s is not None), default=0) > limits[1]:
            found |= tests
    return found


class _Collected:
    """A plugin of pytest that keeps what `above` takes of the tests."""

    def pytest_collection_modifyitems(self, items):
        self.fixtures = {item.nodeid: shared(item) for item in items}


if __name__ == "__main__":
    collected = _Collected()
    flags = ["--collect-only", "-qq", "-m", "", "-n0", str(_HERE)]
    if failed := pytest.main(flags, [collected]):
        sys.exit(failed)
    runs = [times(path) for path in sys.argv[1:]]
    for mark, limits in LIMITS.items():
        names = sorted(above(limits, runs, collected.fixtures))
        _list(mark).write_text("\n".join(names) + "\n")
