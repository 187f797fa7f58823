"""What counts in multiples buy in time: study `rounding`'s networks, timed in turns.

    python benchmarks/rounding.py

The networks that `balanced`, the gradient and random counts give at 1.0x and 0.5x of
the MACs, with any counts (`round_to=1`) and with `round_to="auto"`: the `.tflite` in
float32 and int8, the SavedModel, and a training step of 64, on one thread. Ratios are
auto / 1, untrained: weights do not change times. Writes `results/rounding.jsonl`, a row
per network; rows that are there are not made again.
"""

import argparse
import itertools
import json
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from study import networks, variants  # noqa: E402
from study.runs import Run  # noqa: E402
from study.studies import BALANCED, FLOOR, PAIRS, Search  # noqa: E402
from study.training import one_thread  # noqa: E402

from hh_keras.export import saved_model  # noqa: E402
from hh_keras.export.timing import latencies  # noqa: E402
from hh_keras.latency.comparing import compare  # noqa: E402
from hh_keras.tasks.classification.task import TASK  # noqa: E402
from hh_keras.training import Recipe  # noqa: E402
from hh_keras.training.fit import compiled  # noqa: E402
from hh_keras.training.layerwise import changed, for_recipe  # noqa: E402
from hh_keras.training.trainee import weighted  # noqa: E402

ROWS = pathlib.Path(__file__).parent / "results" / "rounding.jsonl"
SEED, BATCH, ROUNDS = 101, 64, 12
HALF = Search(batches=3, min_keep=0.28)


class Noise:
    """Images that score channels, since times do not depend on what they show."""

    def __init__(self, shape):
        self.shape = shape

    def search(self, steps):
        rng = np.random.default_rng(SEED)
        for _ in range(steps):
            yield (
                rng.uniform(0, 255, (BATCH, *self.shape)).astype("float32"),
                rng.integers(0, 10, BATCH),
            )


def network(name, shape, kind, search, budget, round_to):
    run = Run(name, "noise", kind, SEED, budget, SEED, search, round_to=round_to)
    original = networks.build(name, shape, 10)
    return variants.find(run, original, lambda seed: Noise(shape)).model


def step_ratios(models, shape):
    """Seconds of a training step of the second over the first's, in turns."""
    steps = [_step(model, shape) for model in models]
    ratios = []
    for _ in range(ROUNDS):
        first, second = (step() for step in steps)
        ratios.append(second / first)
    return statistics.median(ratios)


def _step(model, shape):
    recipe = Recipe(batch_size=BATCH, learning_rate=0.01)
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (BATCH, *shape)).astype("float32")
    labels = rng.integers(0, 10, BATCH).astype("int32")
    data = tf.data.Dataset.from_tensors((images, labels)).repeat()
    with changed(for_recipe(model, recipe)):
        trainee = compiled(model, recipe, 1000, None, 5, None, TASK)
        iterator = iter(weighted(data, 1))
        step = trainee.make_train_function() or trainee.train_function
        float(step(iterator)["loss"])

    def run():
        started = time.perf_counter()
        float(step(iterator)["loss"])
        return time.perf_counter() - started

    return run


def served_ratio(models):
    with tempfile.TemporaryDirectory() as folder:
        paths = [
            saved_model(model, folder, str(k), encoded=None, warm_up=False)
            for k, model in enumerate(models)
        ]
        return latencies(paths, runs=200)[1].ratio


def measure(place):
    name, shape, kind, search, budget = place
    models = [
        network(name, shape, kind, search, budget, round_to) for round_to in (1, "auto")
    ]
    found = {
        "float32": compare(models, rounds=60)[1][1],
        "int8": compare(models, "int8", rounds=60)[1][1],
        "saved_model": served_ratio(models),
        "training_step": step_ratios(models, shape),
    }
    return {key: round(float(value), 4) for key, value in found.items()}


def places():
    shapes = {"cifar10": (16, 16, 3), "fashion": (16, 16, 1)}
    for (name, data), budget in itertools.product(PAIRS, (1.0, 0.5)):
        shape = shapes[data.partition(":")[0]]
        gradient = FLOOR if budget == 1 else HALF
        for kind, search in (
            ("lwdna", BALANCED),
            ("lwdna", gradient),
            ("random", None),
        ):
            yield name, shape, kind, search, budget


def rows():
    lines = ROWS.read_text().splitlines() if ROWS.exists() else []
    return [json.loads(line) for line in lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--summary", action="store_true", help="only what is there")
    args = parser.parse_args()
    if not args.summary:
        one_thread()
        known = {row["network"] for row in rows()}
        for place in places():
            name, shape, kind, search, budget = place
            label = f"{name} {shape[2]} {search or kind} {budget:g}x"
            if label in known:
                continue
            keras.backend.clear_session()
            row = {"network": label, **measure(place)}
            print(row, flush=True)
            with ROWS.open("a") as file:
                file.write(json.dumps(row) + "\n")
    print("| | float32 | int8 | SavedModel | training step |\n|---|---|---|---|---|")
    for kind in ("balanced", "gradient", "random", ""):
        own = [row for row in rows() if kind in row["network"]]
        keys = ("float32", "int8", "saved_model", "training_step")
        means = [np.exp(np.mean(np.log([row[key] for row in own]))) for key in keys]
        cells = [f"{mean:.3f}" for mean in means] if own else []
        print(f"| {kind or 'all'} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
