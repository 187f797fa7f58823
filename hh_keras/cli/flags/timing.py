"""Flags: which files are timed, and for how long."""

from hh_keras.cli.flags.data import DATA
from hh_keras.flag import COUNT, Flag, Number, Text, named

TIMED_FILES = (
    Flag(
        "model",
        Text("FILE"),
        None,
        "A .tflite, .keras or .h5 file, or SavedModel folder. Repeat it to compare; "
        "ratios are to the first.",
        repeated=True,
        required=True,
    ),
    Flag("batch", COUNT, 1, "Examples at once, for files that leave the number open."),
    named(DATA, "image_size"),
)

TIMING = (
    Flag(
        "threads",
        COUNT,
        1,
        "Threads that a file may use, no more than there are CPUs.",
    ),
    Flag("rounds", COUNT, 100, "Timed runs of each file, at least."),
    Flag(
        "seconds",
        Number(float, least=0),
        5.0,
        "Rounds go on for so long at least, all files together.",
    ),
    Flag("warmup", Number(int, least=0), 10, "Runs of each file before them."),
)
