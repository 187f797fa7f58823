"""What the commands do for --task=detect."""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Mapping

import keras
from absl.flags import FlagValues

from hh_keras import export as exporting
from hh_keras.data import ImageData, first_images
from hh_keras.errors import ModelError
from hh_keras.export.sidecar import classes_of
from hh_keras.models import is_keras_file, sources
from hh_keras.report import Picture
from hh_keras.tasks.application import Application, Evaluation, Part
from hh_keras.tasks.detection import data as boxes
from hh_keras.tasks.detection.evaluation import check_measuring
from hh_keras.tasks.detection.files import (
    WORDS,
    about,
    file_checks,
    file_scores,
    runner,
)
from hh_keras.tasks.detection.objects import open_objects
from hh_keras.tasks.detection.preview import (
    FINDING,
    TRUTH,
    first_detections,
    plot_detections,
)
from hh_keras.tasks.detection.task import check_model, detecting
from hh_keras.tasks.plain import plain

_EVALUATED, _REPORTED = 6, 4  # images in detections.png


def prepare(args: FlagValues) -> None:
    """Sees to it that detectors can be measured, before one is trained.

    Raises:
        HHError: pycocotools is missing.
    """
    check_measuring()


def application(args: FlagValues) -> Application:
    """What the commands do for networks that detect."""
    task = detecting()
    return dataclasses.replace(
        plain(task, boxes.load),
        evaluate_file=_evaluate_file,
        files=functools.partial(file_checks, task),
        deployed=_deployed,
        words=WORDS,
        completes=True,
        say=_say,
        pictures=_pictures,
    )


def _evaluate_file(args: FlagValues, build: Callable) -> Evaluation:
    if is_keras_file(args.model):
        model = sources.from_file(args.model)
        check_model(model)
        shape = tuple(model.inputs[0].shape[1:])
    else:
        shape = tuple(exporting.input_shape(args.model))
    if len(shape) != 3 or None in shape or shape[2] != 3:
        raise ModelError(
            f"--model={args.model} takes inputs of shape {shape}; a detector takes RGB "
            "images of a known size."
        )
    asked = args.image_size
    if asked and tuple(asked) != shape[:2]:
        raise ModelError(
            f"--image_size={asked[0]}x{asked[1]}: --model={args.model} takes images of "
            f"{shape[0]}x{shape[1]} pixels (height x width) only; leave the flag out."
        )
    # A file's own names, so that the k-th output is judged by the k-th class.
    objects = open_objects(args.dataset, class_names=classes_of(args.model))
    data = boxes.load_data(args, objects, shape[:2])
    run = runner(args.model)
    if is_keras_file(args.model):
        check_model(model, data)
    found = file_scores(args.model, data)
    each = {
        name: None if math.isnan(found["each"][k][0]) else found["each"][k][0]
        for k, name in enumerate(data.class_names)
    }
    scores = {"ap50": found["ap50"], "ap": found["ap"]}
    facts = {
        "model": args.model,
        "dataset": data.name,
        "images": data.num_validation,
        **scores,
        "ap50 of classes": each,
        "skipped": data.skipped,
    }

    def pictures():
        shown = first_detections(run, data.validation, _EVALUATED)
        name = pathlib.Path(args.model).stem
        columns = {TRUTH: shown[1], name: shown[2]}
        return {"detections": plot_detections(shown[0], columns, data.class_names)}

    listed = ", ".join(
        f"{name} {'-' if ap50 is None else f'{ap50:.3f}'}"
        for name, ap50 in each.items()
    )
    return Evaluation(scores, data.num_validation, facts, pictures, listed)


def _deployed(
    models: Mapping[str, keras.Model], data: ImageData, args: FlagValues
) -> dict[str, dict[str, Part]]:
    images = first_images(data.validation, args.check_images)
    return {
        name: {"": Part(model, images, about(model, data))}
        for name, model in models.items()
    }


def _say(scores: Mapping[str, float]) -> str:
    text = f"AP50 {scores['ap50']:.3f}, AP {scores['ap']:.3f}"
    return text + (f", loss {scores['loss']:.4g}" if "loss" in scores else "")


def _pictures(paths: Mapping[str, pathlib.Path], data: ImageData) -> list[Picture]:
    """Validation images with the boxes of all networks."""
    columns: dict = {}
    for name, path in paths.items():
        if not is_keras_file(path):
            continue
        model = sources.from_file(path)
        images, truth, found = first_detections(model, data.validation, _REPORTED)
        columns = {TRUTH: truth, **columns, name: found}
    figure = plot_detections(images, columns, data.class_names)
    return [Picture("detections", "Detected", FINDING, figure)]
