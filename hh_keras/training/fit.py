"""Training a classifier by a recipe."""

import math
import sys
import time

import keras
import tensorflow as tf

from hh_keras.errors import HHError
from hh_keras.tasks import classification
from hh_keras.training.history import write_history
from hh_keras.training.optimizers import optimizer


def train(model, data, recipe, workdir=None, name="model", callbacks=()):
    """Trains a model in place, by a recipe, under the strategy it was made in.

    The model's own compile state and `train_step` play no part and stay as they are.

    Args:
        model: a Keras classifier `(batch, h, w, c) -> (batch, classes)`.
        data: has `train` and `validation`, tf.data datasets of (images, integer
            labels) batches, as `hh_keras.data.load` makes them with the recipe's
            `batch_size`, `augment` and `seed`. `validation` may be None.
        recipe: a `Recipe`.
        workdir: if given, `history/NAME.csv` and `.jsonl` are kept up to date
            there after every epoch.
        name: of the network, in the history's file names and on the screen.
        callbacks: further Keras callbacks.

    Returns:
        The history: a list with one dict per epoch: epoch (from 1), loss and
        accuracy (means over the epoch), val_loss and val_accuracy,
        learning_rate (at the epoch's first step) and seconds.

    Raises:
        HHError: the loss became NaN or infinite; the message says where.
        ModelError: the model does not have exactly one known output.
    """
    classification.single_output(model)
    steps = steps_per_epoch(data.train)
    with model.distribute_strategy.scope():
        # The same layers and weights, compiled beside the model: the caller's model
        # is left uncompiled, so its file loads without this package's optimiser.
        trainee = keras.Model(model.inputs, model.outputs, name=model.name)
        trainee.compile(
            optimizer=optimizer(recipe, steps),
            loss=classification.loss(trainee, recipe.label_smoothing),
            metrics=classification.metrics(),
            # On a CPU, XLA takes longer to compile and to run than plain graphs.
            jit_compile="auto" if tf.config.list_physical_devices("GPU") else False,
        )
    history = EpochHistory(recipe, steps, workdir, name)
    trainee.fit(
        data.train,
        validation_data=data.validation,
        epochs=recipe.epochs,
        shuffle=False,  # the data set does it
        verbose=1 if sys.stdout.isatty() else 0,
        callbacks=[FiniteLoss(name), history, *callbacks],
    )
    return history.rows


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


class FiniteLoss(keras.callbacks.Callback):
    """Stops training at the step at which the loss is no longer a number."""

    def __init__(self, name):
        super().__init__()
        self.name, self.epoch = name, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            rate = float(self.model.optimizer.learning_rate)
            raise HHError(
                f"training {self.name}: the loss became {loss} in epoch "
                f"{self.epoch + 1}, step {batch + 1} (learning rate {rate:.3g}). "
                "Lower the learning rate, or add warm-up epochs."
            )


class EpochHistory(keras.callbacks.Callback):
    """Collects one row per epoch, keeps the files up to date, reports progress.

    Keras draws its progress bar on a terminal only; elsewhere (a log file, CI)
    this prints one line per epoch with the time that the rest will take.
    """

    def __init__(self, recipe, steps, workdir, name):
        super().__init__()
        self.recipe, self.steps = recipe, steps
        self.workdir, self.name = workdir, name
        self.rows, self.started, self.rate = [], 0.0, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()
        self.rate = float(self.model.optimizer.learning_rate)

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.started
        numbers = {key: round(float(value), 6) for key, value in (logs or {}).items()}
        numbers.pop("learning_rate", None)
        row = {"epoch": epoch + 1, **numbers}
        row.update(learning_rate=round(self.rate, 8), seconds=round(seconds, 3))
        self.rows.append(row)
        if self.workdir is not None:
            write_history(self.rows, self.workdir, self.name)
        print(epoch_line(self.name, self.rows, self.recipe.epochs), flush=True)


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
