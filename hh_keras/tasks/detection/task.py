"""Detection as a task: networks from an image to the boxes of its places."""

from typing import Any

import keras

from hh_keras.errors import HHError, ModelError
from hh_keras.goal import Goal
from hh_keras.graph.heads import single_output
from hh_keras.report import numbers
from hh_keras.tasks.detection.evaluation import score
from hh_keras.tasks.detection.learning import (
    detection_loss,
    places_of_model,
    precision_within,
)
from hh_keras.tasks.detection.preview import preview
from hh_keras.tasks.detection.signature import detect_bytes
from hh_keras.training.task import Task

DEFAULTS = {
    "macs": "0.95x",
    "model": "detector_small",
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "weight_decay": 1e-4,
    "epochs": 50,
    "schedule": "cosine",
    "warmup_epochs": 1,
    "batch_size": 16,
    "augment": "detect_any_way_up",
    "check_images": 8,
    "max_drop": 0.02,
}

GOAL = Goal(
    key="ap50",
    label="AP50",
    write=numbers.decimals,
    write_change=numbers.difference,
    plain=lambda ap: f"{ap:.3f}",
    plain_change=lambda change: f"{round(change, 3) + 0.0:+.3f}",  # never -0.000
    axis=lambda ap, _: f"{ap:.3g}",
    about="AP50: average precision at an IoU of 0.5, mean of the classes; AP: mean "
    "over IoUs of 0.5 to 0.95; both by pycocotools on the validation images. In the "
    "history, the precision at an IoU of 0.5 within each image. MACs: "
    "multiply-accumulates for one image. Latency: the .tflite file, one image, median "
    "(10th to 90th percentile).",
    besides=(("AP", "ap", numbers.decimals, numbers.difference),),
)


def detecting() -> Task:
    """The task of finding boxes and classes."""
    known: dict[int, tuple] = {}  # places → size of the images

    def loss(model, label_smoothing=0.0):
        own = detection_loss(model)
        size, number = model.inputs[0].shape[1:3], model.outputs[0].shape[1]
        if known.setdefault(number, size) != size:
            raise HHError("networks of one detection task must take the same images.")
        return own

    return Task(
        name="detect",
        noun="detector",
        loss=loss,
        # Only a network tells how large the images are: its loss was made before.
        measures={
            "ap50": lambda rows, output: precision_within(
                rows, output, known[output.shape[1]]
            )
        },
        goal=GOAL,
        evaluate=score,
        check=check_model,
        defaults=DEFAULTS,
        preview=preview,
        encoded=detect_bytes,
        distills=("none", "match"),
        unfit=("label_smoothing", "rand_augment", "mixup", "cutmix"),
    )


def check_model(model: keras.Model, data: Any = None) -> None:
    """Raises ModelError unless a model is a detector, and fits a data set.

    Args:
        model: the network.
        data: has `image_shape` and `class_names`; or None.
    """
    output = tuple(single_output(model).shape)
    takes = tuple(model.inputs[0].shape[1:])
    if len(model.inputs) != 1 or len(takes) != 3 or None in takes:
        raise ModelError(
            f"model '{model.name}' must take one image of a known size (height, width, "
            f"channels); it takes {takes}. Build it for one."
        )
    if len(output) != 3 or None in output[1:] or output[2] < 5:
        raise ModelError(
            f"model '{model.name}' puts out {output[1:]}; a detector puts out "
            "(places, 4 + classes), see docs/detection.md."
        )
    places_of_model(model)
    if data is None:
        return
    if takes != tuple(data.image_shape):
        raise ModelError(
            f"model '{model.name}' takes images of {takes}, the data are "
            f"{tuple(data.image_shape)}: leave --image_size out, or build it for those."
        )
    if output[2] - 4 != len(data.class_names):
        raise ModelError(
            f"model '{model.name}' knows {output[2] - 4} classes, the data have "
            f"{len(data.class_names)} ({', '.join(data.class_names[:20])}): build it "
            "for those."
        )
