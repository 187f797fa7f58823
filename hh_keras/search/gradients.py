"""Scores from gradients: what the loss would do if a channel went."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import HHError, SearchError
from hh_keras.graph.channels import ChannelMap
from hh_keras.surgery.channel_scale import scale_layer
from hh_keras.surgery.scales import add_scales
from hh_keras.training.losses import losses
from hh_keras.training.replicas import chiefs
from hh_keras.training.task import Task


def gradient_scores(
    model: keras.Model,
    channel_map: ChannelMap,
    data: Any,
    loss: Any,
    batches: int,
    criterion: str,
) -> np.ndarray:
    """Slopes of the loss along the scales: criteria `gradient`, `taylor` and `fisher`.

    Args:
        model: with or without scales; it is not changed.
        channel_map: the model's.
        data, loss, batches: see `score_channels`.
        criterion: one of the three.

    Returns:
        Float array `(channel_map.size,)`.

    Raises:
        SearchError: the loss cannot be computed, is not finite, or there is no data.
    """
    strategy = model.distribute_strategy
    with strategy.scope():
        scaled = model
        if scale_layer(model) is None:
            scaled = add_scales(model, channel_map)
    layer = scale_layer(scaled)
    if layer is None:  # nothing is removable, so nothing was scaled
        return np.zeros(channel_map.size)
    slopes = _slopes(scaled, layer.gamma, whole_loss(loss, model), strategy)
    examples, gradient = 0, np.zeros(channel_map.size)
    for k, batch in enumerate(data):
        if k == batches:
            break
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        value, slope = _on_batch(slopes, k, x, y, weight)
        if not np.isfinite(value):
            raise SearchError(
                f"the loss of search batch {k + 1} is {float(value)}: check the inputs "
                "(NaN pixels? missing normalisation?) and the loss."
            )
        n = keras.tree.flatten(x)[0].shape[0]
        slope = np.asarray(slope, float)
        examples += n
        # A batch's mean slope, squared, counts as often as the batch has examples.
        gradient += slope**2 / n if criterion == "fisher" else slope
    if not examples:
        raise SearchError("the search data is empty: no batch to score with.")
    gradient = np.abs(gradient / examples)
    scores = chiefs(np.sqrt(gradient) if criterion == "fisher" else gradient, strategy)
    gamma = np.asarray(keras.ops.convert_to_numpy(layer.gamma))
    return scores * np.abs(gamma) if criterion == "taylor" else scores


def whole_loss(loss: Any, model: keras.Model) -> Callable:
    """The losses of a model, as `hh_keras.training.losses.losses` makes them.

    Args:
        loss: what that takes, or a `hh_keras.training.Task`.
        model: whose outputs.
    """
    return loss.losses(model) if isinstance(loss, Task) else losses(loss, model)


def _on_batch(slopes, k, x, y, weight):
    try:
        return slopes(x, y, weight)
    except HHError:
        raise
    except Exception as error:  # a user's data and loss may raise anything
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise SearchError(
            f"the loss of search batch {k + 1} cannot be computed: "
            f"{' '.join(lines[-1:])[:200]} ({type(error).__name__}). Inputs, labels "
            "and loss must fit the model."
        ) from error


def _slopes(model, gamma, loss, strategy):
    """Returns `f(x, y, weight) → (loss, ∂loss/∂γ)`, sums over the batch.

    Sums, not means, so that batches of any size, and any number of replicas, add up.
    Every replica computes the whole, so that none can find anything else than one
    device would.
    """

    def step(x, y, weight):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(gamma.value)
            outputs = keras.tree.flatten(model(x, training=False))
            total = tf.reduce_sum(loss(y, outputs, weight)["loss"])
        return total, tf.convert_to_tensor(tape.gradient(total, gamma.value))

    @tf.function(reduce_retracing=True)
    def on_all(x, y, weight):
        return strategy.run(step, (x, y, weight))

    def on_first(x, y, weight):
        both = on_all(x, y, weight)
        return [strategy.experimental_local_results(each)[0].numpy() for each in both]

    return on_first
