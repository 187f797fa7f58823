"""Which tests are slow: those that took long when all were last timed, in slow.txt.

    pytest --junitxml=times.xml
    python tests/slow.py times.xml

What `pytest -m "not slow"` leaves out; tests that are not listed, new ones, are run.
"""

import pathlib
import sys
import xml.etree.ElementTree

LISTED = pathlib.Path(__file__).with_suffix(".txt")
LIMIT = 0.15  # seconds, at which what is left takes two cores less than three minutes


def listed() -> set[str]:
    """Names of slow tests, as pytest has them."""
    return set(LISTED.read_text().splitlines())


def slow(path: str) -> list[str]:
    """The names of those that took longer than `LIMIT` by a JUnit file."""
    cases = xml.etree.ElementTree.parse(path).iter("testcase")
    return sorted(
        f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}"
        for case in cases
        if float(case.get("time")) > LIMIT
    )


if __name__ == "__main__":
    LISTED.write_text("\n".join(slow(sys.argv[1])) + "\n")
