"""Does the hypothesis hold for trackers? Original, controls and LW-DNA, over seeds.

    python benchmarks/tracking_networks.py --crops=FOLDER --study=fresh
    python benchmarks/tracking_networks.py --crops=FOLDER --study=trained \
        --tracker=runs/head/tracker.keras
    python benchmarks/tracking_networks.py --summary

FOLDER holds crops around targets, see `hh_keras.tasks.tracking.data.crops`; every
tenth sequence of it is held out, for the overlap of single pairs. 16 of these, moved
and zoomed over a frame as in tracking_head.py, and the package's twelve embedded
sequences are followed from first frame to last; with --otb, those sequences are, too.
`fresh`: networks begin anew, shrunk from twice the width.
`trained`: from --tracker, a `.keras` file with weights, channels are removed with
compensation by pairs, other ones for each seed, and nothing is trained. Both at 0.95
and 0.5 of the original's MACs, three seeds, one protocol. One line of JSON per run;
runs that have one are not made again, and a run that was killed goes on from its last
checkpoint.
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

RESULTS = pathlib.Path(__file__).parent / "results" / "tracking"
SEEDS, SHARES = (0, 1, 2), (0.95, 0.5)


@dataclasses.dataclass(frozen=True)
class Study:
    """Networks that are compared, and the protocol of all; `kinds` are criteria."""

    kinds: tuple
    weights: str
    side: int
    epochs: int
    pairs: int
    learning_rate: float
    frozen_statistics: bool
    model: str = "mobilenetv3_small"
    batch_size: int = 16
    min_keep: float = 0.1


STUDIES = {
    "fresh": Study(
        ("uniform", "random", "balanced"), "fresh", 96, 8, 2000, 1e-3, False,
    ),
    "trained": Study(
        ("uniform", "random", "obs"), "inherit", 192, 0, 2000, 0.0, True, "given"
    ),
}  # fmt: skip
_SMOKE = {"pairs": 8, "batch_size": 4}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", choices=STUDIES, help="make its missing runs")
    parser.add_argument("--crops", help="a folder of crops to learn from")
    parser.add_argument("--otb", help="sequences to be followed besides")
    parser.add_argument("--tracker", type=pathlib.Path, help="of --study=trained")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--summary", action="store_true", help="a table")
    parser.add_argument("--smoke", action="store_true", help="a few steps of each")
    return parser.parse_args()


def runs(study, seeds):
    """(kind, share, seed) of all, the originals first."""
    yield from (("original", 1.0, seed) for seed in seeds)
    yield from itertools.product(study.kinds, SHARES, seeds)


def key_of(name, study, kind, share, seed):
    told = json.dumps([name, dataclasses.asdict(study), kind, share, seed])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def network(study, kind, share, seed, data, task, given):
    """The tracker of a run, and the original."""
    import keras
    from study.variants import random_plan, space_of

    import hh_keras
    from hh_keras import models
    from hh_keras.tasks.tracking.networks.trackers import tracker

    keras.utils.set_random_seed(seed)
    if study.weights == "inherit":
        original = keras.models.load_model(given, compile=False)
    else:
        original = tracker(models.build(study.model, (study.side, study.side, 3), 10))
    if kind == "original":
        return original, original
    limits = hh_keras.Budget(macs=share * hh_keras.cost(original).macs)
    if study.weights == "fresh" and kind in ("uniform", "random"):
        space = space_of(original, 2.0, limits, seed)
        plan = (
            space.plan(space.sizes) if kind == "uniform" else random_plan(space, seed)
        )
        return hh_keras.rebuild(space.wide, plan, "fresh", seed), original
    found = hh_keras.shrink(
        original, data.search, task.loss(original), limits, criterion=kind,
        min_keep=0.4 if kind == "gradient" and share > 0.9 else study.min_keep,
        weights=study.weights, seed=seed,
    )  # fmt: skip
    return found.model, original


def followed(model, args):
    """Scores of one pass over each set of sequences."""
    from tracking_head import sequences

    from hh_keras.tasks.tracking.data.sequences import open_videos
    from hh_keras.tasks.tracking.following.running import of_model
    from hh_keras.tasks.tracking.measuring import measures
    from hh_keras.tasks.tracking.measuring.evaluation import one_pass

    sets, scores = sequences(args.crops), {}
    if args.otb:
        sets["otb"] = open_videos(args.otb)
    for name, videos in sets.items():
        each, _ = one_pass(of_model(model), videos[: 1 if args.smoke else None])
        scores[name] = measures.mean(list(each.values())).numbers()
    return scores


def execute(name, study, kind, share, seed, args):
    """Trains the tracker of a run; returns its row."""
    import hh_keras
    from hh_keras.tasks.tracking.measuring.evaluation import score_pairs
    from hh_keras.tasks.tracking.pairs import Geometry, load_pairs
    from hh_keras.tasks.tracking.task import tracking
    from hh_keras.training import Recipe, train

    started, key = time.monotonic(), key_of(name, study, kind, share, seed)
    scratch, task = args.results / "partial" / key, tracking()
    data = load_pairs(
        args.crops, Geometry(study.side, study.side), batch_size=study.batch_size,
        seed=seed, pairs_per_epoch=study.pairs,
        validation_pairs=8 if args.smoke else 320,
    )  # fmt: skip
    model, original = network(study, kind, share, seed, data, task, args.tracker)
    if study.epochs:
        recipe = Recipe(
            epochs=study.epochs, batch_size=study.batch_size, optimizer="adam",
            learning_rate=study.learning_rate, weight_decay=1e-4, augment="track",
            seed=seed, frozen_statistics=study.frozen_statistics,
        )  # fmt: skip
        unwatched = dataclasses.replace(data, validation=None)
        train(model, unwatched, recipe, workdir=scratch, name="network", task=task)
    scores = {"pairs": score_pairs(model, data.validation), **followed(model, args)}
    shutil.rmtree(scratch, ignore_errors=True)
    cost, before = hh_keras.cost(model), hh_keras.cost(original)
    return {
        "key": key,
        "study": name,
        "kind": kind,
        "share": share,
        "seed": seed,
        "settings": dataclasses.asdict(study),
        "scores": scores,
        "macs": cost.macs / before.macs,
        "params": cost.params / before.params,
        "seconds": round(time.monotonic() - started, 1),
        "processor_seconds": round(time.process_time(), 1),
        "version": hh_keras.__version__,
    }


def run_all(args):
    path, study = args.results / "runs.jsonl", STUDIES[args.study]
    if args.smoke:
        study = dataclasses.replace(study, **_SMOKE, epochs=min(1, study.epochs))
    if study.weights == "inherit" and not (args.tracker and args.tracker.exists()):
        raise SystemExit(f"--study={args.study} needs --tracker=FILE.keras")
    for kind, share, seed in runs(study, args.seeds):
        if key_of(args.study, study, kind, share, seed) in finished(path):
            continue
        row = execute(args.study, study, kind, share, seed, args)
        append(path, row)
        told = {name: round(s["auc"], 3) for name, s in row["scores"].items()}
        print(args.study, kind, share, seed, told, f"{row['seconds']} s", flush=True)


def summarise(path):
    """Prints a table of means over seeds."""
    import numpy as np

    rows = list(finished(path).values())
    sets = list(dict.fromkeys(name for row in rows for name in row["scores"]))
    print("| study | network | MACs | " + " | ".join(sets) + " | seeds |")
    print("|---" * (4 + len(sets)) + "|")
    places = dict.fromkeys((r["study"], r["kind"], r["share"]) for r in rows)
    for place in places:
        own = [r for r in rows if (r["study"], r["kind"], r["share"]) == place]
        cells = []
        for name in sets:
            found = [r["scores"][name]["auc"] for r in own if name in r["scores"]]
            spread = f" ± {np.std(found, ddof=1):.3f}" if len(found) > 1 else ""
            cells.append(f"{np.mean(found):.3f}{spread}" if found else "")
        macs = np.mean([r["macs"] for r in own])
        shown = [place[0], place[1], f"{macs:.3f}x", *cells, str(len(own))]
        print("| " + " | ".join(shown) + " |")


def main():
    args = arguments()
    if args.study:
        if not args.crops:
            raise SystemExit("--study needs --crops=FOLDER with boxes.csv")
        run_all(args)
    if args.summary:
        summarise(args.results / "runs.jsonl")


if __name__ == "__main__":
    main()
