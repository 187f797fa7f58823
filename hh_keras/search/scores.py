"""Scores: one number per network channel, higher is better."""

import difflib

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import HHError, SearchError
from hh_keras.graph import calls
from hh_keras.graph.channels import trace
from hh_keras.search.scales import add_scales, scale_layer
from hh_keras.training.strategy import chiefs

CRITERIA = ("gradient", "taylor", "magnitude", "weight_norm", "uniform", "random")
NEED_DATA = ("gradient", "taylor")


def score_channels(
    model, data=None, loss=None, criterion="gradient", batches=8, seed=0
):
    """Scores every network channel. The model is not changed in any way.

    - `gradient`: |∂L/∂γ| at γ = 1, of the mean loss over the batches, with γ the scale
      at the inputs of a channel's consumers (Li et al., arXiv:2006.16242). The model
      runs in inference mode, so that no statistics change.
    - `taylor`: |γ · ∂L/∂γ| (arXiv:1611.06440); like `gradient` unless the model was
      trained with scales.
    - `magnitude`: |γ| of a model trained with scales.
    - `weight_norm`: L2 norm of the weights that make the channel, by layer relative to
      the layer's mean.
    - `uniform`: keeps the same share everywhere; `random`: a seeded draw. These are
      the controls.

    Args:
        model: a functional or Sequential model, with or without scales.
        data: iterable of `(x, y)` or `(x, y, sample_weight)` batches.
        loss: a Keras loss, its name, or a function `(y, prediction) → (batch,)`.
        criterion: one of `hh_keras.CRITERIA`.
        batches: how many batches to read.
        seed: of `random`.

    Returns:
        Float array `(channel_map.size,)`; frozen channels have a score too, but are
        always kept.

    Raises:
        HHError: unknown criterion, or missing data or loss.
        SearchError: the loss is NaN or infinite, or the data is empty.
    """
    if criterion not in CRITERIA:
        near = difflib.get_close_matches(str(criterion), CRITERIA, 1, 0.4)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise HHError(
            f"unknown criterion '{criterion}'; choose one of {', '.join(CRITERIA)}."
            + hint
        )
    channel_map = trace(model)
    if criterion in NEED_DATA:
        if data is None or loss is None:
            raise HHError(f"criterion '{criterion}' needs data and a loss.")
        return _gradient_scores(model, channel_map, data, loss, batches, criterion)
    if criterion == "random":
        return np.random.default_rng(seed).random(channel_map.size)
    if criterion == "uniform":
        return np.concatenate(
            [1 - (np.arange(len(g)) + 0.5) / len(g) for g in channel_map.groups]
        )
    if criterion == "magnitude":
        layer = scale_layer(model)
        if layer is None:
            raise HHError(
                "criterion 'magnitude' reads trained scales, but the model has none: "
                "train add_scales(model) first."
            )
        return np.abs(np.asarray(layer.gamma, float))
    return _weight_norms(model, channel_map)


def _gradient_scores(model, channel_map, data, loss, batches, criterion):
    strategy = model.distribute_strategy
    with strategy.scope():
        scaled = model
        if scale_layer(model) is None:
            scaled = add_scales(model, channel_map)
    layer = scale_layer(scaled)
    if layer is None:  # nothing is removable, so nothing was scaled
        return np.zeros(channel_map.size)
    slopes = _slopes(scaled, layer.gamma, keras.losses.get(loss), strategy)
    total, examples, gradient = 0.0, 0, np.zeros(channel_map.size)
    for k, batch in enumerate(data):
        if k == batches:
            break
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        value, slope = slopes(x, y, weight)
        if not np.isfinite(value):
            raise SearchError(
                f"the loss of search batch {k + 1} is {float(value)}: check the inputs "
                "(NaN pixels? missing normalisation?) and the loss."
            )
        n = keras.tree.flatten(x)[0].shape[0]
        total, examples = total + float(value), examples + n
        gradient += np.asarray(slope, float)
    if not examples:
        raise SearchError("the search data is empty: no batch to score with.")
    scores = chiefs(np.abs(gradient / examples), strategy)
    gamma = np.asarray(keras.ops.convert_to_numpy(layer.gamma))
    return scores * np.abs(gamma) if criterion == "taylor" else scores


def _slopes(model, gamma, loss, strategy):
    """Returns `f(x, y, weight) → (loss, ∂loss/∂γ)`, sums over the batch.

    Every replica computes the whole, so that none can find anything else than one
    device would.
    """

    def step(x, y, weight):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(gamma.value)
            total = batch_loss(loss, y, model(x, training=False), weight)
        return total, tf.convert_to_tensor(tape.gradient(total, gamma.value))

    @tf.function(reduce_retracing=True)
    def on_all(x, y, weight):
        return strategy.run(step, (x, y, weight))

    def on_first(x, y, weight):
        both = on_all(x, y, weight)
        return [strategy.experimental_local_results(each)[0].numpy() for each in both]

    return on_first


def batch_loss(loss, y, prediction, weight=None):
    """Sum of a loss over the examples of a batch, a scalar.

    Sums, not means, so that batches of any size, and any number of replicas, add up.
    """
    if isinstance(loss, keras.losses.Loss):
        values = loss.call(y, prediction)
    else:
        values = loss(y, prediction)
    values = tf.cast(values, tf.float32)
    if values.shape.rank and values.shape.rank > 1:
        values = tf.reduce_mean(values, axis=list(range(1, values.shape.rank)))
    if weight is not None:
        values = values * tf.cast(tf.reshape(weight, [-1]), values.dtype)
    return tf.reduce_sum(values)


def _weight_norms(model, channel_map):
    """L2 norms of the filters that make a channel, averaged over its producers."""
    total = np.zeros(channel_map.size)
    times = np.zeros(channel_map.size)
    for path, op in calls.leaf_operations(model):
        site = channel_map.sites[path]
        for name in site.uses:
            outputs = channel_map.outputs.get(path)
            axes = site.weights[name]
            axis = _output_axis(axes, outputs)
            if axis is None:
                continue
            value = np.asarray(calls.variables(op)[name], "float32")
            letters = list(range(value.ndim))
            norms = np.sqrt(np.einsum(value, letters, value, letters, [axis]))
            norms = norms / max(norms.mean(), 1e-12)
            np.add.at(total, outputs, norms)
            np.add.at(times, outputs, 1)
    return total / np.maximum(times, 1)


def _output_axis(axes, outputs):
    for axis in reversed(range(len(axes))):
        if (
            axes[axis] is not None
            and outputs is not None
            and np.array_equal(axes[axis], outputs)
        ):
            return axis
    return None
