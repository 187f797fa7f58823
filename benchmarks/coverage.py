"""Shrinks keras.applications, keras-cv's and keras-hub's backbones: docs/coverage.md.

    python benchmarks/coverage.py --output docs/coverage.md          (about 25 minutes)
    python benchmarks/coverage.py --only MobileNetV2 ResNet50
    python benchmarks/coverage.py --output docs/coverage.md --only "keras_hub.*"

For each network: the share of channels that can be removed, the largest difference
between the masked and the rebuilt network relative to the spread of its output (all
weights and statistics random), and times of trace, selection and rebuild. Those of
keras-hub are made small; their table says what stays, and whether a file is the model.
With `--only` (names or patterns) the rows of all others stay in the page.
"""

import argparse
import collections
import fnmatch
import functools
import os
import pathlib
import platform
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import keras_cv_backbones  # noqa: E402
import keras_hub_backbones  # noqa: E402
import numpy as np  # noqa: E402

import hh_keras as hh  # noqa: E402

_BY_HAND = "## Patterns"  # what follows in the page is not this script's
_HUB = "keras_hub."
_HUB_SHARE = 0.5


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
    for name in keras_hub_backbones.BACKBONES:
        build = functools.partial(keras_hub_backbones.build, name)
        found[f"{_HUB}{name}"] = build
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


def measure(name, build, size, untimed=False):
    """One row of the table: keep 60 % of the MACs by weight norm."""
    model, runs = randomize(build(size)), 1 if untimed else 5
    channels, trace_time = median_seconds(hh.trace, model, runs=runs)
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
    plan, select_time = median_seconds(
        hh.select_channels, channels, scores, budget, runs=runs
    )
    small, rebuild_time = median_seconds(hh.rebuild, model, plan, runs=1)
    x = example(model)
    error = difference(hh.mask(model, plan), small, x)
    row += f"| {error:.1e} | {hh.cost(small).macs / budget.macs:.4f} "
    if untimed:
        return f"{row}| | | |"
    return (
        f"{row}| {trace_time * 1e3:.0f} ms | {select_time * 1e3:.0f} ms "
        f"| {rebuild_time:.2f} s |"
    )


def measure_hub(name, build, size):
    """One row of keras-hub's table: keep half of the MACs, write a file, load it."""
    keras.utils.set_random_seed(0)
    model = randomize(build(size))
    channels = hh.trace(model)
    budget = hh.Budget(macs=_HUB_SHARE * hh.cost(model).macs)
    scores = hh.score_channels(model, criterion="weight_norm")
    # Few channels on purpose: floors are for networks of the usual width.
    plan = hh.select_channels(channels, scores, budget, min_keep=0.0)
    small, x = hh.rebuild(model, plan), example(model)
    error = difference(hh.mask(model, plan), small, x)
    with tempfile.TemporaryDirectory() as folder:
        small.save(f"{folder}/small.keras")
        loaded = keras.models.load_model(f"{folder}/small.keras")
    same = "the same" if difference(small, loaded, x) == 0 else "**differs**"
    return (
        f"| {name} | {hh.cost(model).macs / 1e6:.2f} M | {channels.size:,} "
        f"| {channels.removable_share:.0%} | {what_stays(channels)} | {error:.1e} "
        f"| {hh.cost(small).macs / budget.macs:.4f} | {same} |"
    )


def what_stays(channels):
    """How many channels stay for which reason, the layers' names left out."""
    reasons = collections.Counter()
    for group in channels.groups:
        if group.frozen:
            reasons[group.frozen.split(": ", 1)[-1]] += len(group)
    return ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())


def example(model):
    """Random inputs: pixels, tokens, and a mask of padding at the end of texts."""
    rng = np.random.default_rng(1)

    def one(path, t):
        shape, name = (1, *t.shape[1:]), str(path)
        if "mask" in name and len(shape) == 2:
            return (np.arange(shape[1]) < shape[1] - 3).astype(t.dtype)[None]
        if "int" in t.dtype:
            return rng.integers(0, 2 if "segment" in name else 50, shape).astype(
                t.dtype
            )
        return rng.uniform(0, 255, shape).astype("float32")

    found = [one(*each) for each in keras.tree.flatten_with_path(model.input)]
    return keras.tree.pack_sequence_as(model.input, found)


def difference(model, other, x):
    """The largest, relative to the spread of the output."""
    a, b = (
        [np.asarray(y) for y in keras.tree.flatten(m(x, training=False))]
        for m in (model, other)
    )
    return max(np.abs(p - q).max() / np.ptp(p) for p, q in zip(a, b, strict=True))


def rows_of(text):
    """Network name → its row, of a page that was written before."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return {line.split(" | ")[0][2:]: line for line in lines}


def page(rows, size):
    """The lines of the page, of a row for each network."""
    ours = [row for name, row in rows.items() if not name.startswith(_HUB)]
    hub = [row for name, row in rows.items() if name.startswith(_HUB)]
    return [
        "# Coverage",
        "",
        f"Made by `benchmarks/coverage.py`: keras {keras.__version__}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"images of {size} pixels, 60 % of the MACs kept by weight norm. "
        "*error*: largest difference between the masked and the rebuilt network, "
        "relative to the spread of the output, with random weights and statistics. "
        "*used*: share of the budget. Times of trace and select are medians of five "
        "runs, that of rebuild is of one; other programs ran beside it: "
        "benchmarks/trace.py times the trace alone. Rows without times were made "
        "while the machine had too much to do for any.",
        "",
        "| network | layers | channels | removable | error | used | trace | select "
        "| rebuild |",
        "|---|---|---|---|---|---|---|---|---|",
        *ours,
        "",
        "## keras-hub",
        "",
        "Backbones of keras-hub from their classes, made small "
        "(`benchmarks/keras_hub_backbones.py`), with a Dense of ten units on every "
        f"output; texts of {keras_hub_backbones.TOKENS} tokens. "
        f"{_HUB_SHARE:.0%} of the MACs are kept. Their composite layers are opened. "
        "*file*: whether what is loaded gives the same numbers bit for bit. "
        "Everywhere the outputs stay, and the inputs.",
        "",
        "| network | MACs | channels | removable | what stays | error | used | file |",
        "|---|---|---|---|---|---|---|---|",
        *hub,
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=None, help="network names")
    parser.add_argument("--size", type=int, default=96, help="image size, pixels")
    parser.add_argument(
        "--untimed", action="store_true", help="no times: other programs run"
    )
    parser.add_argument("--output", default=None, help="markdown file to write")
    args = parser.parse_args()
    every = networks()
    path = args.output and pathlib.Path(args.output)
    text = path.read_text() if path and path.exists() else ""
    at = text.find(_BY_HAND)
    by_hand = "\n" + text[at:] if at >= 0 else ""
    known = rows_of(text[:at]) if args.only else {}
    rows = {name: known[name] for name in every if name in known}
    for name, build in every.items():
        if args.only and not any(fnmatch.fnmatch(name, p) for p in args.only):
            continue
        if name.startswith(_HUB):
            rows[name] = measure_hub(name, build, args.size)
        else:
            rows[name] = measure(name, build, args.size, args.untimed)
        print(rows[name], flush=True)
        keras.backend.clear_session()
        if path:
            ordered = {name: rows[name] for name in every if name in rows}
            path.write_text("\n".join(page(ordered, args.size)) + "\n" + by_hand)


if __name__ == "__main__":
    main()
