"""What the commands do for --task=denoise and --task=sr."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping

import keras
import numpy as np
from absl.flags import FlagValues

from hh_keras.data import ImageData
from hh_keras.errors import HHError
from hh_keras.models import is_keras_file, sources
from hh_keras.report import Picture
from hh_keras.tasks import tiles
from hh_keras.tasks.application import Application, Evaluation, whole
from hh_keras.tasks.plain import plain
from hh_keras.tasks.registry import refuse
from hh_keras.tasks.restoration import data as photographs
from hh_keras.tasks.restoration.degradation import Degradation
from hh_keras.tasks.restoration.files import WORDS, file_checks
from hh_keras.tasks.restoration.preview import FINDING, plot_before_after
from hh_keras.tasks.restoration.task import task_for
from hh_keras.tasks.restoration.tiles import runner
from hh_keras.training import Task

_EVALUATED, _REPORTED = 5, 3  # images in before_after.png


def prepare(args: FlagValues) -> None:
    """Completes --degrade and --scale.

    Raises:
        HHError: flags contradict each other, or mean nothing for the task.
    """
    if "latency" in args and args.latency.value != float("inf"):
        raise HHError(
            f"--latency={args.latency} needs images of one size, and networks for "
            f"--task={args.task} take any; limit them by --macs instead."
        )
    args.degrade = str(_degradation(args))


def application(args: FlagValues) -> Application:
    """What the commands do for networks that restore images."""
    task = task_for(Degradation.parse(args.degrade))
    return dataclasses.replace(
        plain(task, functools.partial(photographs.load, task.check)),
        evaluate_file=functools.partial(_evaluate_file, task),
        files=functools.partial(file_checks, task),
        deployed=functools.partial(whole, _check_images),
        words=WORDS,
        say=_say,
        facts=lambda data: {"patches per epoch": data.num_train},
        pictures=functools.partial(_pictures, task),
        calibration=photographs.calibration,
    )


def _degradation(args: FlagValues) -> Degradation:
    """How --degrade and --scale make photographs worse."""
    if args.task == "denoise":
        refuse(args, ["scale"], "images keep their size; to enlarge them, --task=sr")
        found = Degradation.parse(args.degrade or "noise:25")
        if found.scale > 1:
            raise HHError(
                f"--degrade={found} makes images smaller: that is for --task=sr; "
                "choose noise:SIGMA or jpeg:QUALITY."
            )
        return found
    found = Degradation.parse(args.degrade or f"bicubic:{args.scale or 2}")
    if found.scale == 1:
        raise HHError(
            f"--degrade={found} leaves images as large as they are: that is for "
            "--task=denoise; choose bicubic:SCALE."
        )
    if args.scale not in (None, found.scale):
        raise HHError(
            f"--scale={args.scale} and --degrade={found} are different scales; give "
            "one of them."
        )
    args.scale = found.scale
    return found


def _evaluate_file(task: Task, args: FlagValues, build: Callable) -> Evaluation:
    model: keras.Model | Callable
    if is_keras_file(args.model):
        model, data = photographs.load(task.check, args, build)
    else:
        model = runner(args.model)
        data = photographs.load_for_file(args)
    scores = task.evaluate(model, data.validation)
    facts = {
        "model": args.model,
        "dataset": data.name,
        "degradation": args.degrade,
        "images": data.num_validation,
        **scores,
        "skipped": data.skipped,
    }

    def pictures():
        rows = task.preview(model, data.validation, _EVALUATED)
        return {"before_after": plot_before_after(rows)}

    return Evaluation(scores, data.num_validation, facts, pictures)


def _check_images(
    models: Mapping[str, keras.Model], data: ImageData, args: FlagValues
) -> np.ndarray:
    """Tiles of one size for all networks, or their latencies could not be compared."""
    side = max(tiles.side(model, args.tile) for model in models.values())
    return tiles.cut(data.validation, side, args.check_images)


def _say(scores: Mapping[str, float]) -> str:
    return (
        f"PSNR {scores['psnr']:.2f} dB (of the input {scores['psnr_input']:.2f}), "
        f"SSIM {scores['ssim']:.4f}, loss {scores['loss']:.4g}"
    )


def _pictures(
    task: Task, paths: Mapping[str, pathlib.Path], data: ImageData
) -> list[Picture]:
    """Images as they were, as all networks make them, and the clean ones."""
    rows: dict[int, dict] = {}
    for name, path in paths.items():
        model = sources.from_file(path)
        for place, row in enumerate(task.preview(model, data.validation, _REPORTED)):
            output = row.pop("output")
            rows.setdefault(place, row)[name] = output
    figure = plot_before_after(list(rows.values()))
    return [Picture("before_after", "Before and after", FINDING, figure)]
