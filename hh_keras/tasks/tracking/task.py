"""Visual tracking as a task: networks of two images, see `networks`."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from hh_keras.errors import ModelError
from hh_keras.goal import Goal
from hh_keras.graph.heads import single_output
from hh_keras.report import numbers
from hh_keras.tasks.tracking.data.sequence import Video
from hh_keras.tasks.tracking.following.running import of_model
from hh_keras.tasks.tracking.measuring import measures
from hh_keras.tasks.tracking.measuring.evaluation import one_pass, score_pairs
from hh_keras.tasks.tracking.networks.halves import halves
from hh_keras.tasks.tracking.networks.learning import overlap, tracking_loss
from hh_keras.training.task import Task

DEFAULTS = {
    "macs": "0.95x",
    "model": "mobilenetv3_small",
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "weight_decay": 1e-4,
    "epochs": 10,
    "schedule": "cosine",
    "batch_size": 16,
    "augment": "track",
    "check_images": 8,
    "max_drop": 0.02,
}

GOAL = Goal(
    key="auc",
    label="AUC",
    write=numbers.decimals,
    write_change=numbers.difference,
    plain=lambda auc: f"{auc:.3f}",
    plain_change=lambda change: f"{round(change, 3) + 0.0:+.3f}",  # never -0.000
    axis=lambda auc, _: f"{auc:.3g}",
    about="AUC: area under the success curve, in one pass over the validation videos; "
    "in the history, and for data that are pairs only, the mean overlap of single "
    "steps. MACs: multiply-accumulates for an exemplar and a search image. Latency: "
    "the .tflite file of the search image, median (10th to 90th percentile).",
    besides=(
        ("precision at 20 px", "precision20", numbers.decimals, numbers.difference),
    ),
    examples="pairs",
)


def tracking(videos: Callable[[], Sequence[Video]] = tuple) -> Task:
    """The task of finding a target again.

    Args:
        videos: returns those that networks are measured on, in one pass; without any,
            the pairs that are held out are.
    """

    def evaluate(model: keras.Model, dataset: Any) -> dict[str, float]:
        scores = score_pairs(model, dataset)
        found = videos()
        if not found:
            return scores
        each, _ = one_pass(of_model(model), found)
        passed = measures.mean(list(each.values())).numbers()
        return {**scores, "pairs_auc": scores["auc"], **passed}

    return Task(
        name="track",
        noun="tracker",
        loss=lambda model, label_smoothing=0.0: tracking_loss,
        measures={"auc": overlap},
        goal=GOAL,
        evaluate=evaluate,
        check=check_model,
        defaults=DEFAULTS,
        encoded=None,
        distills=("none", "match"),
        unfit=("label_smoothing", "rand_augment", "mixup", "cutmix"),
    )


def check_model(model: keras.Model, data: Any = None) -> None:
    """Raises ModelError unless a model is a tracker, and fits a data set's images.

    Args:
        model: the network.
        data: has `image_shape`, those of exemplars and search images; or None.
    """
    output = single_output(model)
    halves(model)
    shape = tuple(output.shape)
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] not in (1, 5):
        raise ModelError(
            f"model '{model.name}' puts out {shape[1:]}; a tracker puts out a square "
            "map of scores, (cells, cells, 1), or with the four sides, "
            "(cells, cells, 5)."
        )
    takes = tuple(tuple(tensor.shape[1:]) for tensor in model.inputs)
    if takes[0] != takes[1] or len(takes[0]) != 3 or takes[0][0] != takes[0][1]:
        raise ModelError(
            f"model '{model.name}' takes images of {takes}; a tracker takes two "
            "squares of one size, (side, side, 3)."
        )
    if data is not None and takes != tuple(map(tuple, data.image_shape)):
        raise ModelError(
            f"model '{model.name}' takes images of {takes}, the data are "
            f"{tuple(data.image_shape)}: leave --image_size out, or build it for those."
        )
