"""What replicas and checkpoints cost: times of training steps, in turns.

    python benchmarks/training_step.py

ResNet-20 on 32-pixel images, batch 128 over all devices. Two logical devices share the
same two cores, so they can be no faster: what they take longer is the cost of sharing.
Keras' own step is timed beside them. A checkpoint is one of all variables.
"""

import argparse
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import hh_keras.models  # noqa: E402
from hh_keras.tasks.classification.task import TASK  # noqa: E402
from hh_keras.training import Recipe, checkpoints, strategy  # noqa: E402
from hh_keras.training.fit import compiled  # noqa: E402
from hh_keras.training.layerwise import changed, for_recipe  # noqa: E402
from hh_keras.training.trainee import weighted  # noqa: E402

SHAPE, BATCH = (32, 32, 3), 128


def batches():
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (BATCH, *SHAPE)).astype("float32")
    labels = rng.integers(0, 10, BATCH).astype("int32")
    return tf.data.Dataset.from_tensors((images, labels)).repeat()


def stepper(where, **settings):
    """A function that takes steps of this package's training; returns the trainee."""
    recipe = Recipe(batch_size=BATCH, learning_rate=0.01, **settings)
    with where.scope():
        model = hh_keras.models.build("resnet20", SHAPE, 10)
    with changed(for_recipe(model, recipe)):
        trainee = compiled(model, recipe, 1000, None, 1, None, TASK)
        data = weighted(batches(), where.num_replicas_in_sync)
        iterator = iter(where.experimental_distribute_dataset(data))
        step = trainee.make_train_function() or trainee.train_function
        step(iterator)
    return lambda: float(step(iterator)["loss"]), trainee


def keras_stepper():
    model = hh_keras.models.build("resnet20", SHAPE, 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    sgd = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(sgd, loss, metrics=["accuracy"], jit_compile=False)
    step = model.make_train_function() or model.train_function
    iterator = iter(batches())
    step(iterator)
    return lambda: float(step(iterator)["loss"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4, help="per round")
    args = parser.parse_args()
    two = strategy("mirrored", 2)
    one, trainee = stepper(strategy("default"))
    kinds = {
        "one device": one,
        "Keras' own step": keras_stepper(),
        "two logical devices": stepper(two)[0],
        "two, BatchNorm synchronised": stepper(two, sync_batch_norm=True)[0],
        "one device, averages (ema)": stepper(strategy("default"), ema=0.999)[0],
    }
    times = {name: [] for name in kinds}
    saves = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.rounds):
            for name, step in kinds.items():
                started = time.perf_counter()
                for _ in range(args.steps):
                    step()
                times[name].append((time.perf_counter() - started) / args.steps)
            started = time.perf_counter()
            progress = checkpoints.Progress(0, number)
            path = checkpoints.save(
                folder, "model", checkpoints.values(trainee), progress, {}
            )
            saves.append(time.perf_counter() - started)
        size = pathlib.Path(path).stat().st_size
    report(times, saves, size)


def report(times, saves, size):
    base = statistics.median(times["one device"])
    print("| step | median | / one device | rounds |\n|---|---|---|---|")
    for name, found in times.items():
        ratios = [a / b for a, b in zip(found, times["one device"])]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        median = statistics.median(found)
        print(f"| {name} | {1000 * median:.0f} ms | {median / base:.2f} | {spread} |")
    save = statistics.median(saves)
    print(
        f"\nA checkpoint ({size / 1e6:.1f} MB) takes {1000 * save:.0f} ms, "
        f"{save / base:.2f} steps: {save / (500 * base):.2%} of a training with one "
        "every 500 steps."
    )


if __name__ == "__main__":
    main()
