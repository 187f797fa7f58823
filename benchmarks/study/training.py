"""One run from start to end, in a process of its own with one thread."""

import dataclasses
import functools
import hashlib
import os
import pathlib
import shutil
import time

import keras
import tensorflow as tf

import hh_keras
from hh_keras.tasks.classification.task import TASK
from hh_keras.training import train
from study import data, networks, variants


def one_thread():
    """Keeps a process to one thread: two such processes get more done than one."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def source():
    """Twelve letters that change with the code of package and study."""
    folders = pathlib.Path(hh_keras.__file__).parent, pathlib.Path(__file__).parent
    texts = [p.read_bytes() for d in folders for p in sorted(d.rglob("*.py"))]
    return hashlib.sha256(b"".join(texts)).hexdigest()[:12]


def execute(run, folders, scratch):
    """Trains the network of a run.

    Args:
        run: a `Run`.
        folders: see `data.load`.
        scratch: a folder for checkpoints; a run that was killed goes on from there.

    Returns:
        A dict that JSON can hold: the run, what was measured, the versions.
    """
    started = time.monotonic()
    keras.backend.clear_session()

    @functools.cache
    def loaded(seed, steps=run.protocol.steps):
        protocol = dataclasses.replace(run.protocol, steps=steps)
        return data.load(run.data, folders, protocol, seed)

    _, shape, classes = loaded(run.seed)
    original = networks.build(run.network, shape, classes)
    found = variants.find(run, original, lambda seed: loaded(seed)[0])
    steps = run.protocol.steps - found.search_steps
    workdir = pathlib.Path(scratch, run.key)
    trained = train(
        found.model,
        loaded(run.seed, steps)[0],
        variants.recipe_of(run.protocol, seed=run.seed),
        workdir=workdir,
        name="network",
        steps_per_execution=20,
        task=TASK,
    )
    shutil.rmtree(workdir, ignore_errors=True)
    [row] = trained.history
    cost, before = hh_keras.cost(found.model), hh_keras.cost(original)
    return {
        "key": run.key,
        "run": dataclasses.asdict(run),
        "accuracy": row["val_accuracy"],
        "val_loss": row["val_loss"],
        "train_accuracy": row["accuracy"],
        "train_loss": row["loss"],
        "macs": cost.macs,
        "params": cost.params,
        "original": {"macs": before.macs, "params": before.params},
        "kept": found.kept,
        "steps": steps,
        "search_steps": found.search_steps,
        "seconds": round(time.monotonic() - started, 1),
        "versions": {
            "hh_keras": hh_keras.__version__,
            "source": source(),
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
    }
