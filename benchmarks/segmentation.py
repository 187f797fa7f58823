"""Segmentation: original, uniform, LW-DNA; and a trained network made smaller.

    python benchmarks/segmentation.py --data=camvid/ --name=camvid \
        --patch=160 --epochs=40
    python benchmarks/segmentation.py --data=human_seg/ --name=human \
        --classes=background,person --patch=128 --seeds=0,1,2 --epochs=40
    python benchmarks/segmentation.py --data=human_seg/ --name=human ... \
        --variants "LW-DNA, gradient" "LW-DNA, 1.25x at most" --shares 0.95 --inherit
    python benchmarks/segmentation.py --summary

For every seed: the original, and at each of --shares of its MACs a network of even
widths and the LW-DNA (or other --variants: by the paper's criterion, or no layer much
wider than it was), all trained from scratch by one recipe; then the trained original
made smaller, to each of --inherit, measured without training (compensated on training
pieces without masks) and after a recovery with the original as teacher; at --long after
as many epochs as the original was trained for, too. Whole images of the held-out part,
`test` if there is one; no choice is made on them: the weights are those of the last
epoch. Times are of `.tflite` files for one training piece, in turns with the
original's.

Writes `results/segmentation.jsonl`, a row per network; rows that are there are not made
again, trained originals are kept below --networks. `--smoke` makes tiny rows elsewhere.
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
from hh_keras.tasks.segmentation.crops import load_crops  # noqa: E402
from hh_keras.tasks.segmentation.evaluation import evaluated  # noqa: E402
from hh_keras.tasks.segmentation.folders import open_masked  # noqa: E402
from hh_keras.tasks.segmentation.scores import (  # noqa: E402
    intersection_over_union,
)
from hh_keras.tasks.segmentation.task import TASK  # noqa: E402
from hh_keras.tasks.segmentation.whole import size_multiple  # noqa: E402
from hh_keras.training import Recipe, train  # noqa: E402
from hh_keras.training.recovery import RECOVERY  # noqa: E402

ROWS = pathlib.Path(__file__).parent / "results" / "segmentation.jsonl"
# Networks to be trained from scratch, by the settings of `shrink`.
FRESH = {
    "uniform": {"criterion": "uniform", "width": 1.0},
    "LW-DNA": {},
    "LW-DNA, gradient": {"criterion": "gradient"},  # the paper's
    "LW-DNA, 1.25x at most": {"width": 1.25},
}


def rows(path):
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def key(row):
    return tuple(row[name] for name in ("data", "model", "seed", "variant", "share"))


class Study:
    """One data set, network and seed."""

    def __init__(self, args, seed):
        self.args, self.seed = args, seed
        self.known = {key(row) for row in rows(args.rows)}
        source = open_masked(
            args.data, args.classes, args.ignore_index, ("test", "val", "validation")
        )
        shape = (None, None, 3)
        self.build = lambda: models.build(args.model, shape, len(source.classes.names))
        keras.utils.set_random_seed(seed)
        self.data = load_crops(
            source,
            args.patch,
            batch_size=args.batch_size,
            seed=seed,
            limit=args.limit,
            times=args.times,
            multiple=size_multiple(self.build()),
        )
        # Nothing is chosen by the images that are measured on.
        self.unmeasured = dataclasses.replace(self.data, validation=None)
        self.shape = self.data.image_shape
        self.recipe = Recipe(
            epochs=args.epochs,
            batch_size=args.batch_size,
            optimizer="adam",
            learning_rate=args.learning_rate,
            weight_decay=1e-4,
            seed=seed,
        )

    def missing(self, variant, share):
        names = (self.args.name, self.args.model, self.seed, variant, share)
        return names not in self.known

    def keep(self, variant, share, network, seconds):
        scores, counts = evaluated(network, self.data.validation)
        cost = hh_keras.cost(network, self.shape)
        by_class = intersection_over_union(counts)
        row = {
            "data": self.args.name,
            "model": self.args.model,
            "seed": self.seed,
            "variant": variant,
            "share": share,
            "miou": round(scores["miou"], 5),
            "pixel_accuracy": round(scores["pixel_accuracy"], 5),
            "by_class": [None if x != x else round(float(x), 4) for x in by_class],
            "macs": int(cost.macs),
            "params": int(cost.params),
            **file_times(network, self.build(), self.shape),
            "images": self.data.num_validation,
            "epochs": self.args.epochs,
            "seconds": round(seconds, 1),
        }
        with self.args.rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(" ".join(map(str, key(row))), f"mIoU {row['miou']}", flush=True)

    def fresh(self, variant, share, network):
        """Trains a network from scratch."""
        if not self.missing(variant, share):
            return
        started = time.perf_counter()
        keras.utils.set_random_seed(self.seed)
        made = train(network(), self.unmeasured, self.recipe, task=TASK).model
        if variant == "original":
            made.save(self.original)
        self.keep(variant, share, made, time.perf_counter() - started)

    @property
    def original(self):
        name = f"{self.args.name}_{self.args.model}_{self.seed}.keras"
        return self.args.networks / name

    def shrunk(self, share, model, **settings):
        budget = hh_keras.Budget(macs=share * hh_keras.cost(model, self.shape).macs)
        return hh_keras.shrink(
            model, budget=budget, seed=self.seed, input_shape=self.shape, **settings
        ).model

    def inherited(self, share):
        """The trained original made smaller, before and after a recovery."""
        again = {"recovered": {"minutes": float(self.args.minutes)}}
        if share == self.args.long:
            again["trained again"] = {"minutes": 0.0, "epochs": self.args.epochs}
        if not any(self.missing(each, share) for each in ("compensated", *again)):
            return
        started = time.perf_counter()
        teacher = keras.models.load_model(self.original, compile=False)
        images = self.data.search.take(-(-1000 // self.args.batch_size))
        small = self.shrunk(share, teacher, weights="inherit", calibration=images)
        seconds, weights = time.perf_counter() - started, small.get_weights()
        if self.missing("compensated", share):
            self.keep("compensated", share, small, seconds)
        for variant, settings in again.items():
            if not self.missing(variant, share):
                continue
            started = time.perf_counter()
            small.set_weights(weights)
            recipe = dataclasses.replace(
                RECOVERY,
                seed=self.seed,
                batch_size=self.args.batch_size,
                **settings,
            )
            train(small, self.unmeasured, recipe, teacher=teacher, task=TASK)
            taken = seconds + time.perf_counter() - started
            self.keep(variant, share, small, taken)

    def run(self):
        self.fresh("original", 1.0, self.build)
        for share in self.args.shares:
            for variant in self.args.variants:
                settings = dict(FRESH[variant])
                if settings.get("criterion") == "gradient":
                    settings |= {"data": self.data.search, "loss": TASK}
                self.fresh(
                    variant,
                    share,
                    lambda: self.shrunk(share, self.build(), **settings),  # noqa: B023
                )
        for share in self.args.inherit:
            self.inherited(share)


def table(found):
    """Means over the seeds, and differences to the original of the same seed."""
    yield "| data, network | kind | seeds | MACs | params | mIoU | difference | time |"
    yield "|---" * 8 + "|"
    own, groups = {}, {}
    for row in found:
        name = f"{row['data']}, {row['model']}"
        groups.setdefault((name, row["variant"], row["share"]), []).append(row)
        if row["variant"] == "original":
            own[name, row["seed"]] = row
    for (name, variant, share), mine in groups.items():
        pairs = [(row, own[name, row["seed"]]) for row in mine]
        more = [100 * (row["miou"] - before["miou"]) for row, before in pairs]
        params = np.mean([row["params"] / before["params"] for row, before in pairs])
        miou = 100 * np.mean([row["miou"] for row in mine])
        low, high = np.median([row["ratio"] for row in mine], 0)
        yield (
            f"| {name} | {variant} | {len(mine)} | {share:g}x | {params:.2f}x | "
            f"{miou:.2f} | {np.mean(more):+.2f} ({min(more):+.2f} to {max(more):+.2f}) "
            f"| {low:.2f} to {high:.2f} |"
        )


def _seeds(text):
    return [int(each) for each in text.split(",")]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="a folder, as docs/segmentation.md has it")
    parser.add_argument("--name", default="embedded", help="of the data, in the rows")
    parser.add_argument("--classes")
    parser.add_argument("--ignore_index", type=int)
    parser.add_argument("--model", default="unet_bn_small")
    parser.add_argument("--seeds", type=_seeds, default=[0], help="such as 0,1,2")
    parser.add_argument("--shares", type=float, nargs="*", default=[0.95, 0.5])
    parser.add_argument(
        "--variants", nargs="*", choices=FRESH, default=["uniform", "LW-DNA"]
    )
    parser.add_argument("--inherit", type=float, nargs="*", default=[0.7, 0.5])
    parser.add_argument("--patch", type=int, default=192)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--times", type=int, default=1, help="pieces of an image")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--minutes", type=float, default=10.0, help="of a recovery")
    parser.add_argument("--long", type=float, default=0.7, help="a share")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--networks", type=pathlib.Path, default="networks")
    parser.add_argument("--rows", type=pathlib.Path, default=ROWS)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--summary", action="store_true", help="only what is there")
    args = parser.parse_args(argv)
    if args.smoke:
        tiny = {
            "limit": 8,
            "epochs": 1,
            "patch": 64,
            "minutes": 0.2,
            "shares": [0.5],
            "inherit": [0.5],
            "long": 0.5,
        }
        vars(args).update(tiny, name="smoke", data=args.data or "embedded")
        args.rows = args.networks / "smoke.jsonl"
    if not args.summary:
        args.networks.mkdir(parents=True, exist_ok=True)
        for seed in args.seeds:
            Study(args, seed).run()
    print("\n".join(table(rows(args.rows))))


if __name__ == "__main__":
    main()
