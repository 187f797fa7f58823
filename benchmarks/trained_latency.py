"""How much faster are the smaller trained networks as .tflite files?

    python benchmarks/trained_latency.py --weights=weights --models=FOLDER

FOLDER holds what `trained.py --models=FOLDER` saved. Of each network the original and
all sizes are timed in turns, float32, one thread; ratios to the original go to
`results/trained_latency.jsonl`, beside the share of the MACs, in the place of what is
there of this network.
"""

import argparse
import json
import pathlib

import keras
import trained
from trained_networks import NETWORKS

import hh_keras
from hh_keras.latency.comparing import compare


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, help="a folder of weights files")
    parser.add_argument("--models", required=True, help="a folder of .keras files")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    args = parser.parse_args()
    path = trained.RESULTS / "trained_latency.jsonl"
    rows = trained.rows_of(path)
    for name in args.networks:
        build, _ = NETWORKS[name]
        paths = {
            share: pathlib.Path(args.models) / f"{name}-{share}.keras"
            for share in trained.SHARES
        }
        paths = {share: path for share, path in paths.items() if path.exists()}
        if not paths:
            continue
        models = [build(args.weights)]
        models += [keras.models.load_model(path) for path in paths.values()]
        milliseconds, ratios = compare(models)
        macs = [hh_keras.cost(model).macs for model in models]
        rows = [row for row in rows if row["network"] != name]
        for k, share in enumerate((1.0, *paths)):
            line = {
                "network": name,
                "share": share,
                "macs": round(macs[k] / macs[0], 4),
                "milliseconds": round(float(milliseconds[k]), 3),
                "ratio": round(float(ratios[k]), 3),
            }
            print(line, flush=True)
            rows.append(line)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
