"""What the commands do for --task=track."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping

import keras
from absl.flags import FlagValues

from hh_keras.data import ImageData
from hh_keras.errors import DataError, HHError
from hh_keras.models import is_keras_file, sources
from hh_keras.report import Picture
from hh_keras.tasks.application import Application, Evaluation, Part
from hh_keras.tasks.plain import plain
from hh_keras.tasks.tracking import loading as pairs
from hh_keras.tasks.tracking.data.sequence import Video
from hh_keras.tasks.tracking.data.sequences import open_videos
from hh_keras.tasks.tracking.data.targets import are_whole, open_targets
from hh_keras.tasks.tracking.files import (
    WORDS,
    answers_by,
    file_checks,
    first_pairs,
    outputs_of,
)
from hh_keras.tasks.tracking.following.about import PARTS, about
from hh_keras.tasks.tracking.following.running import of_model
from hh_keras.tasks.tracking.measuring import measures
from hh_keras.tasks.tracking.measuring.evaluation import one_pass
from hh_keras.tasks.tracking.measuring.plots import plot_boxes, plot_success
from hh_keras.tasks.tracking.networks.halves import halves
from hh_keras.tasks.tracking.opening import open_tracker
from hh_keras.tasks.tracking.task import tracking

_SHOWN = 4  # videos in boxes.png


def prepare(args: FlagValues) -> None:
    """Refuses what trackers cannot do.

    Raises:
        HHError: --calibrate.
    """
    if "calibrate" in args and args.calibrate:
        raise HHError(
            "--calibrate takes images without boxes, and a tracker is calibrated on "
            "pairs: leave it out; --dataset gives them."
        )


def application(args: FlagValues) -> Application:
    """What the commands do for networks that track."""
    videos = functools.cache(functools.partial(held_out, args))
    task = tracking(videos)
    return dataclasses.replace(
        plain(task, functools.partial(pairs.load, task.check)),
        evaluate_file=_evaluate_file,
        files=functools.partial(file_checks, task, videos),
        deployed=_deployed,
        words=WORDS,
        say=_say,
        facts=lambda data: {"pairs per epoch": data.num_train},
        pictures=functools.partial(_pictures, videos),
        examples="held-out pairs or frames",
        parts=PARTS,
        completes=True,
    )


def held_out(args: FlagValues) -> tuple[Video, ...]:
    """The whole videos of --dataset that are not learnt from; () of crops and images.

    Raises:
        DataError: there is no such data set.
    """
    targets = open_targets(args.dataset)
    return targets.validation[: args.limit] if targets.whole else ()


def _evaluate_file(args: FlagValues, build: Callable) -> Evaluation:
    if not are_whole(args.dataset):
        raise DataError(
            f"--dataset={args.dataset} holds no whole videos: trackers are measured on "
            "folders as OTB, VOT and GOT-10k have them, or on embedded."
        )
    # All of a set without parts: who evaluates a file may have learnt from another.
    videos = open_videos(args.dataset, "val")[: args.limit]
    tracker = open_tracker(args.model)
    each, paths = one_pass(tracker, videos, lambda text: print(f"  {text}", flush=True))
    mean = measures.mean(list(each.values()))
    frames = sum(len(video) for video in videos)
    seconds = sum(path.seconds for path in paths.values())
    scores = {**mean.numbers(), "frames_per_second": frames / max(seconds, 1e-9)}
    facts = {
        "model": args.model,
        "dataset": args.dataset,
        **scores,
        "videos": {name: found.numbers() for name, found in each.items()},
        "damaged frames": sum(path.damaged for path in paths.values()),
    }

    def pictures():
        name = pathlib.Path(args.model).stem
        shown = [(video, {name: paths[video.name].boxes}) for video in videos[:_SHOWN]]
        return {"success": plot_success({name: mean}), "boxes": plot_boxes(shown)}

    return Evaluation(scores, frames, facts, pictures)


def _deployed(
    models: Mapping[str, keras.Model], data: ImageData, args: FlagValues
) -> dict[str, dict[str, Part]]:
    """Both halves of each network, checked on held-out pairs."""
    (exemplars, searches), _ = first_pairs(data.validation, args.check_images)
    found = {}
    for name, model in models.items():
        parts, told = halves(model), about(model)
        kernel = outputs_of(parts.exemplar, [exemplars])
        found[name] = {
            PARTS[0]: Part(
                parts.exemplar, exemplars, told[PARTS[0]], answers_by(parts, searches)
            ),
            PARTS[1]: Part(parts.search, (searches, *kernel), told[PARTS[1]]),
        }
    return found


def _say(scores: Mapping[str, float]) -> str:
    text = f"AUC {scores['auc']:.3f}"
    if "precision20" in scores:
        text += f", precision at 20 px {scores['precision20']:.3f}"
    if "frames_per_second" in scores:
        text += f", {scores['frames_per_second']:.0f} frames per second"
    return text + (f", loss {scores['loss']:.4g}" if "loss" in scores else "")


def _pictures(
    videos: Callable, paths: Mapping[str, pathlib.Path], data: ImageData
) -> list[Picture]:
    """Success plots of all networks, and their boxes in a few videos."""
    found = videos()
    if not found:
        return []
    means, boxes = {}, {}
    for name, path in paths.items():
        if not is_keras_file(path):
            continue
        each, ways = one_pass(of_model(sources.from_file(path)), found)
        means[name] = measures.mean(list(each.values()))
        boxes[name] = {video: way.boxes for video, way in ways.items()}
    shown = [
        (video, {name: own[video.name] for name, own in boxes.items()})
        for video in found[:_SHOWN]
    ]
    return [
        Picture("success", "Success and precision", _CURVES, plot_success(means)),
        Picture("boxes", "Followed", _BOXES, plot_boxes(shown)),
    ]


_CURVES = "One pass over the validation videos: shares of frames, the higher the better"
_BOXES = "Frames of validation videos from first to last, with the boxes that were told"
