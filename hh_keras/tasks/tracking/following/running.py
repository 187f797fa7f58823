"""Trackers whose networks are a Keras model."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from hh_keras.tasks.tracking.following.settings import Settings
from hh_keras.tasks.tracking.following.tracker import Tracker
from hh_keras.tasks.tracking.networks.halves import halves


def of_model(model: keras.Model, settings: Settings | None = None) -> Tracker:
    """A `Tracker` by a Keras model, see `networks.trackers.tracker`."""
    parts = halves(model)

    def runner(part: keras.Model) -> Callable:
        run = tf.function(
            lambda inputs: part(inputs, training=False), reduce_retracing=True
        )

        def call(inputs: Any) -> Any:
            tensors = keras.tree.map_structure(tf.convert_to_tensor, inputs)
            return keras.tree.map_structure(lambda t: t.numpy(), run(tensors))

        return call

    side, sides = model.inputs[0].shape[1], model.output_shape[-1] == 5
    return Tracker(runner(parts.exemplar), runner(parts.search), side, sides, settings)
