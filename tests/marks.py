"""Which tests are slow, and which long: by how long they took when last timed.

    pytest -m "" --junitxml=times.xml
    python tests/marks.py times.xml ...

`pytest` leaves out those in long.txt, `pytest -m "not slow"` those in slow.txt besides;
new tests, which no list has, are run. Of several files the longest time counts: without
one test, another may have to prepare what both need.
"""

import collections
import pathlib
import sys
import xml.etree.ElementTree

LIMITS = {"slow": 0.15, "long": 2.5}
"""Seconds; at these, the rest takes two cores less than three and twelve minutes."""

_HERE = pathlib.Path(__file__).parent


def listed() -> dict[str, set[str]]:
    """The names of the tests of each mark, as pytest has them."""
    return {mark: set(_list(mark).read_text().splitlines()) for mark in LIMITS}


def _list(mark: str) -> pathlib.Path:
    return _HERE / f"{mark}.txt"


def times(paths: list[str]) -> dict[str, float]:
    """Seconds that tests took at most, by JUnit files."""
    found: dict[str, float] = collections.defaultdict(float)
    for path in paths:
        for case in xml.etree.ElementTree.parse(path).iter("testcase"):
            name = f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}"
            found[name] = max(found[name], float(case.get("time")))
    return found


if __name__ == "__main__":
    took = times(sys.argv[1:])
    for mark, limit in LIMITS.items():
        names = sorted(name for name, seconds in took.items() if seconds > limit)
        _list(mark).write_text("\n".join(names) + "\n")
