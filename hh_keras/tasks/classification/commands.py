"""What the commands do for --task=classify."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from absl.flags import FlagValues

from hh_keras.data import ImageData
from hh_keras.errors import DataError, HHError
from hh_keras.export.sidecar import check_classes, told
from hh_keras.flag import given
from hh_keras.graph.heads import from_logits
from hh_keras.models import is_keras_file
from hh_keras.tasks.application import Application, Evaluation, calibration_images
from hh_keras.tasks.classification import data as labelled
from hh_keras.tasks.classification.confusion import plot_confusion
from hh_keras.tasks.classification.evaluation import (
    accuracy_by_class,
    confusion,
    score_outputs,
)
from hh_keras.tasks.classification.files import WORDS, file_checks, run_over
from hh_keras.tasks.classification.task import TASK
from hh_keras.tasks.plain import plain


def prepare(args: FlagValues) -> None:
    """Raises HHError if a flag is out of its range for classifiers."""
    if given(args, "max_drop", 0) > 1:
        raise HHError(
            f"--max_drop={args.max_drop:g} is a share of the images, at most 1."
        )


def application(args: FlagValues) -> Application:
    """What the commands do for classifiers."""
    return dataclasses.replace(
        plain(TASK, labelled.load),
        evaluate_file=_evaluate_file,
        files=file_checks,
        words=WORDS,
        say=_say,
        facts=_facts,
        reload=_reload,
        view=labelled.view,
        calibration=_calibration,
    )


def _calibration(args: FlagValues, data: Any, folder: str, count: int) -> np.ndarray:
    return calibration_images(args, data, folder, count, labelled.view(args))


def _told_logits(path):
    """Whether a `.tflite` file gives logits, as the file beside it says; or None."""
    about = told(path) if str(path).endswith(".tflite") else None
    output = (about or {}).get("output")
    return output.get("logits") if isinstance(output, dict) else None


def _evaluate_file(args: FlagValues, build: Callable) -> Evaluation:
    model, logits = args.model, None
    if is_keras_file(model):
        model, data = labelled.load(args, build)
        logits = from_logits(model)
    else:
        data, logits = labelled.load_for_file(args), _told_logits(args.model)
    check_classes(args.model, data.class_names, data.name)
    outputs, labels = run_over(model, data.validation, logits)
    _check_classes(args.model, outputs, data)
    scores = score_outputs(outputs, labels, logits)
    counts = confusion(outputs, labels, logits)
    shares = accuracy_by_class(counts).tolist()
    by_class = dict(zip(data.class_names, shares, strict=True))
    known = {name: share for name, share in by_class.items() if share == share}
    worst = sorted(known, key=known.__getitem__)[:3]
    facts = {
        "model": args.model,
        "dataset": data.name,
        "view": args.view or "resize",
        "images": int(counts.sum()),
        **scores,
        "accuracy_by_class": {name: known.get(name) for name in by_class},
        "skipped": data.skipped,
    }
    return Evaluation(
        scores=scores,
        examples=len(labels),
        facts=facts,
        pictures=lambda: {"confusion": plot_confusion(counts, data.class_names)},
        remark="worst: " + ", ".join(f"{name} {known[name]:.1%}" for name in worst),
    )


def _check_classes(path: str, outputs: np.ndarray, data: ImageData) -> None:
    units, classes = outputs.shape[-1], len(data.class_names)
    if units != classes:
        raise DataError(
            f"labels that do not match the head: {path} has {units} outputs, but "
            f"--dataset={data.name} has {classes} classes. Choose the data set that "
            "the model was trained on."
        )


def _say(scores: Mapping[str, float]) -> str:
    top5 = scores.get("accuracy_top5")
    return (
        f"accuracy {scores['accuracy']:.2%}, "
        + (f"top-5 {top5:.2%}, " if top5 is not None else "")
        + f"loss {scores['loss']:.4f}"
    )


def _facts(data: ImageData) -> Mapping[str, Any]:
    return {"classes": list(data.class_names), "num_train": data.num_train}


def _reload(args: FlagValues, data: ImageData) -> ImageData:
    return labelled.load_data(args, data.image_shape)
