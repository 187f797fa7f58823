"""A task as the commands know it: where data come from, what is written and said."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from absl.flags import FlagValues
from matplotlib.figure import Figure

from hh_keras.data import ImageData, unlabelled
from hh_keras.export import About
from hh_keras.flag import given
from hh_keras.training import Task


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model file scored.

    Attributes:
        scores: name → value.
        examples: how many were evaluated.
        facts: what evaluation.json says, scores included.
        pictures: function that returns name → figure, of those beside it.
        remark: a line for the screen.
    """

    scores: Mapping[str, float]
    examples: int
    facts: Mapping[str, Any]
    pictures: Callable[[], Mapping[str, Figure]]
    remark: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class FileChecks:
    """How the exported files of one network are made and checked.

    Attributes:
        expected: returns what files are compared with, a dict with the goal's key.
        make: `make(kind, path, expected)` writes one file and returns what was found,
            a dict with the goal's key, bytes, drop, and the fields of a
            `hh_keras.export.Parity`.
    """

    expected: Callable[[], dict]
    make: Callable[[str, pathlib.Path, dict], dict]


@dataclasses.dataclass(frozen=True)
class FileWords:
    """How the report on exported files is worded.

    Attributes:
        about: what the columns of the goal, `change` and `likeness` are.
        likeness: how alike a file and its network are: the column's title.
        write_likeness: a file's row to the column's text.
        line: a file's row to its part of a line on the screen.
        lost: `lost(network, row)` says what a file scores, and its network.
    """

    about: str
    likeness: str
    write_likeness: Callable[[Mapping], str]
    line: Callable[[Mapping], str]
    lost: Callable[[Mapping, Mapping], str]


def calibration_images(
    args: FlagValues, data: Any, folder: str, count: int, view: str = "resize"
) -> np.ndarray:
    """Images of a folder, in the shape that the model takes; see `Application`."""
    return unlabelled(folder, data.image_shape, count, given(args, "seed", 0), view)


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A network as it is deployed, whole or one of its parts.

    Attributes:
        network: a Keras model.
        inputs: what its files are checked on: an array `(n, ...)`; a tuple of them of a
            network with several inputs.
        about: of `hh_keras.export.tflite`.
        read: of `hh_keras.export.parity`.
    """

    network: Any
    inputs: Any
    about: About | None = None
    read: Callable | None = None


def whole(
    check_images: Callable,
    models: Mapping[str, Any],
    data: ImageData,
    args: FlagValues,
) -> dict[str, dict[str, Part]]:
    """`deployed` of networks that are one file each, checked on the same images."""
    images = check_images(models, data, args)
    return {name: {"": Part(model, images)} for name, model in models.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class Application:
    """What the commands do for a task; `args` are their parsed flags.

    Not every command has every flag: see `hh_keras.flag.given`.

    Attributes:
        task: loss, measures, goal.
        load: `load(args, build, check)` returns `(model, data)`, each fitted to the
            other. `build(args, image_shape, num_classes)` makes --model, with a tuple
            of shapes one of as many images; with `check` False, the model need not be
            one of the task.
        evaluate_file: `evaluate_file(args, build)` scores the file --model.
        files: `files(network, data, args)` tells how its files are made and checked.
        deployed: `deployed(models, data, args)`: the `Part`s of each network, by the
            networks' names and by `parts`.
        words: of the report on files.
        say: `say(scores)`, scores as text.
        facts: `facts(data)`: what the run's report says of the training examples.
        reload: `reload(args, data)`: data as at the start, if reading changes them.
        pictures: `pictures(paths, data)`: a list of `hh_keras.report.Picture`, of the
            networks' `.keras` files by their names.
        view: how image files come to a model's shape, as of `hh_keras.export`.
        calibration: `calibration(args, data, folder, count)`: so many inputs as the
            network sees them, of a folder of images without labels; an array or
            batches, as `hh_keras.shrink` takes them.
        examples: what is counted where scores are told.
        parts: what the names of a network's files end in, one for each of its parts;
            the last runs on every image.
        completes: whether `load` makes a network of the task of any other, its
            backbone.
    """

    task: Task
    load: Callable[..., tuple[Any, ImageData]]
    evaluate_file: Callable[..., Evaluation]
    files: Callable[..., FileChecks]
    deployed: Callable[..., dict]
    words: FileWords
    say: Callable[[Mapping[str, float]], str]
    facts: Callable[[ImageData], Mapping[str, Any]]
    reload: Callable[..., ImageData] = lambda args, data: data
    pictures: Callable[..., list] = lambda paths, data: []
    view: Callable[..., str] = lambda args: "resize"
    calibration: Callable[..., Any] = calibration_images
    examples: str = "validation images"
    parts: tuple[str, ...] = ("",)
    completes: bool = False
