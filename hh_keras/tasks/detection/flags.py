"""Flags: what --task=detect means for the others."""

from hh_keras.tasks.registry import TaskFlags

FLAGS = TaskFlags(
    names=("detect",),
    about="detect: find things of several classes and the boxes around them "
    "(docs/detection.md)",
    augmentations=("none", "detect", "detect_any_way_up"),
    own=("image_size",),
    smoke={"limit": 4, "batch_size": 2, "check_images": 2},
)
