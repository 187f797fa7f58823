"""Does the heterogeneity hypothesis hold? Trains networks, controls and LW-DNA.

    python benchmarks/heterogeneity.py --study=choose --data=cifar10=FOLDER
    python benchmarks/heterogeneity.py --study=confirm_law --times --data=...
    python benchmarks/heterogeneity.py --fit --data=...
    python benchmarks/heterogeneity.py --summary

One line of JSON per run; runs that have one are not made again, and a run that was
killed goes on from its last checkpoint. `--times` trains nothing, but times the
networks of a study's first seed as `.tflite` files in turns with their originals.
`--fit` finds the law of study `law`, see `study/fitting.py`.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import signal
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
RESULTS = pathlib.Path(__file__).parent / "results" / "heterogeneity"


def arguments():
    from study.studies import STUDIES

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", choices=STUDIES, help="make its missing runs")
    parser.add_argument("--list", action="store_true", help="only list them")
    parser.add_argument("--times", action="store_true", help="time its networks")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="where a data set of the study is: an image folder, or one of IDX files",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--fit", action="store_true", help="the law of study law")
    parser.add_argument("--summary", action="store_true", help="tables and plots")
    return parser.parse_args()


def finished(path):
    """The lines of a file of results, by key."""
    if not path.exists():
        return {}
    with open(path) as file:
        rows = [_row(line) for line in file]
    return {row["key"]: row for row in rows if row}


def _row(line):
    """A line's row; None if a kill cut it off."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def append(path, row):
    """Adds a line in one write; after a kill the file has whole lines or a rest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    start = "\n" if path.exists() and not path.read_bytes().endswith(b"\n") else ""
    with open(path, "a") as file:
        file.write(start + json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def make(job):
    """Runs in a worker; returns the row, or why there is none."""
    from study.training import execute

    from hh_keras.errors import Stopped

    run, folders, scratch = job
    try:
        return execute(run, folders, scratch)
    except Stopped:  # the checkpoint is written
        raise SystemExit from None
    except Exception as error:
        return {"run": run.variant, "error": f"{type(error).__name__}: {error}"}


def start():
    from study.training import one_thread

    one_thread()


def run_all(args):
    from study.studies import STUDIES

    path = args.results / "runs.jsonl"
    done = finished(path)
    missing = [run for run in STUDIES[args.study]() if run.key not in done]
    print(f"{args.study}: {len(missing)} runs to make", flush=True)
    if args.list:
        for run in missing:
            print(run.key, run.pair, run.variant, run.budget, "seed", run.seed)
        return
    folders = folders_of(args)
    scratch = args.results / "partial"
    jobs = [(run, folders, scratch) for run in missing]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped; start it again"))
    context = multiprocessing.get_context("spawn")
    with context.Pool(args.workers, start, maxtasksperchild=25) as pool:
        for row in pool.imap_unordered(make, jobs):
            if "error" in row:
                print(row["run"], row["error"], file=sys.stderr, flush=True)
                continue
            append(path, row)
            name = f"{row['run']['network']} {row['run']['kind']}"
            print(f"{name} {row['accuracy']:.4f} {row['seconds']} s", flush=True)


def folders_of(args):
    return dict(item.split("=", 1) for item in args.data)


def fit_law(args):
    from study import fitting, usage
    from study.studies import LAW_PAIRS, results_of

    runs = results_of("law", finished(args.results / "runs.jsonl"))
    times = {
        key: row["float32"]
        for key, row in finished(args.results / "times.jsonl").items()
    }
    laws = fitting.grid()
    found = fitting.fit(
        runs, laws, usage.used(LAW_PAIRS, laws, folders_of(args)), times
    )
    print("\n".join(f"{name}: {value}" for name, value in found.items()))


def time_all(args):
    """One network after the other, so that nothing runs beside it."""
    from study import times
    from study.studies import STUDIES

    path = args.results / "times.jsonl"
    runs = list(STUDIES[args.study]())
    first = min((run.seed for run in runs), default=0)
    own = [run for run in runs if run.seed == first and run.kind != "original"]
    folders, known = folders_of(args), finished(path)
    for run in own:
        if run.key not in known:
            row = times.execute(run, folders)
            append(path, row)
            name = f"{run.pair} {run.variant}"
            print(f"{name}: {row['float32']:.3f}, int8 {row['int8']:.3f}", flush=True)


def summarise_all(folder):
    from study import summary, verdict
    from study.studies import results_of

    rows = finished(folder / "runs.jsonl")
    summary.summarise(folder, rows)
    own = results_of("confirm_law", rows)
    if own:
        text = verdict.verdict(own, finished(folder / "times.jsonl"))
        (folder / "verdict.md").write_text(text + "\n")
        print(text)


def main():
    args = arguments()
    if args.study and args.times:
        time_all(args)
    elif args.study:
        run_all(args)
    if args.fit:
        fit_law(args)
    if args.summary:
        summarise_all(args.results)


if __name__ == "__main__":
    main()
