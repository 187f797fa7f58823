"""Measures the latency of .tflite files, SavedModels and .keras files on this machine.

python launch/benchmark.py --help
"""

import pathlib
import sys

if not __package__:  # started as a file: find hh_keras
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from hh_keras.cli.commands.benchmark import entry

if __name__ == "__main__":
    sys.exit(entry())
