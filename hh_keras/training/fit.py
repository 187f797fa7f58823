"""Training a classifier by a recipe."""

import dataclasses
import math
import pathlib
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import HHError, Stopped
from hh_keras.tasks import classification
from hh_keras.training import checkpoints
from hh_keras.training.history import write_history
from hh_keras.training.optimizers import optimizer
from hh_keras.training.stopping import termination


def train(
    model,
    data,
    recipe,
    workdir=None,
    name="model",
    callbacks=(),
    checkpoint_steps=500,
    resume=True,
):
    """Trains a model in place, by a recipe, under the strategy it was made in.

    The model's own compile state and `train_step` play no part and stay as they are.

    With a `workdir`, checkpoints are written there every `checkpoint_steps` steps and
    after every epoch, and the same call made again goes on from the newest one: on one
    CPU, and with data that have `epoch`, it ends with the same weights, bit for bit, as
    a training that was never interrupted. SIGTERM writes a checkpoint and stops.

    Args:
        model: a Keras classifier `(batch, h, w, c) -> (batch, classes)`.
        data: has `train` and `validation`, tf.data datasets of (images, integer
            labels) batches, as `hh_keras.data.load` makes them with the recipe's
            `batch_size`, `augment` and `seed`. `validation` may be None. If it has
            `epoch`, see `hh_keras.data.ImageData`, that is trained on instead.
        recipe: a `Recipe`.
        workdir: if given, `history/NAME.csv` and `.jsonl` are kept up to date
            there after every epoch, and `checkpoints/NAME-*.npz`.
        name: of the network, in the files' names and on the screen.
        callbacks: further Keras callbacks; what they remember is not in checkpoints.
        checkpoint_steps: steps from one checkpoint to the next.
        resume: False ignores checkpoints that are there.

    Returns:
        The history: a list with one dict per epoch: epoch (from 1), loss and
        accuracy (means over the epoch), val_loss and val_accuracy,
        learning_rate (at the epoch's first step) and seconds.

    Raises:
        HHError: the loss became NaN or infinite; the message says where.
        ModelError: the model does not have exactly one known output.
        Stopped: SIGTERM came; a checkpoint has been written.
        WorkdirError: checkpoints cannot be written, or are of another training.
    """
    classification.single_output(model)
    steps = steps_per_epoch(data.train)
    trainee = _compiled(model, recipe, steps)
    keeper = Keeper(recipe, steps, workdir, name, checkpoint_steps, resume)
    with termination() as keeper.asked_to_stop:
        _fit(trainee, data, recipe, keeper, callbacks)
    return keeper.rows


def _compiled(model, recipe, steps):
    """The same layers and weights, compiled beside the model.

    The caller's model is left uncompiled, so its file loads without this package's
    optimiser.
    """
    with model.distribute_strategy.scope():
        trainee = keras.Model(model.inputs, model.outputs, name=model.name)
        trainee.compile(
            optimizer=optimizer(recipe, steps),
            loss=classification.loss(trainee, recipe.label_smoothing),
            metrics=classification.metrics(),
            # On a CPU, XLA takes longer to compile and to run than plain graphs.
            jit_compile="auto" if tf.config.list_physical_devices("GPU") else False,
        )
    return trainee


def _fit(trainee, data, recipe, keeper, callbacks):
    """Calls `fit` once per epoch: each has data of its own."""
    verbose = 1 if sys.stdout.isatty() else 0
    every = _OneTraining(
        [keeper, *callbacks],
        add_history=True,
        add_progbar=verbose,
        model=trainee,
        verbose=verbose,
        epochs=recipe.epochs,
        steps=keeper.steps,
    )
    epoch_data = getattr(data, "epoch", lambda _, first: data.train.skip(first))
    with trainee.distribute_strategy.scope():
        keeper.resume(trainee, epoch_data)
    trainee.stop_training = False
    while keeper.epoch < recipe.epochs and not trainee.stop_training:
        trainee.fit(
            epoch_data(keeper.epoch, keeper.step),
            validation_data=data.validation,
            initial_epoch=keeper.epoch,
            epochs=keeper.epoch + 1,
            shuffle=False,  # the data set does it
            callbacks=every,
        )
    every.end()


class _OneTraining(keras.callbacks.CallbackList):
    """Callbacks that see several calls of `fit` as one training."""

    begun = False

    def on_train_begin(self, logs=None):
        if not self.begun:
            self.begun = True
            super().on_train_begin(logs)

    def on_train_end(self, logs=None):
        self.logs = logs

    def end(self):
        if self.begun:
            super().on_train_end(self.logs)


def steps_per_epoch(dataset):
    """Counts the batches of a tf.data dataset, by a pass over it if need be.

    Raises:
        HHError: the dataset never ends.
    """
    count = int(dataset.cardinality())
    if count == tf.data.INFINITE_CARDINALITY:
        raise HHError("training: the training data never end; use .take(steps).")
    if count == tf.data.UNKNOWN_CARDINALITY:
        count = sum(1 for _ in dataset)
    return count


class Keeper(keras.callbacks.Callback):
    """Keeps what a training comes to: history, checkpoints, news on the screen.

    Stops the training at the step at which the loss is no longer a number, or at which
    it was asked to stop. Keras draws its progress bar on a terminal only; elsewhere (a
    log file, CI) this prints one line per epoch with the time that the rest will take.
    """

    def __init__(self, recipe, steps, workdir, name, checkpoint_steps, resume):
        super().__init__()
        self.recipe, self.steps, self.name = recipe, steps, name
        self.workdir, self.checkpoint_steps = workdir, checkpoint_steps
        self.identity = {"recipe": dataclasses.asdict(recipe), "steps": steps}
        self.folder = workdir and pathlib.Path(workdir) / "checkpoints"
        self.asked_to_stop = None
        self.epoch, self.step, self.rows = 0, 0, []
        self.before = 0.0
        self.found = None
        if workdir and resume:
            self.found = checkpoints.load(self.folder, name, self.identity)

    def resume(self, model, epoch_data):
        """Goes back to what was found on disk, if anything was."""
        if not self.found:
            return
        progress, arrays = self.found
        self.epoch, self.step = progress.epoch, progress.step
        self.before, self.rows = progress.seconds, list(progress.rows)
        # Slots and metrics are made when they are first needed; they are needed now.
        model.optimizer.build(model.trainable_variables)
        model.evaluate(epoch_data(0, 0).take(1), verbose=0)
        checkpoints.restore(model, arrays)
        self.metrics = [np.copy(v) for v in model.metrics_variables]
        done = f"{self.epoch} epochs and {self.step} steps are done"
        print(f"  {self.name}: {done}; going on from there", flush=True)

    def on_epoch_begin(self, epoch, logs=None):
        if self.step:  # `fit` has just set them to zero
            for variable, value in zip(self.model.metrics_variables, self.metrics):
                variable.assign(value)
        self.started = time.perf_counter() - self.before
        self.rate = self._rate(self.epoch * self.steps)

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self._check(float((logs or {}).get("loss", 0.0)))
        stop = self.asked_to_stop.is_set()
        due = self.step % self.checkpoint_steps == 0 and self.step < self.steps
        if stop or due:
            self._save()
        if stop:
            raise Stopped(
                f"training {self.name} was asked to stop in epoch {self.epoch + 1}, "
                f"step {self.step}"
                + (
                    "; start it again to go on."
                    if self.workdir
                    else ", and had no work directory to save to."
                )
            )

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.started
        numbers = {key: round(float(value), 6) for key, value in (logs or {}).items()}
        numbers.pop("learning_rate", None)
        row = {"epoch": epoch + 1, **numbers}
        row.update(learning_rate=round(self.rate, 8), seconds=round(seconds, 3))
        self.rows.append(row)
        self.epoch, self.step, self.before = self.epoch + 1, 0, 0.0
        if self.workdir is not None:
            write_history(self.rows, self.workdir, self.name)
        self._save()
        print(epoch_line(self.name, self.rows, self.recipe.epochs), flush=True)

    def _save(self):
        if self.workdir is None:
            return
        seconds = time.perf_counter() - self.started if self.step else 0.0
        progress = checkpoints.Progress(
            self.epoch, self.step, seconds, tuple(self.rows)
        )
        checkpoints.save(self.folder, self.name, self.model, progress, self.identity)

    def _rate(self, step):
        schedule = self.model.optimizer._learning_rate
        return float(schedule(step) if callable(schedule) else schedule)

    def _check(self, loss):
        if math.isfinite(loss):
            return
        kept = checkpoints.found(self.folder, self.name) if self.workdir else []
        raise HHError(
            f"training {self.name}: the loss became {loss} in epoch {self.epoch + 1}, "
            f"step {self.step} (learning rate "
            f"{float(self.model.optimizer.learning_rate):.3g}). "
            "Lower the learning rate, or add warm-up epochs."
            + (f" The last checkpoint is {kept[0]}." if kept else "")
        )


def epoch_line(name, rows, epochs):
    """Formats the last row of a history for the screen."""
    row = rows[-1]
    parts = [f"  {name}: epoch {row['epoch']}/{epochs}"]
    for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
        if key in row:
            parts.append(f"{key} {row[key]:.4f}")
    parts.append(f"{row['seconds']:.0f} s")
    left = epochs - row["epoch"]
    if left:
        # The first epoch also compiles: later ones predict better.
        typical = min(r["seconds"] for r in rows)
        parts.append(f"about {left * typical:.0f} s left")
    return "  ".join(parts)
