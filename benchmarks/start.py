"""Times what a user waits for before any work is done, in turns.

    python benchmarks/start.py

Imports, `--help`, a flag that does not exist, and the search of the default run without
the imports. Every start has a process of its own. Seconds of the processor are given
beside those of the clock: other work on the machine hardly changes them.
"""

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("ABSL_MIN_LOG_LEVEL", "3")

ROOT = pathlib.Path(__file__).resolve().parents[1]
RUN = str(ROOT / "launch" / "run.py")
STARTS = {
    "import keras": ["-c", "import keras"],
    "import hh_keras": ["-c", "import hh_keras"],
    "import keras, hh_keras": ["-c", "import keras, hh_keras"],
    "hh_keras.shrink": ["-c", "import hh_keras; hh_keras.shrink"],
    "launch/run.py --help": [RUN, "--help"],
    "launch/run.py --hepl": [RUN, "--hepl"],
    "its imports": [__file__, "--search=no"],
    "its imports and search": [__file__, "--search=yes"],
}


def start(command):
    """Seconds of the clock and of the processor that a process takes."""
    before = _spent()
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True)
    return time.perf_counter() - started, _spent() - before


def _spent():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def imported(yes):
    """What `launch/run.py --stage=search` does, or only imports."""
    sys.path[0] = str(ROOT)
    import hh_keras
    from hh_keras.cli import network, results, search, stages, training  # noqa: F401
    from hh_keras.cli.commands import run
    from hh_keras.tasks import registry  # noqa: F401

    _ = hh_keras.shrink, hh_keras.widen  # loaded when they are first used
    if yes:
        with tempfile.TemporaryDirectory() as folder:
            sys.exit(run.entry(["--stage=search", f"--workdir={folder}"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--search", choices=("yes", "no"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.search:
        imported(args.search == "yes")
        return
    times = {name: [] for name in STARTS}
    for _ in range(args.rounds):
        for name, command in STARTS.items():
            times[name].append(start(command))
    print("| start | seconds | of the processor | / import keras | rounds |")
    print("|---|---|---|---|---|")
    base = [cpu for _, cpu in times["import keras"]]
    for name, found in times.items():
        clock, cpu = (statistics.median(each) for each in zip(*found))
        ratios = [mine / other for (_, mine), other in zip(found, base)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        ratio = statistics.median(ratios)
        print(f"| {name} | {clock:.2f} | {cpu:.2f} | {ratio:.2f} | {spread} |")


if __name__ == "__main__":
    main()
