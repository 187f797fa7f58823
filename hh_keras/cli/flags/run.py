"""Flags: what a run takes its settings from, and where its files go."""

import re

from hh_keras.flag import SWITCH, Checked, Choice, Flag, Number, Text

CONFIGS = ("cifar10", "imagenet", "quick", "tiny_imagenet")

CONFIG = (
    Flag(
        "config",
        Choice(CONFIGS),
        None,
        "Take these settings for what is not given: files of hh_keras/cli/configs.",
    ),
    Flag("smoke", SWITCH, False, "Two steps on small embedded images: does it run?"),
)

STAGE = Flag(
    "stage",
    Choice(("all", "search", "original", "wide", "lw_dna")),
    "all",
    "Do only this part, and the search if it is not done yet; wide also trains the "
    "widened network, for comparison or as a teacher. all trains original and lw_dna "
    "and reports.",
)

SEED = Flag("seed", Number(int, 0, 2**31 - 1), 0, "The same seed, the same result.")
DEBUG = Flag("debug", SWITCH, False, "Show tracebacks and all of TensorFlow's log.")


def parse_modules(text: str) -> list[str]:
    """Reads names of Python modules, with commas between them."""
    names = [name.strip() for name in text.split(",")]
    if not all(part.isidentifier() for name in names for part in name.split(".")):
        raise ValueError
    if any(name.endswith(".py") for name in names):
        raise ValueError
    return names


IMPORT = Flag(
    "import",
    Checked(parse_modules, "MODULE,...", "write names of modules, such as my_module."),
    None,
    "Python modules to import first, such as my_module: with the classes of your own "
    "that a model file names, rules of your own, or classes to keep closed.",
)


def parse_name(text: str) -> str:
    """Reads a name that is safe as a file name."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", text):
        raise ValueError
    return text


NAME = Flag(
    "name",
    Checked(parse_name, "NAME", "use letters, digits, dots, dashes and underscores."),
    "model",
    "What the files are called.",
)

OUTPUT = Flag(
    "output",
    Text("FOLDER"),
    None,
    "Leave evaluation.json (also the accuracy of each class) and confusion.png here; "
    "of restored images, before_after.png in its stead.",
)


def workdir_flags(default: str | None) -> tuple[Flag, Flag]:
    """Flags of a command that writes files."""
    return (
        Flag("workdir", Text("FOLDER"), default, "Where all files go."),
        Flag(
            "overwrite",
            SWITCH,
            False,
            "Replace another run's files in --workdir, each once its successor is "
            "ready.",
        ),
    )
