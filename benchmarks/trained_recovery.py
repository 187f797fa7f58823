"""Ten minutes of recovery behind benchmarks/trained.py: how much comes back?

    python benchmarks/trained_recovery.py --photos=FOLDER --weights=weights --recover=10

Networks that are smaller by "obs, compensated" learn from their original on the 1,000
photographs that calibrated them, without labels: `hh_keras.recover`, as it comes, on
random pieces of the 256-pixel images. A tenth of these is held out; by them, and never
by the tests, settings were chosen and the weights are kept. Minutes are those of two
cores, counted as processor time, so that other work on the machine does not matter: ten
minutes are 1,200 processor seconds, with compilation and validation. Rows go to
`results/trained.jsonl`, with the method "obs, compensated, 10 minutes".
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np
import trained
from PIL import Image

import hh_keras
from hh_keras.training import pace

CORES, SIDE = 2, 256
SHARES = (0.7, 0.5)


def whole(path):
    """The largest square of a photograph, uint8 `(256, 256, 3)`."""
    image = Image.open(path).convert("RGB")
    x, y = ((n - min(image.size)) // 2 for n in image.size)
    side = min(image.size)
    square = image.crop((x, y, x + side, y + side))
    return np.asarray(square.resize((SIDE, SIDE)))


def squares(folder):
    """The calibration photographs, in the order of `trained.photographs`."""
    samples = sorted((pathlib.Path(folder) / "imagenet1k_samples").rglob("*.jpg"))
    order = np.random.default_rng(0).permutation(len(samples))
    return np.stack([whole(samples[k]) for k in order])


def smaller(model, shares, calibration):
    """For each share, the network by "obs, compensated"."""
    channels, full = hh_keras.trace(model), hh_keras.cost(model)
    batches = trained.batches(calibration)
    moments = trained.calibration_moments(model, channels, batches)
    scores = trained.score(model, channels, moments, "obs", calibration)
    for share in shares:
        budget = hh_keras.Budget(macs=share * full.macs)
        plan = hh_keras.select_channels(channels, scores, budget, min_keep=0.02)
        small = hh_keras.rebuild(model, plan)
        keep = plan.keep_in(channels)
        trained.compensate(model, small, channels, keep, moments)
        yield share, small


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", required=True, help="the folder of both folders")
    parser.add_argument("--weights", required=True, help="a folder of weights files")
    parser.add_argument("--recover", type=float, default=10, help="minutes")
    parser.add_argument("--networks", nargs="*", default=["mobilenetv2"])
    parser.add_argument("--shares", nargs="*", type=float, default=SHARES)
    args = parser.parse_args()
    pace.clock = lambda: time.process_time() / CORES
    path = trained.RESULTS / "trained.jsonl"
    method = f"obs, compensated, {args.recover:g} minutes"
    calibration, tests, labels = trained.photographs(args.photos)
    for name in args.networks:
        done = {(r["network"], r["method"], r["share"]) for r in trained.rows_of(path)}
        left = [s for s in args.shares if (name, method, s) not in done]
        model = trained.NETWORKS[name](args.weights)
        wanted, full = trained.answers(model, tests), hh_keras.cost(model)
        for share, small in smaller(model, left, calibration) if left else ():
            before = pace.clock()
            hh_keras.recover(
                small,
                model,
                squares(args.photos),
                args.recover,
                name=f"{name} {share}x",
            )
            seconds = pace.clock() - before
            found = trained.answers(small, tests)
            row = trained.row(
                name, method, share, hh_keras.cost(small), found, wanted, labels,
                seconds, full,
            )  # fmt: skip
            print(row, flush=True)
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        keras.backend.clear_session()


if __name__ == "__main__":
    main()
