"""What is kept of a training while it runs."""

import dataclasses
import math
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from hh_keras import files
from hh_keras.errors import HHError, Stopped, WorkdirError
from hh_keras.goal import Goal
from hh_keras.progress import Waiting, duration
from hh_keras.training import checkpoints
from hh_keras.training.averaging import swap
from hh_keras.training.history import best_epoch, better, exhausted, write_history
from hh_keras.training.layerwise import changed
from hh_keras.training.optimizers import innermost
from hh_keras.training.recipes import Recipe
from hh_keras.training.replicas import chiefs, is_chief, workers
from hh_keras.training.watch import Watch

_WRAPPED: dict = {
    "subsequent_indent": "    ",
    "break_long_words": False,
    "break_on_hyphens": False,
}
ROLLBACKS = 5  # after so many, a training gives up


class NotFinite(HHError):
    """The loss or a weight is NaN or infinite."""


class Keeper(keras.callbacks.Callback):
    """Keeps what a training comes to: history, checkpoints, models, news on the screen.

    Stops the training at the step at which the loss is no longer a number, or at which
    it was asked to stop. This prints a line per epoch with the time to go and, where
    Keras draws no bar (a log file, a pipe), one every ten seconds.
    Of several workers, the chief alone writes and prints.

    Args:
        network: the model that files are made of.
        plain: what to change in its layers first, see `layerwise.changed`.
        recipe, steps: the `Recipe` and the steps of an epoch.
        workdir, name, checkpoint_steps, epoch_models: as of `train`.
        asked_to_stop: a `threading.Event`.
        until: as of `train`.
        goal: the `Goal` that tells the best epoch.
        verbosity: 2 also prints lines within an epoch, 0 prints nothing.
        tests, to_go: see `hh_keras.training.watch.Watch`.
    """

    def __init__(
        self,
        network: keras.Model,
        plain: Sequence,
        recipe: Recipe,
        steps: int,
        workdir: str | Path | None,
        name: str,
        checkpoint_steps: int,
        epoch_models: bool,
        asked_to_stop: threading.Event,
        until: Callable[[list], bool] | None,
        goal: Goal,
        verbosity: int = 2,
        tests: int = 0,
        to_go: Callable[[float, float], float] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.plain = network, plain
        self.recipe, self.steps, self.name = recipe, steps, name
        self.epochs = recipe.epochs
        self.workdir = None if workdir is None else Path(workdir)
        self.checkpoint_steps, self.epoch_models = checkpoint_steps, epoch_models
        self.asked_to_stop, self.until = asked_to_stop, until
        self.measure, self.goal = goal, goal.key
        self.verbosity, self.waiting = verbosity, Waiting()
        self.watch = Watch(steps, tests, to_go)
        self.identity = {"recipe": dataclasses.asdict(recipe), "steps": steps}
        self.folder = self.workdir and self.workdir / "checkpoints"
        self.writes = is_chief(network.distribute_strategy)
        self.progress = checkpoints.Progress()
        self.rows: list[dict] = []
        self.epoch, self.step = 0, 0
        self.first, self.before, self.started = 0, 0.0, 0.0

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.epoch >= self.epochs or self._ends_early()

    def _ends_early(self):
        satisfied = bool(self.until and self.rows and self.until(self.rows))
        return satisfied or exhausted(
            self.rows, self.recipe.patience, self.goal, self.measure.lower
        )

    def resume(self) -> bool:
        """Goes back to the newest whole checkpoint; returns whether there is one."""
        found = self.folder and checkpoints.load(self.folder, self.name, self.identity)
        place = (found[0].epoch, found[0].step) if found else (-1, -1)
        strategy = self.model.distribute_strategy
        if tuple(chiefs(np.array(place, "float32"), strategy)) != place:
            raise WorkdirError(
                f"this worker finds another checkpoint in {self.folder} than the chief "
                "does; all workers need the same folder, on a shared file system."
            )
        if found:
            self.progress, arrays = found
            checkpoints.restore(self.model, arrays)
            self.metrics = [np.copy(v) for v in self.model.metrics_variables]
            self.epoch, self.step = self.progress.epoch, self.progress.step
            self.first, self.before = self.step, self.progress.seconds
            self.rows = list(self.progress.rows)
            self._follow(self.progress.span)
        return bool(found)

    def begin(self, start: dict | None, span: tuple = ()) -> None:
        """Notes what a training starts from, and how long it will be.

        Args:
            start: what validation gives before the first step, or None.
            span: epochs, and steps of each; empty is what the recipe says.
        """
        self.progress = dataclasses.replace(self.progress, start=start, span=span)
        self._follow(span)
        self._save_models()
        self.save()
        if start and not span:
            values = "  ".join(f"{key} {value:.4f}" for key, value in start.items())
            self.say(f"  {self.name}: before training  {values}")

    def _follow(self, span):
        if span:
            whole = self.recipe.epochs * self.identity["steps"]
            self.epochs, self.steps = span
            self.watch.steps = self.steps
            schedule = innermost(self.model.optimizer)._learning_rate
            schedule.pace.assign(whole / (self.epochs * self.steps))

    @property
    def worse(self) -> bool:
        """Whether the last epoch is no better than the start; then this says so."""
        start = self.progress.start
        lower = self.measure.lower
        if not (start and self.rows) or better(self.rows[-1], start, self.goal, lower):
            return False
        key = f"val_{self.goal}"
        self.say(
            f"  {self.name}: training did not make it better (val_{self.goal} "
            f"{start[key]:.4f} before, {self.rows[-1][key]:.4f} after): it keeps the "
            "weights that it started from. Lower the learning rate, or train longer."
        )
        return True

    def say_resumed(self) -> None:
        done = f"{self.epoch} epochs and {self.step} steps are done"
        self.say(f"  {self.name}: {done}; going on from there")

    def roll_back(self, error: Exception) -> None:
        """Goes back to the last checkpoint, to go on at half the learning rate.

        Raises:
            NotFinite: there is no checkpoint, or it has been done too often.
        """
        rollbacks = self.progress.rollbacks + 1
        if rollbacks > ROLLBACKS or not self.resume():
            raise error
        self.progress = dataclasses.replace(self.progress, rollbacks=rollbacks)
        factor = 0.5**rollbacks
        innermost(self.model.optimizer).rate_factor.assign(factor)
        self.say(
            f"  {str(error).split('. ')[0]}; back to epoch {self.epoch + 1}, step "
            f"{self.step}, with {factor:g} of the learning rate (rollback {rollbacks} "
            f"of {ROLLBACKS})"
        )
        self.started = time.perf_counter() - self.before
        self.save()  # a process killed now remembers this rollback

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self.step:  # `fit` has just set them to zero
            for variable, value in zip(self.model.metrics_variables, self.metrics):
                variable.assign(value)
        self.started = time.perf_counter() - self.before
        self.rate = self._rate(self.epoch * self.steps)
        self.watch.begin_epoch()
        self.waiting.restart()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        before, self.step = self.step, self.first + batch + 1
        self._check(float(np.ravel((logs or {}).get("loss", 0.0))[0]))
        every = self.checkpoint_steps
        due = before // every < self.step // every and self.step < self.steps
        if due:
            self.model.agree_on_statistics()
            self.save()
        self.watch.stepped(batch + 1)
        self._say_now(logs or {})
        if self.asked_to_stop.is_set():
            self._stop(saved=due)

    def _say_now(self, logs, tests=0):
        """A line on where the epoch is, if it is time for one."""
        if self.verbosity < 2 or not self.waiting.due():
            return
        share = self.step / self.steps
        place = "validating" if tests else f"{share:.0%}".replace("%", " %")
        parts = [f"  {self.name}: epoch {self.epoch + 1}/{self.epochs}, {place}"]
        parts += measured(logs, self.measure)
        if self.watch.step.known:
            now = self.watch.in_epoch(self.step, tests)
            left = self.watch.left(now, self.epochs - self.epoch - 1, self.epochs)
            parts.append(f"about {duration(left)} to go")
        self.say("  ".join(parts))

    def _stop(self, saved):
        """Ends the training, with a checkpoint if this process can write one alone."""
        alone = workers(self.model.distribute_strategy) == 1
        if alone and not saved:
            self.save()
        hint = "; start it again to go on" + (
            "." if alone else " from its last checkpoint."
        )
        if self.workdir is None:
            hint = ", and had no work directory to save to."
        raise Stopped(
            f"training {self.name} was asked to stop in epoch {self.epoch + 1}, "
            f"step {self.step}{hint}"
        )

    def on_test_begin(self, logs: dict | None = None) -> None:
        self.model.agree_on_statistics()
        swap(self.model)
        self.watch.test.begin()

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.watch.test.done(batch + 1)
        if self.step:
            self._say_now({}, batch + 1)

    def on_test_end(self, logs: dict | None = None) -> None:
        swap(self.model)
        self.watch.end_validation()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        seconds = time.perf_counter() - self.started
        numbers = {key: _digits(value) for key, value in (logs or {}).items()}
        numbers.pop("learning_rate", None)
        row = {"epoch": epoch + 1, **numbers}
        row.update(learning_rate=_digits(self.rate), seconds=round(seconds, 3))
        self.rows.append(row)
        self.epoch, self.step, self.first, self.before = self.epoch + 1, 0, 0, 0.0
        self.model.agree_on_statistics()
        self._save_models()
        if self.workdir is not None and self.writes:
            write_history(self.rows, self.workdir, self.name)
        self.save()
        self.watch.end_epoch()
        if self.verbosity != 1 or sys.stdout.isatty():  # a notebook has it in the bar
            left = self.watch.left(0.0, self.epochs - self.epoch, self.epochs)
            self.say(epoch_line(self.name, self.rows, self.epochs, self.measure, left))
        if self._ends_early() and self.epoch < self.epochs:
            self.model.stop_training = True
            self.say(
                f"  {self.name}: training ends here; the best epoch was {self._best()}"
            )

    def _best(self):
        lower = self.measure.lower
        return best_epoch(self.rows, self.goal, self.progress.start, lower)

    def _rate(self, step):
        optimizer = innermost(self.model.optimizer)
        return float(optimizer._learning_rate(step)) * _number(optimizer.rate_factor)

    def _save_models(self):
        if self.workdir is None or not (self.epoch_models and self.writes):
            return
        swap(self.model)
        with changed(self.plain):
            folder = self.workdir / "epoch_models"
            if self._best() == len(self.rows):
                files.replace(folder / f"{self.name}_best.keras", self.network.save)
            files.replace(folder / f"{self.name}_last.keras", self.network.save)
        swap(self.model)

    def save(self) -> None:
        """Writes a checkpoint of where the training is; workers call it together."""
        if self.folder is None:
            return
        if not all(np.isfinite(w).all() for w in self.model.get_weights()):
            raise self._not_finite("a weight", "NaN or infinite")
        seconds = time.perf_counter() - self.started if self.step else 0.0
        self.progress = dataclasses.replace(
            self.progress,
            epoch=self.epoch,
            step=self.step,
            seconds=seconds,
            rows=tuple(self.rows),
        )
        arrays = checkpoints.values(self.model)
        if self.writes:
            about = self.progress, self.identity
            checkpoints.save(self.folder, self.name, arrays, *about)

    def _check(self, loss):
        if not math.isfinite(loss):
            raise self._not_finite("the loss", loss)

    def _not_finite(self, what, value):
        kept = checkpoints.found(self.folder, self.name) if self.folder else []
        return NotFinite(
            f"training {self.name}: {what} became {value} in epoch {self.epoch + 1}, "
            f"step {self.step} (learning rate "
            f"{self._rate(self.epoch * self.steps + self.step - 1):.3g}). "
            "Lower the learning rate, add warm-up epochs, or go on "
            "with on_nan=rollback."
            + (f" The last checkpoint is {kept[0]}." if kept else "")
        )

    def say(self, text: str) -> None:
        if self.writes and self.verbosity:
            print(textwrap.fill(text, 88, **_WRAPPED), flush=True)


def _number(variable):
    return float(keras.ops.convert_to_numpy(variable))


def epoch_line(
    name: str, rows: Sequence[dict], epochs: int, goal: Goal, left: float
) -> str:
    """Formats the last row of a history for the screen.

    Args:
        name, rows: of the network, its history.
        epochs: of the training.
        goal: the measure that is shown beside the loss.
        left: seconds to go.
    """
    row = rows[-1]
    parts = [f"  {name}: epoch {row['epoch']}/{epochs}", *measured(row, goal)]
    validated = {key[4:]: row[key] for key in row if key.startswith("val_")}
    if validated:
        parts.append("val " + ", ".join(measured(validated, goal, named=False)))
    if "macs" in row:  # of a sparse search
        parts.append(f"{row['macs'] / 1e6:.3g} M MACs left ({row['zeros']:.0%} zeros)")
    if row["epoch"] < epochs:
        parts.append(f"{duration(left)} to go")
    else:
        parts.append(f"in {duration(sum(row['seconds'] for row in rows))}")
    return "  ".join(parts)


def measured(values: Mapping, goal: Goal, named: bool = True) -> list[str]:
    """Loss and goal among some values, as text."""
    writes = [("loss", "loss ", _three_digits)]
    if goal.key != "loss":
        writes.append((goal.key, f"{goal.label} ", goal.plain))
    return [
        (label if named else "") + write(values[key])
        for key, label, write in writes
        if key in values
    ]


def _three_digits(loss):
    return f"{loss:.3g}" if abs(loss) < 100 else f"{loss:.0f}"


def _digits(value):
    """As many digits as float32 has; small numbers keep theirs, too."""
    return float(f"{float(value):.7g}")
