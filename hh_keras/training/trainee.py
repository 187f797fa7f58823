"""One step of training and of validation, on one replica or on many."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf


class Trainee(keras.Model):
    """A model's layers and weights with the training step of this package.

    Keras weighs the mean loss of each replica alike. Here every example of a global
    batch counts the same, also in a last batch that the replicas cannot share evenly:
    `weighted` gives each the weight 1/(examples in the global batch), losses are
    multiplied by it, and gradients are summed over the replicas. They are summed before
    the optimiser sees them, so that clipping, and the search for infinities of mixed
    precision, act on the whole gradient.

    The outputs may be the model's own and, behind it, features to learn from.
    """

    def learn(
        self,
        objective: Callable,
        measures: Mapping[str, Callable],
        frozen_statistics: bool = False,
        labelled: bool = True,
    ) -> None:
        """Sets what to learn and what to measure, in the scope of the strategy.

        Args:
            objective: `f(images, labels, outputs) → (batch,)`, the losses to reduce;
                outputs is a list, the model's own first.
            measures: name → `f(labels, output) → (batch,)`, one of them "loss".
            frozen_statistics: see `Recipe`.
            labelled: see `Task`.
        """
        self.objective, self.measures = objective, measures
        self.frozen_statistics, self.labelled = frozen_statistics, labelled
        self.means = [keras.metrics.Mean(name=name) for name in measures]

    @property
    def metrics(self) -> list:
        return self.means

    def train_step(self, data: Any) -> dict:
        images, labels, weight = data
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with tf.GradientTape() as tape:
            outputs = self._predicted(images, not self.frozen_statistics)
            losses = self.objective(images, labels, outputs)
            loss = tf.reduce_sum(losses * weight)
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
        return self._measured(labels, outputs, weight, losses)

    def test_step(self, data: Any) -> dict:
        images, labels, weight = data
        outputs = self._predicted(images, training=False)
        return self._measured(labels, outputs, weight)

    def _predicted(self, images, training):
        outputs = keras.tree.flatten(self(images, training=training))
        return [tf.cast(output, tf.float32) for output in outputs]

    def _measured(self, labels, outputs, weight, losses=None):
        """Adds a batch to the running means; examples that only fill it up weigh 0."""
        counts = tf.cast(weight > 0, tf.float32)
        means = self.means
        if losses is not None and not self.labelled:
            means = [mean for mean in means if mean.name == "loss"]
        for mean in means:
            if losses is None or mean.name != "loss":
                mean.update_state(self.measures[mean.name](labels, outputs[0]), counts)
            else:
                mean.update_state(losses, counts)
        logs = {mean.name: mean.result() for mean in means}
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


def weighted(dataset: tf.data.Dataset, replicas: int = 1) -> tf.data.Dataset:
    """Gives every example its share of its global batch, before replicas split it.

    A batch too small for all replicas is filled up with zeros of weight 0: the
    statistics of no example at all would be NaN.

    Args:
        dataset: tf.data dataset of (images, labels) batches; images may be several, a
            tuple.
        replicas: how many will share a batch.

    Returns:
        A tf.data dataset of (images, labels, weights); the float32 weights `(batch,)`
        sum to 1.
    """

    def weigh(images, labels):
        size = tf.shape(labels)[0]
        missing = tf.maximum(replicas - size, 0)
        share = tf.fill([size], 1.0 / tf.cast(tf.maximum(size, 1), tf.float32))
        return tf.nest.map_structure(
            lambda x: _filled_up(x, missing), (images, labels, share)
        )

    return dataset.map(weigh, tf.data.AUTOTUNE, deterministic=True)


def _filled_up(batch, missing):
    # Images that are validated on may have any size.
    shape = tf.concat([[missing], tf.shape(batch)[1:]], 0)
    filled = tf.concat([batch, tf.zeros(shape, batch.dtype)], 0)
    return tf.ensure_shape(filled, [None, *batch.shape[1:]])
