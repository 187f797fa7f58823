"""What the commands do for a task that does not say otherwise."""

import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
from absl.flags import FlagValues

from hh_keras import export as exporting
from hh_keras.data import ImageData, example_shape, first_images
from hh_keras.errors import ModelError
from hh_keras.export import formats
from hh_keras.models import is_keras_file
from hh_keras.tasks.application import (
    Application,
    Evaluation,
    FileChecks,
    FileWords,
    whole,
)
from hh_keras.training import Task

WORDS = FileWords(
    about="`alike`: largest difference of an output to Keras's, as a share of the "
    "outputs' spread. `largest` and `mean`: difference of any output to Keras's.",
    likeness="alike",
    write_likeness=lambda row: f"{row['relative']:.2g}",
    line=lambda row: f"{row['examples']} examples",
    lost=lambda network, row: "is worse than the Keras model",
)


def plain(task: Task, load: Callable) -> Application:
    """The least that an application is; replace what a task knows better.

    Args:
        task: loss, measures, goal.
        load: see `Application`.
    """
    return Application(
        task=task,
        load=load,
        evaluate_file=functools.partial(_evaluate_file, task, load),
        files=functools.partial(_files, task),
        deployed=functools.partial(whole, _check_images),
        words=WORDS,
        say=functools.partial(_say, task),
        facts=lambda data: {"num_train": data.num_train},
    )


def _evaluate_file(
    task: Task, load: Callable, args: FlagValues, build: Callable
) -> Evaluation:
    if not is_keras_file(args.model):
        raise ModelError(
            f"--model={args.model}: --task={args.task} wants a .keras or .h5 file."
        )
    model, data = load(args, build)
    scores = task.evaluate(model, data.validation)
    facts = {"model": args.model, "dataset": data.name, "images": data.num_validation}
    facts = {**facts, **scores, "skipped": data.skipped}
    return Evaluation(scores, data.num_validation, facts, dict)


def _files(
    task: Task, network: keras.Model, data: ImageData, args: FlagValues
) -> FileChecks:
    """Files are compared with Keras on a few images; what they score is not asked."""
    images, goal = first_images(data.validation, args.check_images), task.goal.key

    def expected() -> dict:
        score = task.evaluate(network, data.validation)[goal]
        return {"outputs": _outputs(network, images), goal: score}

    def make(kind: str, path: pathlib.Path, expected: dict) -> dict:
        if kind == "qat":
            raise ModelError("training for int8 is for classifiers.")
        formats.write(
            network,
            path,
            kind,
            example_shape(images),
            None,
            encoded=formats.named(task.encoded, data.class_names),
            representative=first_images(data.search, args.representative_images),
            integer_io=args.integer_io,
            batch=args.tflite_batch,
        )
        found = exporting.agreement(expected["outputs"], _outputs(path, images))
        rest = {goal: None, "drop": None}
        return {"bytes": formats.file_size(path), **vars(found), **rest}

    return FileChecks(expected, make)


def _outputs(model, images):
    return keras.tree.flatten(exporting.predict(model, images))


def _check_images(
    models: Mapping[str, keras.Model], data: ImageData, args: FlagValues
) -> Any:
    return first_images(data.validation, args.check_images)


def _say(task: Task, scores: Mapping[str, float]) -> str:
    goal, loss = task.goal, f"loss {scores['loss']:.4g}"
    if goal.key == "loss":
        return loss
    return f"{goal.label} {goal.plain(scores[goal.key])}, {loss}"
