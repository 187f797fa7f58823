"""Commands are named as they were started: `launch/run.py`, or `hh-keras-run`."""

import pathlib
import re
import sys

_SCRIPT = re.compile(r"(?:python )?launch/(\w+)\.py")


def as_started(text: str) -> str:
    """The text, with installed commands in the place of scripts if one is running."""
    installed = pathlib.Path(sys.argv[0]).name.startswith("hh-keras-")
    return _SCRIPT.sub(r"hh-keras-\1", text) if installed else text
