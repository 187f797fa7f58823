"""Shrinks all of keras.applications and keras-cv's backbones; writes docs/coverage.md.

    python benchmarks/coverage.py --output docs/coverage.md          (about 20 minutes)
    python benchmarks/coverage.py --only MobileNetV2 ResNet50

For each network: the share of channels that can be removed, the largest difference
between the masked and the rebuilt network relative to the spread of its output (all
weights and statistics random), and times of trace, selection and rebuild.
"""

import argparse
import functools
import os
import pathlib
import platform
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import keras_cv_backbones  # noqa: E402
import numpy as np  # noqa: E402

import hh_keras as hh  # noqa: E402

_BY_HAND = "## Patterns"  # what follows in the page is not this script's


def networks():
    """Name → function of an image size that builds the network."""
    found = {
        name: functools.partial(_application, name)
        for name, f in sorted(vars(keras.applications).items())
        if name[0].isupper() and callable(f)
    }
    for name in keras_cv_backbones.CONFIGS:
        build = functools.partial(keras_cv_backbones.build, name)
        found[f"keras_cv.{name}"] = build
    return found


def _application(name, size):
    build = getattr(keras.applications, name)
    size = 331 if name == "NASNetLarge" else size
    return build(weights=None, input_shape=(size, size, 3), classifier_activation=None)


def randomize(model):
    rng = np.random.default_rng(0)
    for v in model.weights:
        if not str(v.dtype).startswith("float"):
            continue
        if len(v.shape) > 1:
            scale = (2 / max(1, np.prod(v.shape[:-1]))) ** 0.5
            v.assign(rng.normal(0, scale, v.shape))
        elif "beta" in v.name or "mean" in v.name or "bias" in v.name:
            v.assign(rng.normal(0, 0.3, v.shape))
        else:
            v.assign(rng.uniform(0.5, 1.5, v.shape))
    return model


def median_seconds(function, *args, runs=5):
    """The function's result and the median time of a few runs."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        result = function(*args)
        times.append(time.perf_counter() - start)
    return result, statistics.median(times)


def measure(name, build, size):
    """One row of the table: keep 60 % of the MACs by weight norm."""
    model = randomize(build(size))
    channels, trace_time = median_seconds(hh.trace, model)
    row = (
        f"| {name} | {len(model.layers)} | {channels.size:,} "
        f"| {channels.removable_share:.0%} "
    )
    if channels.removable_share < 0.5:
        reasons = {g.frozen for g in channels.groups if g.frozen}
        reason = min(reasons, key=lambda text: "has no rule" not in text)
        return f"{row}| frozen ({reason}) | | {trace_time * 1e3:.0f} ms | | |"
    scores = hh.score_channels(model, criterion="weight_norm")
    budget = hh.Budget(macs=0.6 * hh.cost(model).macs)
    plan, select_time = median_seconds(hh.select_channels, channels, scores, budget)
    small, rebuild_time = median_seconds(hh.rebuild, model, plan, runs=1)
    shape = (1, *model.input_shape[1:])
    x = np.random.default_rng(1).uniform(0, 255, shape).astype("float32")
    masked = outputs(hh.mask(model, plan), x)
    error = np.abs(masked - outputs(small, x)).max() / np.ptp(masked)
    return (
        f"{row}| {error:.1e} | {hh.cost(small).macs / budget.macs:.4f} "
        f"| {trace_time * 1e3:.0f} ms | {select_time * 1e3:.0f} ms "
        f"| {rebuild_time:.2f} s |"
    )


def outputs(model, x):
    """All outputs of a model, flat."""
    flat = keras.tree.flatten(model(x, training=False))
    return np.concatenate([np.asarray(y).reshape(-1) for y in flat])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=None, help="network names")
    parser.add_argument("--size", type=int, default=96, help="image size, pixels")
    parser.add_argument("--output", default=None, help="markdown file to write")
    args = parser.parse_args()
    lines = [
        "# Coverage",
        "",
        f"Made by `benchmarks/coverage.py`: keras {keras.__version__}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"images of {args.size} pixels, 60 % of the MACs kept by weight norm. "
        "*error*: largest difference between the masked and the rebuilt network, "
        "relative to the spread of the output, with random weights and statistics. "
        "*used*: share of the budget. Times of trace and select are medians of five "
        "runs, that of rebuild is of one; other programs ran beside it: "
        "benchmarks/trace.py times the trace alone.",
        "",
        "| network | layers | channels | removable | error | used | trace | select "
        "| rebuild |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    every = networks()
    for name in args.only or every:
        lines.append(measure(name, every[name], args.size))
        print(lines[-1], flush=True)
        keras.backend.clear_session()
        if args.output:
            path = pathlib.Path(args.output)
            text = path.read_text() if path.exists() else ""
            at = text.find(_BY_HAND)
            rest = "\n" + text[at:] if at >= 0 else ""
            path.write_text("\n".join(lines) + "\n" + rest)


if __name__ == "__main__":
    main()
