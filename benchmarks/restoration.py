"""Does the hypothesis hold for images that are restored? Networks, controls, LW-DNA.

    python benchmarks/restoration.py --data=FOLDER --study=denoise
    python benchmarks/restoration.py --data=FOLDER --study=sr --photographs=PHOTOS
    python benchmarks/restoration.py --summary

FOLDER has Train400, BSD68, Set12 and Set5, folders of images; PHOTOS are colour
photographs to learn super-resolution from, by default the package's own six. A DnCNN
for noise of sigma 25 and an EDSR for twice the size, each as it is, and shrunk from
twice its width to 0.95 of its MACs and all of its parameters: evenly, at random, by
balanced costs, and by gradients with the paper's floor. Three seeds each. One line of
JSON per run; runs that have one are not made again, and a run that was killed goes on
from its last checkpoint. The networks of the first seed are kept in `networks/` beside
the results, to draw what they make of the package's photographs.
"""

import argparse
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from heterogeneity import append, finished  # noqa: E402

RESULTS = pathlib.Path(__file__).parent / "results" / "restoration"
KINDS = ("original", "uniform", "random", "gradient", "balanced")
SEARCHES = {
    "gradient": {"batches": 3, "min_keep": 0.4},
    "balanced": {"min_keep": 0.1},
}
SEEDS = (0, 1, 2)
SHOWN = {"original": "original", "gradient": "lw_dna"}  # kind → as pictures have it
MACS = 0.95  # at 1.0, evenly shrunk is the original again
BASELINES = {"BSD68": ("BM3D", 28.57), "Set5": ("bicubic", 33.66)}  # dB, published


@dataclasses.dataclass(frozen=True)
class Study:
    """A network, its data and its protocol; `tests` are folders of `--data`."""

    model: str
    model_args: dict
    degrade: str
    train: str
    tests: tuple
    channels: int
    patch: int
    patches_per_image: int
    batch_size: int
    epochs: int
    learning_rate: float
    limit: int | None = None


STUDIES = {
    "denoise": Study(
        "dncnn_s", {"depth": 8, "width": 32}, "noise:25", "Train400",
        ("BSD68", "Set12"), 1, 40, 4, 16, 70, 2e-3,
    ),
    "sr": Study(
        "edsr", {"blocks": 4, "width": 32}, "bicubic:2", "photographs",
        ("Set5",), 3, 28, 64, 16, 15, 1e-3,
    ),
}  # fmt: skip
_SMOKE = {"epochs": 1, "patches_per_image": 2, "batch_size": 4, "limit": 2}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", choices=STUDIES, help="make its missing runs")
    parser.add_argument(
        "--data", type=pathlib.Path, help="Train400, BSD68, Set12, Set5"
    )
    parser.add_argument("--photographs", type=pathlib.Path, help="to learn sr from")
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--summary", action="store_true", help="a table and a plot")
    parser.add_argument(
        "--smoke", action="store_true", help="a few steps: does it run?"
    )
    return parser.parse_args()


def key_of(name, study, kind, seed):
    told = json.dumps([name, dataclasses.asdict(study), kind, seed])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def load(study, train, test, seed, scratch):
    """Pairs of a folder to learn from and of one to measure on."""
    from hh_keras.tasks.restoration.pairs import load_pairs

    both = scratch / f"{train.name}_{test.name}"
    both.mkdir(parents=True, exist_ok=True)
    for part, folder in (("train", train), ("val", test)):
        if not (both / part).exists():
            (both / part).symlink_to(folder.resolve(), target_is_directory=True)
    return load_pairs(
        both, study.degrade, study.patch, study.channels, study.batch_size, seed,
        limit=study.limit, patches_per_image=study.patches_per_image,
    )  # fmt: skip


def network(study, kind, seed, data, task, scale):
    """The network of a run, untrained, and the original."""
    import keras
    from study.variants import random_plan, space_of

    import hh_keras
    from hh_keras import models

    keras.utils.set_random_seed(seed)
    shape = (None, None, study.channels)
    original = models.build(study.model, shape, None, None, study.model_args, scale)
    if kind == "original":
        return original, original
    before = hh_keras.cost(original, data.image_shape)
    limits = hh_keras.Budget(macs=MACS * before.macs, params=before.params)
    if kind in SEARCHES:
        found = hh_keras.shrink(
            original, data.search, task.loss(original), limits, criterion=kind,
            seed=seed, input_shape=data.image_shape, **SEARCHES[kind],
        )  # fmt: skip
        return found.model, original
    space = space_of(original, 2.0, limits, seed, input_shape=data.image_shape)
    plan = space.plan(space.sizes) if kind == "uniform" else random_plan(space, seed)
    return hh_keras.rebuild(space.wide, plan, "fresh", seed), original


def execute(name, study, kind, seed, args):
    """Trains the network of a run; returns its row."""
    import hh_keras
    from hh_keras.data.embedded import PHOTOGRAPHS
    from hh_keras.tasks.restoration.degradation import Degradation
    from hh_keras.tasks.restoration.task import task_for
    from hh_keras.training import Recipe, train

    started, key = time.monotonic(), key_of(name, study, kind, seed)
    scratch = args.results / "partial" / key
    folders = {test: args.data / test for test in study.tests}
    learnt = args.photographs or PHOTOGRAPHS / "train"
    if study.train != "photographs":
        learnt = args.data / study.train
    degradation = Degradation.parse(study.degrade)
    task = task_for(degradation)
    sets = {
        test: load(study, learnt, folder, seed, scratch)
        for test, folder in folders.items()
    }
    data = sets[study.tests[0]]
    model, original = network(study, kind, seed, data, task, degradation.scale)
    recipe = Recipe(
        epochs=study.epochs, batch_size=study.batch_size, optimizer="adam",
        learning_rate=study.learning_rate, weight_decay=0.0, augment="flip_rotate",
        seed=seed,
    )  # fmt: skip
    unwatched = dataclasses.replace(data, validation=None)
    train(
        model, unwatched, recipe, workdir=scratch, name="network", task=task,
        steps_per_execution=20,
    )  # fmt: skip
    scores = {
        test: task.evaluate(model, found.validation) for test, found in sets.items()
    }
    if seed == SEEDS[0]:
        (args.results / "networks").mkdir(parents=True, exist_ok=True)
        model.save(args.results / "networks" / f"{name}_{kind}.keras")
    shutil.rmtree(scratch, ignore_errors=True)
    cost, before = (hh_keras.cost(m, data.image_shape) for m in (model, original))
    return {
        "key": key,
        "study": name,
        "kind": kind,
        "seed": seed,
        "settings": dataclasses.asdict(study),
        "scores": scores,
        "layers": [
            layer.filters for layer in model.layers if hasattr(layer, "filters")
        ],
        "macs": cost.macs / before.macs,
        "params": cost.params / before.params,
        "seconds": round(time.monotonic() - started, 1),
        "version": hh_keras.__version__,
    }


def run_all(args):
    path, study = args.results / "runs.jsonl", STUDIES[args.study]
    if args.smoke:
        study = dataclasses.replace(study, **_SMOKE)
    for name in {study.train, *study.tests} - {"photographs"}:
        if not (args.data / name).is_dir():
            raise SystemExit(f"--data={args.data} has no folder {name}.")
    for seed, kind in itertools.product(SEEDS, KINDS):
        if key_of(args.study, study, kind, seed) in finished(path):
            continue
        row = execute(args.study, study, kind, seed, args)
        append(path, row)
        told = {test: round(s["psnr"], 3) for test, s in row["scores"].items()}
        print(args.study, kind, seed, told, f"{row['seconds']} s", flush=True)


def summarise(results):
    """Prints a table, and writes it to tables.md beside a plot."""
    import numpy as np
    from matplotlib.figure import Figure

    columns = {}
    for row in finished(results / "runs.jsonl").values():
        for test, scores in row["scores"].items():
            place = columns.setdefault((row["study"], test), {})
            place.setdefault(row["kind"], []).append((row, scores))
    lines = ["| study | set | network | MACs | parameters | PSNR, dB | SSIM | seeds |",
             "|---|---|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    figure = Figure((4.5 * max(1, len(columns)), 3.5), layout="constrained")
    for place, ((study, test), kinds) in enumerate(columns.items(), 1):
        axes = figure.add_subplot(1, len(columns), place)
        names = [kind for kind in KINDS if kind in kinds]
        for at, kind in enumerate(names):
            rows, scores = zip(*kinds[kind])
            psnr = np.array([s["psnr"] for s in scores])
            spread = f" ± {psnr.std(ddof=1):.3f}" if len(psnr) > 1 else ""
            cells = (
                f"{np.mean([r['macs'] for r in rows]):.3f}x",
                f"{np.mean([r['params'] for r in rows]):.3f}x",
                f"{psnr.mean():.3f}{spread}",
                f"{np.mean([s['ssim'] for s in scores]):.4f}",
                str(len(psnr)),
            )
            lines.append(f"| {study} | {test} | {kind} | " + " | ".join(cells) + " |")
            axes.plot([at] * len(psnr), psnr, "o", color="#e8710a", alpha=0.8)
        if test in BASELINES:
            name, value = BASELINES[test]
            place = "far below"
            if value > axes.get_ylim()[0] - 0.1:  # else it would flatten the points
                place = "line"
                axes.axhline(value, color="#51687f", linewidth=1)
            axes.set_xlabel(f"{place}: {name}, {value} dB as published")
            if "original" in kinds:
                best = np.mean([s["psnr"] for _, s in kinds["original"]])
                word = "passes" if best > value else "does not reach"
                lines.append(
                    f"|  | {test} | original {word} {name}, {value} dB |||||| "
                )
        axes.set_xticks(range(len(names)), names)
        axes.set_title(f"{study}, {test}: PSNR, dB", loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    text = "\n".join(lines) + "\n"
    print(text)
    (results / "tables.md").write_text(text)
    figure.savefig(results / "psnr.png", dpi=130)


def draw(results):
    """What the first seed's networks make of the package's photographs, if kept."""
    from hh_keras.cli.network import load_saved
    from hh_keras.tasks.restoration.degradation import Degradation
    from hh_keras.tasks.restoration.pairs import load_pairs
    from hh_keras.tasks.restoration.preview import plot_before_after
    from hh_keras.tasks.restoration.task import task_for

    for name, study in STUDIES.items():
        paths = [results / "networks" / f"{name}_{kind}.keras" for kind in SHOWN]
        if not all(path.exists() for path in paths):
            continue
        task, rows = task_for(Degradation.parse(study.degrade)), {}
        data = load_pairs(
            "embedded", study.degrade, study.patch, study.channels, validation_size=512
        )
        for path, key in zip(paths, SHOWN.values()):
            shown = task.preview(load_saved(path), data.validation, 3)
            for place, row in enumerate(shown):
                output = row.pop("output")
                rows.setdefault(place, row)[key] = output
        figure = plot_before_after(list(rows.values()))
        figure.savefig(results / f"{name}_before_after.jpg", dpi=80)


def main():
    args = arguments()
    if args.study:
        if args.data is None:
            raise SystemExit(
                "--study needs --data=FOLDER with Train400, BSD68 and so on"
            )
        run_all(args)
    if args.summary:
        summarise(args.results)
        draw(args.results)


if __name__ == "__main__":
    main()
