"""Follows one object through a video with a trained tracker.

python launch/track.py --help
"""

import pathlib
import sys

if not __package__:  # started as a file: find hh_keras
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from hh_keras.cli.commands.track import entry

if __name__ == "__main__":
    sys.exit(entry())
