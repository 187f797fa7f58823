"""What is left of a run, in seconds: guessed from a probe, then learnt from the run."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl.flags import FlagValues

from hh_keras.cli import network
from hh_keras.cli.recovery import original_teaches
from hh_keras.cli.stages import NAMES
from hh_keras.cli.workdir import Run
from hh_keras.data import ImageData
from hh_keras.training import Recipe, checkpoints
from hh_keras.training.history import read_history

_BACKWARD = 4  # a step of training in forward passes
_PASSES = 5
# Building, tracing and converting take as much longer as the trace of a forward pass
# does. In such traces, and in seconds beside them:
_COMPILING = 6
_AROUND, _AROUND_SECONDS = 3, 2.5  # a training: loading, evaluating, saving
_EXPORTING, _EXPORTING_SECONDS = 32, 5.0
_REPORTING, _REPORTING_SECONDS = 2, 2.0


class Forecast:
    """Tells what is left of a run.

    Args:
        run: the `Run`, its search finished.
        data, recipe, args: of its trainings.
    """

    def __init__(
        self, run: Run, data: ImageData, recipe: Recipe, args: FlagValues
    ) -> None:
        self.run, self.data, self.recipe = run, data, recipe
        self.resume = args.resume
        self.trained = NAMES[1:] if original_teaches(args) else NAMES
        files = [run.path / f"initial/{name}.keras" for name in NAMES]
        models = [network.load_saved(path) for path in files]
        images = next(iter(data.train))[0]
        self.trace, seconds = probe(models, images)
        self.image = dict(zip(NAMES, seconds))
        self.whole: dict[str, float] = {}

    def left(self) -> float:
        """Seconds from here to the end of the run."""
        return sum(self._training(n) for n in NAMES) + self._afterwards()

    def learn(self, name: str) -> Callable[[float, float], float]:
        """For `hh_keras.training.train` of that network: what it takes as `to_go`.

        What the training finds of its own speed, it keeps for the other network.
        """

        def to_go(left: float, whole: float) -> float:
            self.whole[name] = whole
            others = sum(self._training(n) for n in NAMES if n != name)
            # Half of what is around a training comes before it.
            return left + self._around(name) / 2 + others + self._afterwards()

        return to_go

    def _training(self, name: str) -> float:
        """Seconds of a training that is not under way."""
        if f"train {name}" in self.run.stages or name not in self.trained:
            return 0.0
        whole = self._took(name) or self._like_the_other(name) or self._guessed(name)
        return whole * (1 - self._done(name)) + self._around(name)

    def _took(self, name):
        """A training's seconds by what is known of itself; None if nothing is."""
        if name in self.whole:
            return self.whole[name]
        if self.recipe.minutes:
            return 60 * self.recipe.minutes
        if f"train {name}" in self.run.stages:
            return self.run.stages[f"train {name}"]["train_seconds"]
        rows = self._rows(name)
        if not rows:
            return None
        return self.recipe.epochs * float(np.median([row["seconds"] for row in rows]))

    def _like_the_other(self, name):
        """The seconds of the other training, times the ratio of forward passes."""
        other = NAMES[1 - NAMES.index(name)]
        seconds = self._took(other) if other in self.trained else None
        return seconds and seconds * self.image[name] / self.image[other]

    def _guessed(self, name):
        images = _BACKWARD * self.data.num_train + self.data.num_validation
        epochs = self.recipe.epochs * images * self.image[name]
        return _COMPILING * self.trace + epochs

    def _rows(self, name):
        """The epochs of a training that an earlier start of the run has done."""
        if not (self.resume and checkpoints.found(self.run.path / "checkpoints", name)):
            return []
        try:
            return read_history(self.run.path, name)
        except FileNotFoundError:
            return []

    def _done(self, name):
        """The share of a training that an earlier start of the run has done."""
        if self.recipe.minutes:
            seconds = sum(row["seconds"] for row in self._rows(name))
            return min(1.0, seconds / (60 * self.recipe.minutes))
        newest = checkpoints.found(self.run.path / "checkpoints", name)[:1]
        if not (newest and self.resume):
            return 0.0
        epoch, step = map(int, newest[0].stem.rsplit("-", 2)[1:])
        steps = max(1, int(self.data.train.cardinality()))
        return min(1.0, (epoch + min(step / steps, 1)) / self.recipe.epochs)

    def _around(self, name):
        """Seconds of a training's stage besides the training."""
        evaluation = self.data.num_validation * self.image[name]
        return _AROUND * self.trace + _AROUND_SECONDS + evaluation

    def _afterwards(self):
        """Seconds of export and report."""
        left = _REPORTING * self.trace + _REPORTING_SECONDS
        if "export" not in self.run.stages:
            left += _EXPORTING * self.trace + _EXPORTING_SECONDS
        return left


def probe(models: list[keras.Model], images: Any) -> tuple[float, list[float]]:
    """Times forward passes of networks that differ in their channels, in turns.

    Returns:
        Seconds that a first pass takes longer, and seconds of an image in each network.
    """
    calls = [
        tf.function(lambda x, model=model: model(x, training=False)) for model in models
    ]
    firsts = [_seconds(call, images) for call in calls]
    turns = [[_seconds(call, images) for call in calls] for _ in range(_PASSES)]
    typical = np.min(turns, axis=0)  # what breaks in makes a pass longer only
    # The first of all passes also starts TensorFlow's threads.
    trace = max(float(np.min(firsts - typical)), 0.0)
    return trace, (typical / len(images)).tolist()


def _seconds(call, images):
    started = time.perf_counter()
    call(images)
    return time.perf_counter() - started
