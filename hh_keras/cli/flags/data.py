"""Flags: which images, and how they come to a network."""

import re

from hh_keras.flag import COUNT, SWITCH, Checked, Choice, Flag, Number, Text


def parse_image_size(text: str) -> tuple[int, int]:
    """Reads "32" or "48x64" (height x width) into (height, width)."""
    sizes = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if not sizes or not int(sizes[1]):
        raise ValueError(text)
    return int(sizes[1]), int(sizes[2] or 0) or int(sizes[1])


DATA = (
    Flag(
        "dataset",
        Text("DATASET"),
        "embedded",
        "The images: embedded (12,000 + 2,000 real images of clothes, in the "
        "package), tfds:NAME[/CONFIG] (TensorFlow Datasets), or an image folder "
        "with train/CLASS/ and val/CLASS/. To denoise and sr: embedded is 6 + 3 "
        "photographs, and a folder needs no classes, nor train/ and val/. To segment: "
        "embedded is 240 + 60 collages, and a folder has images and masks "
        "(docs/segmentation.md). To detect: embedded is 205 + 87 images of blood "
        "cells, a folder is as COCO or VOC have it. To track: embedded is 8 + 4 "
        "synthetic sequences, a folder is as OTB, VOT, GOT-10k, COCO or VOC have it, "
        "or has crops (docs/tracking.md).",
    ),
    Flag(
        "image_size",
        Checked(
            parse_image_size, "N|HxW", "write a size in pixels such as 32 or 48x64."
        ),
        None,
        "Images are resized to this. Default: what the model takes, or else the "
        "size the data have. Grey and RGB are converted to what the model takes.",
    ),
    Flag("limit", COUNT, None, "Use at most so many images, for a quick try."),
    Flag(
        "memory_mb",
        Number(int, least=0),
        512,
        "Images that take no more, decoded, are kept in memory; others are decoded "
        "whenever they are used.",
    ),
    Flag(
        "on_bad_image",
        Choice(("skip", "fail")),
        "skip",
        "An image that cannot be read: leave it out and name it, or stop.",
    ),
)

BATCH_SIZE = Flag("batch_size", COUNT, 64, "Images per step, over all devices.")

VIEW = Flag(
    "view",
    Choice(("resize", "center", "five", "ten")),
    None,
    "How images come to the model's size: resize the whole; cut out the center, as on "
    "ImageNet (256 to 224); or average over five or ten cuts. Default: resize.",
)

ONE_VIEW = Flag(
    "view",
    Choice(("resize", "center")),
    None,
    "How images come to the model's size: resize the whole, or cut out the center, as "
    "on ImageNet (256 to 224). Default: resize.",
)

ALL_IMAGES = Flag(
    "all_images",
    SWITCH,
    False,
    "denoise and sr: of a folder without train/ and val/, measure on all images, not "
    "on every tenth only, which is what launch/run.py holds out.",
)
