"""The images that trained networks are made smaller with and tested on.

Needs no TensorFlow: the peers of `trained.py` read the same images in their own
environments.
"""

import functools
import pathlib

import numpy as np
from PIL import Image

SIZE = 224


def centre(path):
    """The middle of a photograph, uint8 `(224, 224, 3)`."""
    image = Image.open(path).convert("RGB")
    if min(image.size) < SIZE:
        factor = SIZE / min(image.size)
        image = image.resize([max(SIZE, round(n * factor)) for n in image.size])
    x, y = ((n - SIZE) // 2 for n in image.size)
    return np.asarray(image.crop((x, y, x + SIZE, y + SIZE)))


def calibration_paths(folder):
    samples = sorted((pathlib.Path(folder) / "imagenet1k_samples").rglob("*.jpg"))
    order = np.random.default_rng(0).permutation(len(samples))
    return [samples[k] for k in order]


def square(path):
    """The largest square of a photograph, uint8 `(256, 256, 3)`."""
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    x, y = ((n - side) // 2 for n in image.size)
    return np.asarray(image.crop((x, y, x + side, y + side)).resize((256, 256)))


@functools.cache
def photographs(folder):
    """`(calibration, tests, labels of the tests)`, pixels as uint8."""
    place = pathlib.Path(folder) / "imagenet_val1300"
    table = next(place.rglob("labels.tsv"))
    rows = [line.split("\t") for line in table.read_text("utf-8").splitlines()]
    rows = [row for row in rows if row[1].isdigit()]
    tests = [next(place.rglob(row[0])) for row in rows]
    return (
        np.stack([centre(path) for path in calibration_paths(folder)]),
        np.stack([centre(path) for path in tests]),
        np.array([int(row[1]) for row in rows]),
    )


def cifar10(folder, part, limit=None):
    """`(pixels, labels)` of `cifar10/<part>/<class>/*.jpg`, in a seeded order.

    Pixels are uint8 `(images, 32, 32, 3)`, labels places of the sorted classes.
    """
    place = next(pathlib.Path(folder).rglob(f"cifar10/{part}"), None)
    paths = sorted(place.glob("*/*.jpg")) if place else []
    if not paths:
        raise SystemExit(f"--photos={folder}: no cifar10/{part}/<class>/*.jpg there.")
    classes = sorted({path.parent.name for path in paths})
    order = np.random.default_rng(0).permutation(len(paths))[:limit]
    paths = [paths[k] for k in order]
    pixels = np.stack([np.asarray(Image.open(p).convert("RGB")) for p in paths])
    return pixels, np.array([classes.index(path.parent.name) for path in paths])
