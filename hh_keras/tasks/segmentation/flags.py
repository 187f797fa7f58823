"""Flags: what --task=segment adds to the others, and means for them."""

from hh_keras.flag import Flag, Number, Text
from hh_keras.tasks.registry import TaskFlags

_OWN = (
    Flag(
        "classes",
        Text("NAMES"),
        None,
        "segment: what the values of masks mean, in the order of the network's "
        "outputs: background,person (0 and 1), 0:background,255:person, or "
        "#000000:background,#ff0000:person for masks in colours; `ignore` counts "
        "nowhere. Default: the lines of classes.txt in the data set's folder.",
    ),
    Flag(
        "ignore_index",
        Number(int, least=0),
        None,
        "segment: one more value of mask pixels that count nowhere, such as 255.",
    ),
)

FLAGS = TaskFlags(
    names=("segment",),
    about="segment: give every pixel a class (docs/segmentation.md)",
    augmentations=("none", "flip", "flip_scale_colour"),
    flags=_OWN,
    own=(
        *(flag.name for flag in _OWN),
        "patch",
        "patches_per_image",
        "channels",
        "tile",
    ),
    smoke={"limit": 2, "patch": 32, "batch_size": 2, "check_images": 2},
)
