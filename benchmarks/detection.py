"""Detectors of the embedded blood cells: original, found, shrunk after training.

    python benchmarks/detection.py --epochs=60
    python benchmarks/detection.py --summary
    python benchmarks/detection.py --smoke

By one protocol, on the 205 images to learn from: `detector_small` as it is; narrowed
evenly and by LW-DNA to 0.95 and 0.5 of its MACs, trained afresh; and the trained
original shrunk to 0.9, 0.7 and 0.5 with compensation, as it is then and after ten
minutes of training with the original as its teacher; at 0.7 as well after as many
epochs as the original was trained for. AP50 and AP on the 72 test
images, which nothing else looks at; latency of the `.tflite` file, original and network
in turns. One line of JSON a row in `results/detection.jsonl`; rows there are not made
again.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from file_times import file_times  # noqa: E402

import hh_keras  # noqa: E402
from hh_keras import models  # noqa: E402
from hh_keras.tasks.detection.images import load_boxes  # noqa: E402
from hh_keras.tasks.detection.objects import open_objects  # noqa: E402
from hh_keras.tasks.detection.task import DEFAULTS, detecting  # noqa: E402
from hh_keras.training import Recipe, train  # noqa: E402

RESULTS = pathlib.Path(__file__).parent / "results"
FRESH = (("uniform", 0.95), ("lw_dna", 0.95), ("uniform", 0.5), ("lw_dna", 0.5))
SHARES, LONG = (0.9, 0.7, 0.5), 0.7
SIZE = (192, 256)


def recipe(args, **changes):
    names = {field.name for field in dataclasses.fields(Recipe)}
    own = {key: value for key, value in DEFAULTS.items() if key in names}
    return Recipe(**{**own, "epochs": args.epochs, "seed": args.seed, **changes})


def data_of(args, held_out):
    return load_boxes(
        open_objects(held_out=held_out), SIZE, DEFAULTS["batch_size"], args.seed,
        DEFAULTS["augment"], args.limit,
    )  # fmt: skip


def network(task, original, kind, share, data, seed):
    budget = hh_keras.Budget(macs=share * hh_keras.cost(original).macs)
    criterion = "uniform" if kind == "uniform" else task.criterion
    return hh_keras.shrink(
        original, data.search, task.loss(original), budget,
        criterion=criterion, seed=seed,
    ).model  # fmt: skip


class Rows:
    """The file of results: what is in it, and a further row."""

    def __init__(self, path, args):
        self.path, self.args = path, args
        lines = path.read_text().splitlines() if path.exists() else []
        self.known = [json.loads(line) for line in lines]

    def has(self, kind, share):
        wanted = kind, share, self.args.seed, self.args.epochs
        keys = ("kind", "share", "seed", "epochs")
        return any(tuple(row[k] for k in keys) == wanted for row in self.known)

    def add(self, kind, share, task, model, original, data, seconds):
        scores = task.evaluate(model, data.validation)
        cost, before = hh_keras.cost(model), hh_keras.cost(original)
        row = {
            "kind": kind,
            "share": share,
            "seed": self.args.seed,
            "epochs": self.args.epochs,
            **{key: round(scores[key], 4) for key in ("ap50", "ap")},
            "macs": round(cost.macs / before.macs, 4),
            "params": round(cost.params / before.params, 4),
            **file_times(model, original, (*SIZE, 3)),
            "seconds": round(seconds, 1),
        }
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.known.append(row)
        print(row, flush=True)


def run(args):
    task, folder = detecting(), args.results / "detection"
    folder.mkdir(parents=True, exist_ok=True)
    rows = Rows(args.results / f"detection{'_smoke' * args.smoke}.jsonl", args)
    # Nothing is chosen by the images that are measured on: they are never validated on.
    test = data_of(args, "test")
    data = dataclasses.replace(test, validation=None)
    keras.utils.set_random_seed(args.seed)
    original = models.build("detector_small", (*SIZE, 3), len(test.class_names))
    path = folder / f"original_{args.seed}_{args.epochs}.keras"
    if not (path.exists() and rows.has("original", 1)):
        started = time.monotonic()
        trained = train(original, data, recipe(args), task=task).model
        trained.save(path)
        seconds = time.monotonic() - started
        rows.add("original", 1, task, trained, original, test, seconds)
    trained = keras.models.load_model(path, compile=False)
    for share in SHARES if args.shrink else ():
        shrink_trained(rows, task, trained, share, data, test)
    for kind, share in FRESH if args.fresh else ():
        if rows.has(kind, share):
            continue
        started = time.monotonic()
        small = network(task, original, kind, share, data, args.seed)
        train(small, data, recipe(args), task=task)
        seconds = time.monotonic() - started
        rows.add(kind, share, task, small, trained, test, seconds)
    summary(rows.known)


def shrink_trained(rows, task, trained, share, data, test):
    """Rows of the trained original made smaller: as it is, and trained again."""
    args, rate = rows.args, DEFAULTS["learning_rate"] / 2
    again = {"recovered": recipe(args, learning_rate=rate, distill="match", minutes=10)}
    if args.smoke:
        again["recovered"] = recipe(args, distill="match")
    if share == LONG:
        again["trained again"] = recipe(args, learning_rate=rate, distill="match")
    if all(rows.has(kind, share) for kind in ("shrunk", *again)):
        return
    started = time.monotonic()
    budget = hh_keras.Budget(macs=share * hh_keras.cost(trained).macs)
    small = hh_keras.shrink(
        trained, data.search, task.loss(trained), budget, width=1,
        weights="inherit", calibration=data.search, seed=args.seed,
    ).model  # fmt: skip
    seconds, weights = time.monotonic() - started, small.get_weights()
    if not rows.has("shrunk", share):
        rows.add("shrunk", share, task, small, trained, test, seconds)
    for kind, how in again.items():
        if rows.has(kind, share):
            continue
        started = time.monotonic()
        small.set_weights(weights)
        train(small, data, how, task=task, teacher=trained)
        taken = seconds + time.monotonic() - started
        rows.add(kind, share, task, small, trained, test, taken)


def summary(rows):
    """Means over seeds.

    The difference is that of AP50 to the original of the same seed, the least and the
    largest of them beside it; the time is that of the file, of the original's.
    """
    print(
        "| network | seeds | MACs | parameters | AP50 | against original | AP | time |"
    )
    print("|---" * 8 + "|")
    own = {row["seed"]: row["ap50"] for row in rows if row["kind"] == "original"}
    for kind, share in dict.fromkeys((row["kind"], row["share"]) for row in rows):
        mine = [row for row in rows if (row["kind"], row["share"]) == (kind, share)]
        more = [row["ap50"] - own[row["seed"]] for row in mine if row["seed"] in own]
        low, high = np.median([row["ratio"] for row in mine], 0)
        macs, params, ap50, ap = (
            np.mean([row[key] for row in mine])
            for key in ("macs", "params", "ap50", "ap")
        )
        print(
            f"| {kind} {share:g}x | {len(mine)} | {macs:.2f} | {params:.2f} | "
            f"{ap50:.3f} | {np.mean(more):+.3f} ({min(more):+.3f} to {max(more):+.3f}) "
            f"| {ap:.3f} | {low:.2f} to {high:.2f} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=DEFAULTS["epochs"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="images per part")
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--fresh", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--shrink", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--summary", action="store_true", help="only what is there")
    parser.add_argument("--smoke", action="store_true", help="a step: does it run?")
    args = parser.parse_args()
    if args.smoke:
        args.epochs, args.limit, args.fresh = 1, 16, False
    if args.summary:
        summary(Rows(args.results / "detection.jsonl", args).known)
    else:
        run(args)


if __name__ == "__main__":
    main()
