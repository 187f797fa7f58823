"""Flags: what --task=track adds to the others, and means for them."""

import re

from hh_keras.flag import COUNT, SWITCH, Checked, Choice, Flag, Number
from hh_keras.tasks.registry import TaskFlags


def parse_strides(text: str) -> tuple[int, ...]:
    """Reads "4,8,16" into (4, 8, 16)."""
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise ValueError(text)
    strides = tuple(map(int, text.split(",")))
    if list(strides) != sorted(set(strides)) or not strides[0]:
        raise ValueError(text)
    return strides


_OWN = (
    Flag(
        "tracker",
        Choice(("filter", "descent", "siamese")),
        "filter",
        "track: how the target is found on the features of --model: by a ridge "
        "regression in closed form that is renewed while it follows, one by steepest "
        "descent, or by a head on products with the exemplar's features.",
    ),
    Flag(
        "strides",
        Checked(parse_strides, "N,N", "write increasing strides such as 4,8,16."),
        None,
        "track: which features of --model are used, in pixels from one to the next. "
        "Default: the last three up to 16.",
    ),
    Flag(
        "sides",
        SWITCH,
        True,
        "track: a head that corrects the filters' answer, and tells the four sides of "
        "the target as well; --nosides is filters alone.",
    ),
    Flag(
        "gap",
        COUNT,
        50,
        "track: exemplar and search image are at most so many frames apart.",
    ),
    Flag(
        "negatives",
        Number(float, 0, 0.9),
        0.1,
        "track: share of search images that show another object.",
    ),
    Flag(
        "pairs",
        COUNT,
        None,
        "track: pairs in an epoch. Default: 20 for each video, one for each image.",
    ),
)

FLAGS = TaskFlags(
    names=("track",),
    about="track: follow one object through a video, on the features of any network "
    "(docs/tracking.md)",
    augmentations=("none", "track"),
    flags=_OWN,
    own=(*(flag.name for flag in _OWN), "image_size"),
    smoke={"limit": 2, "pairs": 8, "batch_size": 4, "check_images": 2},
)
