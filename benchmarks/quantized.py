"""What the kinds of .tflite files cost in accuracy, and what they save in bytes.

    python benchmarks/quantized.py                       # about 20 minutes on two cores
    python benchmarks/quantized.py --networks=resnet20 --seeds=0,1,2

Trains each network for four epochs on the embedded images, exports it in every kind,
and prints one row per kind: means over the seeds. All files stay in --workdir; started
again, it goes on where it was.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from hh_keras.cli.commands import export, train

KINDS = ("float32", "float16", "dynamic", "int8", "qat")


def exported(name, seed, workdir):
    """Trains and exports a network; returns what its parity report says."""
    folder = pathlib.Path(workdir, f"{name}_{seed}")
    training = [f"--model={name}", f"--seed={seed}", "--epochs=4"]
    kinds = f"--formats={','.join(KINDS)}"
    for entry, flags in (
        (train.entry, [*training, f"--workdir={folder}"]),
        (export.entry, [f"--run={folder}", kinds, "--allow_drop"]),
    ):
        if entry(flags):
            raise SystemExit(1)
    report = json.loads((folder / "export/export.json").read_text())
    return report["models"]["model"]


def table(found):
    """Rows of one network over its seeds."""
    full = np.mean([f["files"]["float32"]["bytes"] for f in found])
    for kind in KINDS:
        rows = [f["files"][kind] for f in found]
        drops = [0 - 100 * row["drop"] for row in rows]
        size = np.mean([row["bytes"] for row in rows])
        each = ", ".join(f"{drop:+.2f}" for drop in drops)
        yield (
            kind,
            f"{size / 1e3:.0f} kB",
            f"{size / full:.2f}",
            f"{np.mean([row['accuracy'] for row in rows]):.2%}",
            each,
            f"{np.mean([row['top1_agreement'] for row in rows]):.2%}",
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", default="resnet20,mobilenetv2_small")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--workdir", default="runs/quantized")
    args = parser.parse_args()
    head = (
        "| network | kind | size | / float32 | accuracy | change, points | same class |"
    )
    lines = [head, "|---|---|---|---|---|---|---|"]
    for name in args.networks.split(","):
        seeds = args.seeds.split(",")
        found = [exported(name, seed, args.workdir) for seed in seeds]
        lines += [f"| {name} | " + " | ".join(row) + " |" for row in table(found)]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
