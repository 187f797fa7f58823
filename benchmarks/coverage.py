"""Shrinks every network of keras.applications and writes docs/coverage.md.

    python benchmarks/coverage.py --output docs/coverage.md          (about 20 minutes)
    python benchmarks/coverage.py --only MobileNetV2 ResNet50

For each network: the share of channels that can be removed, the largest difference
between the masked and the rebuilt network relative to the spread of its output (all
weights and statistics random), and times of trace, selection and rebuild.
"""

import argparse
import os
import platform
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402

import hh_keras as hh  # noqa: E402


def networks():
    """Names of the 40 constructors in keras.applications."""
    names = vars(keras.applications)
    return sorted(n for n, f in names.items() if n[0].isupper() and callable(f))


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


def seconds(function, *args):
    start = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - start


def measure(name, size):
    """One row of the table: keep 60 % of the MACs by weight norm."""
    build = getattr(keras.applications, name)
    size = max(size, 331 if name == "NASNetLarge" else size)
    model = build(weights=None, input_shape=(size, size, 3), classifier_activation=None)
    randomize(model)
    hh.trace(model)
    channels, trace_time = seconds(hh.trace, model)
    scores = hh.score_channels(model, criterion="weight_norm")
    budget = hh.Budget(macs=0.6 * hh.cost(model).macs)
    plan, select_time = seconds(hh.select_channels, channels, scores, budget)
    small, rebuild_time = seconds(hh.rebuild, model, plan)
    x = np.random.default_rng(1).uniform(0, 255, (1, size, size, 3)).astype("float32")
    a = np.asarray(hh.mask(model, plan)(x, training=False))
    error = np.abs(a - np.asarray(small(x, training=False))).max() / np.ptp(a)
    return (
        f"| {name} | {channels.removable_share:.0%} | {error:.1e} "
        f"| {hh.cost(small).macs / budget.macs:.4f} | {trace_time * 1e3:.0f} ms "
        f"| {select_time * 1e3:.0f} ms | {rebuild_time:.2f} s |"
    )


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
        "*used*: share of the budget.",
        "",
        "| network | removable channels | error | used | trace | select | rebuild |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in args.only or networks():
        lines.append(measure(name, args.size))
        print(lines[-1], flush=True)
        keras.backend.clear_session()
        if args.output:
            with open(args.output, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
