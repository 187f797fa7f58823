"""What replicas and checkpoints cost: times of training steps, in turns.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --torch_python=/path/to/venv/bin/python
    python benchmarks/training_step.py --xla --rounds=4              XLA, too

ResNet-20 on 32-pixel images, batch 128 over all devices. Two logical devices share the
same two cores, so they can be no faster: what they take longer is the cost of sharing.
Keras' own step, with the same weight decay, and PyTorch's of the same network are timed
beside them. A checkpoint is one of all variables.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
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


def timed(step, calls=1):
    """A function of a number of steps: takes them, and returns seconds per step."""

    def run(steps):
        times = max(1, steps // calls)
        started = time.perf_counter()
        for _ in range(times):
            step()
        return (time.perf_counter() - started) / (times * calls)

    return run


def stepper(where, at_a_time=1, xla=None, **settings):
    """Times steps of this package's training, see `timed`; returns the trainee, too."""
    recipe = Recipe(batch_size=BATCH, learning_rate=0.01, **settings)
    with where.scope():
        model = hh_keras.models.build("resnet20", SHAPE, 10)
    with changed(for_recipe(model, recipe)):
        trainee = compiled(model, recipe, 1000, None, at_a_time, xla, TASK)
        data = weighted(batches(), where.num_replicas_in_sync)
        iterator = iter(where.experimental_distribute_dataset(data))
        step = trainee.make_train_function() or trainee.train_function
        step(iterator)
    return timed(lambda: float(step(iterator)["loss"]), at_a_time), trainee


def keras_stepper():
    model = hh_keras.models.build("resnet20", SHAPE, 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    sgd = keras.optimizers.SGD(0.01, momentum=0.9, weight_decay=Recipe().weight_decay)
    model.compile(sgd, loss, metrics=["accuracy"], jit_compile=False)
    step = model.make_train_function() or model.train_function
    iterator = iter(batches())
    step(iterator)
    return timed(lambda: float(step(iterator)["loss"]))


def torch_stepper(python, layout):
    """PyTorch's steps, in a process of their own, which waits for its turn."""
    script = pathlib.Path(__file__).with_name("training_step_torch.py")
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([python, str(script), layout], **pipe)

    def run(steps):
        print(steps, file=process.stdin, flush=True)
        return float(process.stdout.readline()) / steps

    run(1)
    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4, help="per round")
    parser.add_argument("--torch_python", help="interpreter that has PyTorch")
    parser.add_argument("--xla", action="store_true", help="XLA, too")
    parser.add_argument("--brief", action="store_true", help="one device only")
    args = parser.parse_args()
    two = None if args.brief else strategy("mirrored", 2)  # splits the CPU: first
    default = strategy("default")
    one, trainee = stepper(default)
    kinds = {"one device": one, "Keras' own step": keras_stepper()}
    if args.torch_python:
        for layout in ("contiguous_format", "channels_last"):
            name = f"PyTorch, {layout.replace('_', ' ')}"
            kinds[name] = torch_stepper(args.torch_python, layout)
    kinds["four steps at a time"] = stepper(default, 4)[0]
    if args.xla:
        kinds["one device, XLA"] = stepper(default, 1, True)[0]
    if two:
        kinds["two logical devices"] = stepper(two)[0]
        synchronised = stepper(two, sync_batch_norm=True)[0]
        kinds["two, BatchNorm synchronised"] = synchronised
        kinds["one device, averages (ema)"] = stepper(default, ema=0.999)[0]
    times = {name: [] for name in kinds}
    saves = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.rounds):
            for name, run in kinds.items():
                times[name].append(run(args.steps))
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
        each = f"{1000 * statistics.median(found):.0f} ms"
        print(f"| {name} | {each} | {statistics.median(ratios):.2f} | {spread} |")
    save = statistics.median(saves)
    print(
        f"\nA checkpoint ({size / 1e6:.1f} MB) takes {1000 * save:.0f} ms, "
        f"{save / base:.2f} steps: {save / (500 * base):.2%} of a training with one "
        "every 500 steps."
    )


if __name__ == "__main__":
    main()
