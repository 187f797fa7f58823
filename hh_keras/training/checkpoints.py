"""What a training has come to, on disk: enough to go on as if it had not stopped."""

import dataclasses
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras import files
from hh_keras.errors import WorkdirError

_KEPT = 2  # the newest, and the one before in case the newest is damaged


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        epoch: epochs that are finished.
        step: steps taken in the epoch after them.
        seconds: what these steps took.
        rows: the history of the finished epochs.
        rollbacks: how often training went back from a loss that was not finite.
        start: what validation gave before the first step; None if it was not asked.
        span: epochs, and steps of each, that fit into `Recipe.minutes`; or empty.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    rows: tuple = ()
    rollbacks: int = 0
    start: dict | None = None
    span: tuple = ()


def save(
    folder: Path, name: str, arrays: Sequence, progress: Progress, identity: Any
) -> Path:
    """Writes a checkpoint and removes all but the newest two.

    Args:
        folder: where checkpoints go.
        name: of the network.
        arrays: what `values` gave.
        progress: a `Progress`.
        identity: JSON value that says which training this is.

    Returns:
        The file's path.

    Raises:
        WorkdirError: it cannot be written; older ones are still there.
    """
    about = {"identity": identity, "progress": dataclasses.asdict(progress)}
    kept = {f"v{k}": array for k, array in enumerate(arrays)}
    kept["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    path = Path(folder) / f"{name}-{progress.epoch:05d}-{progress.step:07d}.npz"
    files.replace(path, lambda new: np.savez(new, **kept))
    for old in found(folder, name)[_KEPT:]:
        old.unlink()
    return path


def values(model: keras.Model) -> list[np.ndarray]:
    """All that a compiled model's next steps depend on, as a list of arrays.

    Every variable: weights, statistics, optimiser slots, states of random generators,
    running metrics. Workers have to call this together: reading a metric sums it up.
    """
    with model.distribute_strategy.scope():
        return [_plain(variable) for variable in variables(model)]


def found(folder: Path, name: str) -> list:
    """The checkpoint files of a network, newest first."""
    pattern = f"{name}-?????-???????.npz"
    return sorted(Path(folder).glob(pattern), reverse=True)


def load(folder: Path, name: str, identity: Any) -> tuple[Progress, list] | None:
    """Reads the newest checkpoint that is whole.

    Args:
        folder, name, identity: as for `save`.

    Returns:
        `(Progress, list of arrays)`, or None if there is no readable checkpoint. A
        damaged one is passed over with a warning that names it.

    Raises:
        WorkdirError: the checkpoint is of another training.
    """
    for path in found(folder, name):
        try:
            with np.load(path) as file:
                about = json.loads(file["about"].tobytes())
                arrays = [file[f"v{k}"] for k in range(len(file.files) - 1)]
            progress = Progress(**about["progress"])
        except Exception as error:  # zip, numpy and JSON have errors of their own
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            warnings.warn(
                f"checkpoint {path} is damaged ({reason}); going on from the one "
                "before it, if there is one.",
                stacklevel=2,
            )
            continue
        if about["identity"] != identity:
            raise WorkdirError(
                f"{path} belongs to another training (another recipe, network or "
                "data). Choose another work directory, or start anew without resuming."
            )
        return progress, arrays
    return None


def restore(model: keras.Model, arrays: Sequence) -> None:
    """Gives a compiled model, built by `fit`, the variables of a checkpoint."""
    targets = variables(model)
    if [tuple(v.shape) for v in targets] != [array.shape for array in arrays]:
        raise WorkdirError(
            f"the checkpoint holds other variables than {model.name!r} has; start "
            "anew without resuming."
        )
    for variable, array in zip(targets, arrays):
        variable.assign(array)


def remove(folder: Path, name: str) -> None:
    """Removes a network's checkpoints."""
    for path in found(folder, name):
        path.unlink()


def variables(model: keras.Model) -> list:
    """All variables of a compiled model, each once."""
    every = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return list({id(v): v for v in every}.values())


def _plain(variable):
    """The variable as an array that numpy can store without loss."""
    value = tf.convert_to_tensor(variable.value).numpy()
    return value.astype("float32") if str(value.dtype) == "bfloat16" else value
