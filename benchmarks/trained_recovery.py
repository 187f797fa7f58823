"""Ten minutes of recovery behind benchmarks/trained.py: how much comes back?

    python benchmarks/trained.py --photos=FOLDER --weights=weights --models=SMALL
    python benchmarks/trained_recovery.py --photos=FOLDER --weights=weights \
        --models=SMALL

What `hh_keras.sweep` made smaller learns from its original, by `hh_keras.recover`,
both as they come, on the same 1,000 photographs without labels, or all training images
of CIFAR-10. A tenth of them is held out: by it, and never by the tests, settings were
chosen and the weights are kept.
Minutes are those of two cores, counted as processor time, so that other work on the
machine does not matter: ten minutes are 1,200 processor seconds, compilation and
validation included. Rows go to `results/trained.jsonl`, with the method "hh_keras, 10
minutes".
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np
import trained
from photographs import calibration_paths, cifar10, square
from trained_networks import NETWORKS

import hh_keras
from hh_keras.training import pace

CORES = 2
SHARES = (0.7, 0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", required=True, help="the folder of both folders")
    parser.add_argument("--weights", required=True, help="a folder of weights files")
    parser.add_argument("--models", required=True, help="what trained.py saved there")
    parser.add_argument("--recover", type=float, default=10, help="minutes")
    parser.add_argument("--networks", nargs="*", default=["mobilenetv2"])
    parser.add_argument("--shares", nargs="*", type=float, default=SHARES)
    args = parser.parse_args()
    pace.clock = lambda: time.process_time() / CORES
    for name in args.networks:
        recover(name, args)


def images_of(name, folder):
    if "cifar10" in name:
        return cifar10(folder, "train")[0]
    return np.stack([square(path) for path in calibration_paths(folder)])


def recover(name, args):
    path = trained.RESULTS / "trained.jsonl"
    method = f"{trained.DEFAULT}, {args.recover:g} minutes"
    done = {(r["network"], r["method"], r["share"]) for r in trained.rows_of(path)}
    shares = [share for share in args.shares if (name, method, share) not in done]
    if not shares:
        return
    build, data = NETWORKS[name]
    model, images = build(args.weights), images_of(name, args.photos)
    _, tests, labels = data(args.photos)
    wanted, full = trained.answers(model, tests), hh_keras.cost(model)
    for share in shares:
        small = keras.models.load_model(
            pathlib.Path(args.models) / f"{name}-{share}.keras"
        )
        keras.utils.set_random_seed(0)
        before = pace.clock()
        hh_keras.recover(small, model, images, args.recover)
        seconds = pace.clock() - before
        found, cost = trained.answers(small, tests), hh_keras.cost(small)
        row = trained.row(
            name, method, share, cost, found, wanted, labels, seconds, full
        )
        print(row, flush=True)
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
