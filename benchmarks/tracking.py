"""Trackers on whole sequences, ours beside OpenCV's, in one run.

    pip install opencv-contrib-python-headless
    python benchmarks/tracking.py --otb=FOLDER --nanotrack=FOLDER \
        --model=NAME=runs/track/lw_dna_search.tflite
    python benchmarks/tracking.py --summary

One pass over each sequence from its first box; milliseconds are of the tracker alone,
without decoding, all trackers sequence by sequence, so that a busy machine is busy for
all. `--nanotrack` is a folder with NanoTrack's ONNX files (github.com/HonglinChu/
NanoTrack). A tracker that goes one way or the other by a hair makes one pass a draw:
`--passes=5` makes four more, each from a first box that is off by up to a pixel, the
same for all trackers. Writes `results/tracking.jsonl`, a row per tracker, sequence and
pass; rows there are not made again.
"""

import argparse
import itertools
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402

from hh_keras.tasks.tracking.data.sequences import open_videos  # noqa: E402
from hh_keras.tasks.tracking.measuring import measures  # noqa: E402
from hh_keras.tasks.tracking.measuring.evaluation import follow  # noqa: E402
from hh_keras.tasks.tracking.opening import open_tracker  # noqa: E402

ROWS = pathlib.Path(__file__).parent / "results" / "tracking.jsonl"


class OpenCV:
    """One of OpenCV's trackers behind our interface; lost, it has no box."""

    def __init__(self, make):
        self.make = make

    def start(self, frame, box):
        self.tracker = self.make()
        self.tracker.init(_bgr(frame), tuple(int(round(v)) for v in box))

    def update(self, frame):
        found, box = self.tracker.update(_bgr(frame))
        return (np.array(box, float) if found else np.full(4, np.nan)), float(found)


class Still:
    """The first box, which never moves."""

    def start(self, frame, box):
        self.box = np.asarray(box, float)

    def update(self, frame):
        return self.box, 1.0


def _bgr(frame):
    return np.ascontiguousarray(frame[..., ::-1])


def peers(nanotrack):
    """Name → tracker, of those that are installed."""
    found = {"still": Still()}
    try:
        import cv2
    except ImportError:
        return found
    legacy = getattr(cv2, "legacy", cv2)
    for name in ("CSRT", "KCF", "MIL"):
        make = getattr(cv2, f"Tracker{name}_create", None)
        make = make or getattr(getattr(cv2, f"Tracker{name}", None), "create", None)
        if make:
            found[name] = OpenCV(make)
    for name in ("MOSSE", "MedianFlow"):
        make = getattr(legacy, f"Tracker{name}_create", None)
        if make:
            found[name] = OpenCV(make)
    for version in ("v1", "v2") if nanotrack else ():
        settings = cv2.TrackerNano_Params()
        settings.backbone = str(nanotrack / f"nano{version}_backbone.onnx")
        settings.neckhead = str(nanotrack / f"nano{version}_head.onnx")
        make = lambda settings=settings: cv2.TrackerNano_create(settings)  # noqa: E731
        found[f"NanoTrack {version}"] = OpenCV(make)
    return found


def rows():
    lines = ROWS.read_text().splitlines() if ROWS.exists() else []
    return [json.loads(line) for line in lines]


class Shaken:
    """A tracker that is shown a first box a little beside the true one."""

    def __init__(self, tracker, sequence, number):
        self.tracker, self.update = tracker, tracker.update
        seed = [number, *sequence.encode()]
        off = np.random.default_rng(seed).uniform(-1, 1, 4)
        self.off = off if number else np.zeros(4)

    def start(self, frame, box):
        self.tracker.start(frame, np.asarray(box, float) + self.off)


def run(videos, trackers, passes):
    known = {(row["tracker"], row["sequence"], row.get("pass", 0)) for row in rows()}
    for number, video in itertools.product(range(passes), videos):
        for name, tracker in trackers.items():
            if (name, video.name, number) in known:
                continue
            path = follow(Shaken(tracker, video.name, number), video)
            found = measures.measure(path.boxes, video.boxes).numbers()
            row = {
                "tracker": name,
                "sequence": video.name,
                "pass": number,
                "frames": len(video),
                **{key: round(value, 4) for key, value in found.items()},
                "ms": round(1000 * path.seconds / len(video), 2),
            }
            with ROWS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{video.name:12} {name:24} {row['auc']:.3f} {row['ms']:7.1f} ms")


def shaken_table(found):
    """Mean AUC of each pass, and over passes with its deviation."""
    yield "| tracker | passes | AUC, mean | deviation of a pass | each |"
    yield "|---|---|---|---|---|"
    lines = []
    for name in dict.fromkeys(row["tracker"] for row in found if row.get("pass")):
        passes = {}
        for row in found:
            if row["tracker"] == name:
                passes.setdefault(row.get("pass", 0), []).append(row["auc"])
        whole = len(passes[0])
        each = [np.mean(own) for own in passes.values() if len(own) == whole]
        told = ", ".join(f"{auc:.3f}" for auc in each)
        mean, off = np.mean(each), np.std(each, ddof=1)
        lines.append(
            (mean, f"| {name} | {len(each)} | {mean:.3f} | {off:.3f} | {told} |")
        )
    yield from (line for _, line in sorted(lines, reverse=True))


def table(found):
    names = list(dict.fromkeys(row["tracker"] for row in found))
    videos = list(dict.fromkeys(row["sequence"] for row in found))
    yield "| tracker | AUC | precision | ms a frame | " + " | ".join(videos) + " |"
    yield "|---" * (4 + len(videos)) + "|"
    lines = []
    for name in names:
        own = {row["sequence"]: row for row in found if row["tracker"] == name}
        each = [f"{own[v]['auc']:.2f}" if v in own else "" for v in videos]
        auc, precision, ms = (
            np.mean([row[key] for row in own.values()])
            for key in ("auc", "precision20", "ms")
        )
        cells = [name, f"{auc:.3f}", f"{precision:.3f}", f"{ms:.1f}", *each]
        lines.append((auc, "| " + " | ".join(cells) + " |"))
    yield from (line for _, line in sorted(lines, reverse=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--otb", help="a folder of sequences")
    parser.add_argument("--nanotrack", type=pathlib.Path)
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="not all of them")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--summary", action="store_true", help="only what is there")
    args = parser.parse_args()
    if args.otb:
        trackers = peers(args.nanotrack)
        if args.peers is not None:
            trackers = {name: trackers[name] for name in args.peers}
        for text in args.model:
            name, path = text.split("=", 1)
            trackers[name] = open_tracker(path, threads=args.threads)
        run(open_videos(args.otb), trackers, args.passes)
    found = rows()
    print("\n".join(table([row for row in found if not row.get("pass")])))
    if any(row.get("pass") for row in found):
        print("\n".join(["", *shaken_table(found)]))


if __name__ == "__main__":
    main()
