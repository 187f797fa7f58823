"""What a newcomer's first run shows: `launch/run.py`, seed by seed.

    python benchmarks/first_run.py --seeds=0,1,2,3,4
    python benchmarks/first_run.py --seeds=100,101 --flags='--model=resnet20 --epochs=5'
    python benchmarks/first_run.py --summary

Every run is the command itself, in a process of its own; a row of
`results/first_run.jsonl` is what its `results.json` says of both networks. Rows that
are there are not made again. Differences are paired by seed: original and LW-DNA start
from the same seed and see the same images in the same order.
"""

import argparse
import json
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
ROWS = HERE / "results" / "first_run.jsonl"
# Student's t at 97.5 %, by degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def rows():
    lines = ROWS.read_text().splitlines() if ROWS.exists() else []
    return [json.loads(line) for line in lines]


def measure(flags, seed):
    """One run of the command; returns its row."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE.parent / "launch/run.py")]
        command += [*shlex.split(flags), f"--seed={seed}", f"--workdir={folder}/run"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{shlex.join(command)} failed:\n{done.stderr[-2000:]}")
        found = json.loads(pathlib.Path(folder, "run/results.json").read_text())
    row = {"flags": flags, "seed": seed, "seconds": found["seconds"]}
    for name, model in found["models"].items():
        kept = ("accuracy", "loss", "macs", "params", "tflite_bytes", "train_seconds")
        row[name] = {key: model[key] for key in kept}
        row[name]["latency_ms"] = model["latency_ms"]["median"]
    return row


def summary(found):
    """One line per set of flags."""
    head = ("flags", "seeds", "original", "difference", "95 %", "won")
    head += ("MACs", "parameters", "latency", "seconds")
    yield "| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|"
    for flags in dict.fromkeys(row["flags"] for row in found):
        own = [row for row in found if row["flags"] == flags]
        pairs = [(row["original"], row["lw_dna"]) for row in own]
        gains = [100 * (b["accuracy"] - a["accuracy"]) for a, b in pairs]
        mean, interval = statistics.mean(gains), "–"
        if len(gains) > 1:
            n = len(gains)
            half = _T[min(n, 10) - 2] * statistics.stdev(gains) / n**0.5
            interval = f"{mean - half:+.2f} to {mean + half:+.2f}"
        cells = [
            f"`{flags}`" if flags else "none",
            ", ".join(str(row["seed"]) for row in own),
            f"{statistics.mean(a['accuracy'] for a, _ in pairs):.2%}",
            f"{mean:+.2f}",
            interval,
            f"{sum(g > 0 for g in gains)} of {len(gains)}",
        ]
        for key in ("macs", "params", "latency_ms"):
            cells.append(f"{statistics.median(b[key] / a[key] for a, b in pairs):.3f}x")
        last = statistics.median(row["seconds"]["this start"] for row in own)
        yield "| " + " | ".join([*cells, f"{last:.0f}"]) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flags", default="", help="further flags of launch/run.py")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--summary", action="store_true", help="only what is there")
    args = parser.parse_args()
    for seed in map(int, args.seeds.split(",") if not args.summary else ()):
        known = {(row["flags"], row["seed"]) for row in rows()}
        if (args.flags, seed) not in known:
            row = measure(args.flags, seed)
            with ROWS.open("a") as file:
                file.write(json.dumps(row) + "\n")
    print("\n".join(summary(rows())))


if __name__ == "__main__":
    main()
