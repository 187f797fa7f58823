"""One step of training and of validation, on one replica or on many."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from hh_keras.errors import DataError
from hh_keras.training.judge import Judge


class Trainee(keras.Model):
    """A model's layers and weights with the training step of this package.

    Keras weighs the mean loss of each replica alike. Here every example of a global
    batch counts the same, also in a last batch that the replicas cannot share evenly:
    `weighted` gives each the weight 1/(examples in the global batch), losses are
    multiplied by it, and gradients are summed over the replicas. They are summed before
    the optimiser sees them, so that clipping, and the search for infinities of mixed
    precision, act on the whole gradient.

    The outputs are flat: the model's own and, behind them, features to learn from.
    """

    def learn(
        self,
        objective: Callable,
        losses: Callable,
        names: Sequence[str],
        judge: Judge,
        frozen_statistics: bool = False,
        labelled: bool = True,
    ) -> None:
        """Sets what to learn and what to measure, in the scope of the strategy.

        Args:
            objective: `f(images, labels, outputs, sample_weight)` that returns what
                is to be learnt, as `losses` does.
            losses: of `hh_keras.training.losses`: what is validated by.
            names: of the losses, "loss" first.
            judge: what is measured besides.
            frozen_statistics: see `Recipe`.
            labelled: see `Task`.
        """
        self.objective, self.validated, self.judge = objective, losses, judge
        self.frozen_statistics, self.labelled = frozen_statistics, labelled
        self.means = [keras.metrics.Mean(name=name) for name in names]

    @property
    def metrics(self) -> list:
        return [*self.means, *self.judge.metrics]

    def train_step(self, data: Any) -> dict:
        images, labels, weights = data
        share, own = _parted(weights)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with tf.GradientTape() as tape:
            outputs = self._predicted(images, not self.frozen_statistics)
            losses = self.objective(images, labels, outputs, own)
            loss = tf.reduce_sum(losses["loss"] * share)
            if self.losses:
                loss += tf.add_n(self.losses) / replicas
            loss = self.optimizer.scale_loss(loss)
        every = tape.gradient(loss, self.trainable_weights)
        pairs = zip(every, self.trainable_weights)
        slopes, weights = zip(*(pair for pair in pairs if pair[0] is not None))
        if replicas > 1:
            context = tf.distribute.get_replica_context()
            slopes = context.all_reduce(tf.distribute.ReduceOp.SUM, list(slopes))
        self.optimizer.apply(list(slopes), list(weights))
        return self._measured(losses, labels, outputs, share, own, self.labelled)

    def test_step(self, data: Any) -> dict:
        images, labels, weights = data
        share, own = _parted(weights)
        outputs = self._predicted(images, training=False)
        losses = self.validated(labels, outputs, own)
        return self._measured(losses, labels, outputs, share, own)

    def _predicted(self, images, training):
        outputs = keras.tree.flatten(self(images, training=training))
        return [_in_float32(output) for output in outputs]

    def _measured(self, losses, labels, outputs, share, own, labelled=True):
        """Adds a batch to what runs; examples that only fill it up weigh 0."""
        counts = tf.cast(share > 0, tf.float32)
        logs = {}
        for mean in self.means:
            if mean.name in losses:
                mean.update_state(losses[mean.name], counts)
                logs[mean.name] = mean.result()
        if labelled:
            logs.update(self.judge.judge(labels, outputs, share, own))
        if _across_machines():  # Keras averages logs over the workers along axis 0
            logs = {name: tf.reshape(value, [1]) for name, value in logs.items()}
        return logs

    @functools.cached_property
    def agree_on_statistics(self) -> Callable:
        """Averages what the replicas have counted apart, such as moving statistics.

        Keras lets every replica keep moving means of its own and saves the first's.
        """
        strategy = self.distribute_strategy
        counted = [v for v in self.non_trainable_variables if "float" in v.dtype]
        if strategy.num_replicas_in_sync == 1 or not counted:
            return lambda: None

        def average():
            values = [tf.identity(variable.value) for variable in counted]
            context = tf.distribute.get_replica_context()
            means = context.all_reduce(tf.distribute.ReduceOp.MEAN, values)
            for variable, mean in zip(counted, means):
                variable.assign(mean)

        return tf.function(lambda: strategy.run(average))

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing to build; Keras would read, and throw away, a batch per epoch."""


def _across_machines():
    strategy = tf.distribute.get_strategy()
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _in_float32(output):
    floats = output.dtype.is_floating and output.dtype != tf.float32
    return tf.cast(output, tf.float32) if floats else output


def _parted(weights):
    """Every example's share, and the sample weights that the data have, or None."""
    return weights if isinstance(weights, (tuple, list)) else (weights, None)


def unpacked(element: Any) -> tuple[Any, Any, Any]:
    """A batch's, or its specification's, `(images, labels, sample weights or None)`.

    Raises:
        DataError: there are no labels.
    """
    if not isinstance(element, (tuple, list)) or len(element) not in (2, 3):
        raise DataError(
            "training: batches must be (images, labels), or (images, labels, "
            "sample_weight); several images or labels are a tuple or a dict each."
        )
    return tuple(element) if len(element) == 3 else (*element, None)


def weighted(dataset: tf.data.Dataset, replicas: int = 1) -> tf.data.Dataset:
    """Gives every example its share of its global batch, before replicas split it.

    A batch too small for all replicas is filled up with its own examples at weight 0:
    the statistics of no example at all would be NaN, those of zeros wrong.

    Args:
        dataset: tf.data dataset of (images, labels) or (images, labels, sample_weight)
            batches; each may be several tensors, a tuple or a dict.
        replicas: how many will share a batch.

    Returns:
        A tf.data dataset of (images, labels, weights); the float32 weights `(batch,)`
        sum to 1. With sample weights, weights are a tuple of these and the sample's.
    """

    def weigh(*element):
        images, labels, own = unpacked(element)
        size = tf.shape(tf.nest.flatten(labels)[0])[0]
        missing = tf.maximum(replicas - size, 0)
        share = tf.fill([size], 1.0 / tf.cast(tf.maximum(size, 1), tf.float32))
        weights = share if own is None else (share, own)
        images, labels = tf.nest.map_structure(
            lambda x: _filled_up(x, missing), (images, labels)
        )
        weights = tf.nest.map_structure(lambda x: _with_zeros(x, missing), weights)
        return images, labels, weights

    unpacked(dataset.element_spec)
    return dataset.map(weigh, tf.data.AUTOTUNE, deterministic=True)


def _filled_up(batch, missing):
    size = tf.shape(batch)[0]

    def again():  # of no example at all there are only zeros
        rows = _with_zeros(batch, 1)
        return tf.gather(rows, tf.range(size + missing) % tf.maximum(size, 1))

    filled = tf.cond(missing > 0, again, lambda: batch)
    return tf.ensure_shape(filled, [None, *batch.shape[1:]])


def _with_zeros(batch, missing):
    # Images that are validated on may have any size.
    shape = tf.concat([[missing], tf.shape(batch)[1:]], 0)
    filled = tf.concat([batch, tf.zeros(shape, batch.dtype)], 0)
    return tf.ensure_shape(filled, [None, *batch.shape[1:]])
