"""Trackers from files: `.keras`, or the two parts that are deployed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hh_keras.errors import ModelError
from hh_keras.export import open_model
from hh_keras.export.prediction import input_specs
from hh_keras.models import is_keras_file, sources
from hh_keras.tasks.tracking.following.about import PARTS, files_of, settings_beside
from hh_keras.tasks.tracking.following.running import of_model
from hh_keras.tasks.tracking.following.settings import Settings
from hh_keras.tasks.tracking.following.tracker import Tracker
from hh_keras.tasks.tracking.task import check_model


def open_tracker(
    path: str | Path, settings: Settings | None = None, threads: int | None = None
) -> Tracker:
    """Opens a tracker.

    Args:
        path: a `.keras` file; or one of the two files `NAME_exemplar` and `NAME_search`
            (`.tflite`, or folders of SavedModels), the other lies beside it.
        settings: a `Settings`; None is what the files tell, else what suits the
            network.
        threads: of a `.tflite` interpreter.

    Raises:
        ModelError: a file is missing, corrupt, or no tracker.
    """
    path = Path(path).expanduser()
    if is_keras_file(path):
        model = sources.from_file(path)
        check_model(model)
        return of_model(model, settings)
    exemplar, search = _both(path)
    specs = [input_specs(part) for part in (exemplar, search)]
    (shape, _), *kernel = specs[1]
    if len(specs[0]) != 1 or not kernel or len(shape) != 4:
        raise ModelError(
            f"{path} and its other part are no tracker's; export it again."
        )
    run = [_parts(open_model(part, threads)) for part in (exemplar, search)]

    def answer(inputs: Sequence) -> Any:
        (output,) = run[1](inputs)
        return output

    settings = settings or settings_beside(search)
    probe = answer([np.zeros((1, *s[1:]), "float32") for s, _ in specs[1]])
    return Tracker(run[0], answer, shape[1], probe.shape[-1] == 5, settings)


def _both(path):
    """The two files of a tracker, by one of them."""
    both = files_of(path)
    if not both:
        raise ModelError(
            f"{path}: a tracker is a .keras file, or two files NAME{PARTS[0]} and "
            f"NAME{PARTS[1]} (.tflite, or SavedModel folders); give one of the two."
        )
    missing = [part for part in both if not part.exists()]
    if missing:
        raise ModelError(f"{missing[0]} does not exist: a tracker is two files.")
    return both


def _parts(run: Callable) -> Callable:
    """A file runs on one image at a time."""

    def call(inputs: Any) -> list[np.ndarray]:
        arrays = inputs if isinstance(inputs, list) else [inputs]
        rows = [
            run([np.asarray(a[k : k + 1], "float32") for a in arrays])
            for k in range(len(arrays[0]))
        ]
        return [np.concatenate(column) for column in zip(*rows)]

    return call
