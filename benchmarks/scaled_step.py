"""Times a training step of a network with scales against one without, in turns.

    python benchmarks/scaled_step.py

Both are compiled alike (SGD, cross-entropy); the scaled network also trains its
scales, weighted L1 as a soft threshold. Each round takes some steps of
either, and starts with the other one than the round before.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import hh_keras as hh  # noqa: E402

NETWORKS = {"ResNet50": (64, 32), "MobileNetV2": (96, 32)}


def prepared(model):
    model.compile(
        optimizer=keras.optimizers.SGD(0.01, momentum=0.9),
        loss="sparse_categorical_crossentropy",
        jit_compile=False,
    )
    return model


def scaled(model):
    """The model with scales that are trained towards zero."""
    channel_map = hh.trace(model)
    costs = hh.channel_costs(channel_map)
    regularizer = hh.ChannelSparsity(1e-6, costs, proximal=True)
    model = prepared(hh.add_scales(model, channel_map, regularizer))
    hh.attach_proximal(model)
    return model


def seconds(model, batch, steps):
    step = model.make_train_function() or model.train_function
    data = tf.data.Dataset.from_tensors(batch).repeat()
    iterator = iter(data)
    step(iterator)  # traces, the first time
    started = time.perf_counter()
    for _ in range(steps):
        logs = step(iterator)
    float(keras.tree.flatten(logs)[0])
    return (time.perf_counter() - started) / steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=4, help="per round")
    args = parser.parse_args()
    print("| network | images | plain | with scales | ratio | middle half of rounds |")
    print("|---|---|---|---|---|---|")
    for name, (size, batch_size) in NETWORKS.items():
        shape = (size, size, 3)
        build = getattr(keras.applications, name)
        model = build(weights=None, input_shape=shape, classes=10)
        both = [prepared(model), scaled(model)]
        rng = np.random.default_rng(0)
        x = rng.normal(size=(batch_size, *shape)).astype("float32")
        batch = (x, rng.integers(0, 10, batch_size))
        times = []
        for k in range(args.rounds + 1):
            order = (0, 1) if k % 2 else (1, 0)
            found = {i: seconds(both[i], batch, args.steps) for i in order}
            times.append((found[0], found[1]))
        plain, slow = (statistics.median(t) for t in zip(*times[1:], strict=True))
        ratios = [b / a for a, b in times[1:]]
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        print(
            f"| {name} | {batch_size} x {size} px | {plain * 1e3:.0f} ms "
            f"| {slow * 1e3:.0f} ms | {middle:.3f} | {low:.3f} to {high:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
