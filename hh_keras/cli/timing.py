"""Timing files: what is measured, and how it is written."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import tensorflow as tf
from absl.flags import FlagValues

from hh_keras import latency
from hh_keras.errors import HHError, ModelError
from hh_keras.export import input_sizes, latencies
from hh_keras.export.formats import file_size
from hh_keras.graph.table import text_table
from hh_keras.report import numbers


def check(paths: Sequence[str], threads: int) -> None:
    """Raises HHError for what would fail only after a long time, or mislead."""
    cpus = os.cpu_count() or 1
    if threads > cpus:
        raise HHError(
            f"--threads={threads}: this machine has {cpus} CPUs; more threads than "
            "CPUs wait for each other."
        )
    for path in map(pathlib.Path, paths):
        if not path.exists():
            raise ModelError(f"--model={path}: there is no such file.")


def measure(args: FlagValues) -> dict:
    """Times the files of --model in turns.

    Returns:
        A dict of JSON values: `device`, `threads`, and `files`, a list of the fields of
        `hh_keras.export.Latency` and of what the file is.
    """
    if not all(path.endswith(".tflite") for path in args.model):
        _limit_tensorflow(args.threads)
    size = (*args.image_size, None) if args.image_size else None
    shapes = [
        [list(shape) for shape, _ in input_sizes(path, args.batch, size)]
        for path in args.model
    ]
    found = latencies(
        args.model,
        size,
        runs=args.rounds,
        warmup=args.warmup,
        threads=args.threads,
        seconds=args.seconds,
        batch=args.batch,
    )
    names = _names(args.model)
    files = [
        {
            "file": path,
            "name": name,
            "bytes": file_size(pathlib.Path(path)),
            "inputs": its_shapes,
            **dataclasses.asdict(each),
        }
        for path, name, its_shapes, each in zip(
            args.model, names, shapes, found, strict=True
        )
    ]
    return {"device": latency.device(), "threads": args.threads, "files": files}


def _limit_tensorflow(threads):
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise HHError(
            "TensorFlow has run before in this process and cannot change its threads; "
            "time SavedModels and .keras files in a new one."
        ) from error


def _names(paths):
    """The last parts of paths, as many as tell them apart."""
    parts = [pathlib.Path(path).parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(set(paths)):
            break
    return names


def text(found: Mapping) -> str:
    """The table that is printed."""
    head = [*"file input size median p10 p90 p99 ratio".split(), "middle half"]
    rows = []
    for each in found["files"]:
        times = (each[key] for key in ("median_ms", "p10_ms", "p90_ms", "p99_ms"))
        rows.append(
            [
                each["name"],
                " ".join("x".join(map(str, shape)) for shape in each["inputs"]),
                numbers.file_size(each["bytes"]),
                *(f"{ms:.3g} ms" for ms in times),
                f"{each['ratio']:.3f}",
                f"{each['ratio_p25']:.3f} to {each['ratio_p75']:.3f}",
            ]
        )
    runs, threads = found["files"][0]["runs"], found["threads"]
    foot = f"{runs} rounds in turns, {threads} thread{'s' * (threads > 1)}."
    return f"{text_table(head, rows, right=range(2, len(head)))}\n{foot}"
