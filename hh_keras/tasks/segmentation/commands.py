"""What the commands do for --task=segment."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping

import keras
from absl.flags import FlagValues

from hh_keras.data import ImageData
from hh_keras.errors import DataError, HHError
from hh_keras.export.sidecar import check_classes
from hh_keras.models import is_keras_file, sources
from hh_keras.report import Picture
from hh_keras.tasks import tiles
from hh_keras.tasks.application import Application, Evaluation, Part
from hh_keras.tasks.plain import plain
from hh_keras.tasks.segmentation import data as masked
from hh_keras.tasks.segmentation.evaluation import evaluated
from hh_keras.tasks.segmentation.files import WORDS, about, file_checks, side
from hh_keras.tasks.segmentation.learning import segmentation_loss
from hh_keras.tasks.segmentation.pictures import (
    BY_CLASS,
    OVERLAYS,
    clear_classes,
    plot_by_class,
    plot_overlays,
)
from hh_keras.tasks.segmentation.preview import preview
from hh_keras.tasks.segmentation.scores import intersection_over_union
from hh_keras.tasks.segmentation.task import TASK

_SHOWN = 4  # images in overlays.png


def prepare(args: FlagValues) -> None:
    """Raises HHError if a flag means nothing for networks of images of any size."""
    if "latency" in args and args.latency.value != float("inf"):
        raise HHError(
            f"--latency={args.latency} needs images of one size, and networks for "
            f"--task={args.task} take any; limit them by --macs instead."
        )


def application(args: FlagValues) -> Application:
    """What the commands do for networks that segment images."""
    return dataclasses.replace(
        plain(TASK, functools.partial(masked.load, TASK.check)),
        evaluate_file=_evaluate_file,
        files=functools.partial(file_checks, TASK),
        deployed=_deployed,
        words=WORDS,
        say=_say,
        facts=_facts,
        pictures=_pictures,
        calibration=masked.calibration,
    )


def _evaluate_file(args: FlagValues, build: Callable) -> Evaluation:
    model: keras.Model | str
    if is_keras_file(args.model):
        model, data = masked.load(TASK.check, args, build)
        loss = segmentation_loss(model)
    else:
        model, data, loss = args.model, masked.load_for_file(args), None
    check_classes(args.model, data.class_names, data.name)
    scores, counts = evaluated(model, data.validation, loss)
    if len(counts) != len(data.class_names):
        raise DataError(
            f"{args.model} gives every pixel {len(counts)} outputs, but "
            f"--dataset={data.name} has {len(data.class_names)} classes. Choose the "
            "data set that the model was trained on."
        )
    shares = intersection_over_union(counts)
    by_class = {
        name: None if share != share else float(share)
        for name, share in zip(data.class_names, shares, strict=True)
    }
    facts = {
        "model": args.model,
        "dataset": data.name,
        "images": data.num_validation,
        **scores,
        "iou_by_class": by_class,
        "skipped": data.skipped,
    }

    def pictures():
        clear = clear_classes(data.class_names)
        rows = preview(model, data.validation, _SHOWN, clear)
        name = pathlib.Path(args.model).stem
        return {
            "overlays": plot_overlays(rows, data.class_names),
            "iou_by_class": plot_by_class({name: shares}, data.class_names),
        }

    told = [f"{n} {s:.1%}" for n, s in by_class.items() if s is not None]
    return Evaluation(scores, data.num_validation, facts, pictures, ", ".join(told))


def _deployed(
    models: Mapping[str, keras.Model], data: ImageData, args: FlagValues
) -> dict[str, dict[str, Part]]:
    """Tiles of one size for all networks, or their latencies could not be compared."""
    size = max(side(model, args) for model in models.values())
    images = tiles.cut(data.validation, size, args.check_images)
    return {
        name: {"": Part(model, images, about(model, data))}
        for name, model in models.items()
    }


def _say(scores: Mapping[str, float]) -> str:
    text = f"mIoU {scores['miou']:.2%}, pixel accuracy {scores['pixel_accuracy']:.2%}"
    return text + (f", loss {scores['loss']:.4f}" if "loss" in scores else "")


def _facts(data: ImageData) -> dict:
    return {"classes": list(data.class_names), "pieces per epoch": data.num_train}


def _pictures(paths: Mapping[str, pathlib.Path], data: ImageData) -> list[Picture]:
    """Overlays of all networks beside the masks, and what each finds of a class."""
    rows: dict[int, dict] = {}
    shares = {}
    clear = clear_classes(data.class_names)
    for name, path in paths.items():
        model = sources.from_file(path)
        found = preview(model, data.validation, _SHOWN, clear)
        for place, row in enumerate(found):
            output = row.pop("output")
            rows.setdefault(place, row)[name] = output
        counts = evaluated(model, data.validation)[1]
        shares[name] = intersection_over_union(counts)
    overlays = plot_overlays(list(rows.values()), data.class_names)
    by_class = plot_by_class(shares, data.class_names)
    return [
        Picture("overlays", "Segmented", OVERLAYS, overlays),
        Picture("iou_by_class", "By class", BY_CLASS, by_class),
    ]
