"""Ten minutes of recovery behind benchmarks/trained.py: how much comes back?

    python benchmarks/trained.py --photos=FOLDER --weights=weights --models=SMALL
    python benchmarks/trained_recovery.py --photos=FOLDER --weights=weights \
        --models=SMALL

What `hh_keras.sweep` made smaller learns from its original, by `hh_keras.recover`,
both as they come, on the same 1,000 photographs without labels. A tenth of them is held
out: by it, and never by the tests, settings were chosen and the weights are kept.
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
from photographs import calibration_paths, photographs, square

import hh_keras
from hh_keras.training import pace

CORES, NAME = 2, "mobilenetv2"
SHARES = (0.7, 0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", required=True, help="the folder of both folders")
    parser.add_argument("--weights", required=True, help="a folder of weights files")
    parser.add_argument("--models", required=True, help="what trained.py saved there")
    parser.add_argument("--recover", type=float, default=10, help="minutes")
    parser.add_argument("--shares", nargs="*", type=float, default=SHARES)
    args = parser.parse_args()
    pace.clock = lambda: time.process_time() / CORES
    path = trained.RESULTS / "trained.jsonl"
    method = f"{trained.DEFAULT}, {args.recover:g} minutes"
    done = {(r["network"], r["method"], r["share"]) for r in trained.rows_of(path)}
    shares = [share for share in args.shares if (NAME, method, share) not in done]
    if not shares:
        return
    _, tests, labels = photographs(args.photos)
    larger = np.stack([square(each) for each in calibration_paths(args.photos)])
    model = trained.NETWORKS[NAME][0](args.weights)
    wanted, full = trained.answers(model, tests), hh_keras.cost(model)
    for share in shares:
        small = keras.models.load_model(
            pathlib.Path(args.models) / f"{NAME}-{share}.keras"
        )
        keras.utils.set_random_seed(0)
        before = pace.clock()
        hh_keras.recover(small, model, larger, args.recover)
        seconds = pace.clock() - before
        found, cost = trained.answers(small, tests), hh_keras.cost(small)
        row = trained.row(
            NAME, method, share, cost, found, wanted, labels, seconds, full
        )
        print(row, flush=True)
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
