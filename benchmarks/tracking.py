"""Trackers on whole sequences, ours beside OpenCV's, in one run.

    pip install opencv-contrib-python-headless
    python benchmarks/tracking.py --otb=FOLDER --nanotrack=FOLDER \
        --model=NAME=runs/track/lw_dna_search.tflite
    python benchmarks/tracking.py --summary

One pass over each sequence from its first box; milliseconds are of the tracker alone,
without decoding, all trackers sequence by sequence, so that a busy machine is busy for
all. `--nanotrack` is a folder with NanoTrack's ONNX files (github.com/HonglinChu/
NanoTrack). Writes `results/tracking.jsonl`, a row per tracker and sequence; rows there
are not made again.
"""

import argparse
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


def run(videos, trackers):
    known = {(row["tracker"], row["sequence"]) for row in rows()}
    for video in videos:
        for name, tracker in trackers.items():
            if (name, video.name) in known:
                continue
            path = follow(tracker, video)
            found = measures.measure(path.boxes, video.boxes).numbers()
            row = {
                "tracker": name,
                "sequence": video.name,
                "frames": len(video),
                **{key: round(value, 4) for key, value in found.items()},
                "ms": round(1000 * path.seconds / len(video), 2),
            }
            with ROWS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{video.name:12} {name:24} {row['auc']:.3f} {row['ms']:7.1f} ms")


def table():
    found = rows()
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
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--summary", action="store_true", help="only what is there")
    args = parser.parse_args()
    if args.otb:
        trackers = peers(args.nanotrack) if args.peers else {}
        for text in args.model:
            name, path = text.split("=", 1)
            trackers[name] = open_tracker(path, threads=args.threads)
        run(open_videos(args.otb), trackers)
    print("\n".join(table()))


if __name__ == "__main__":
    main()
