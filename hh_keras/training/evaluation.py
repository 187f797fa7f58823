"""Losses and measures of a network on a data set."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from hh_keras.training.features import images_of
from hh_keras.training.judge import Judge
from hh_keras.training.losses import check
from hh_keras.training.trainee import Trainee, unpacked, weighted


def evaluate(
    model: keras.Model,
    dataset: tf.data.Dataset,
    losses: Callable,
    measures: Mapping[str, Callable],
    metrics: Any = None,
    weighted_metrics: Any = None,
) -> dict[str, float]:
    """Runs a network over a data set; every example counts the same.

    Args:
        model: a functional model.
        dataset: batches of (images, labels) or (images, labels, sample_weight).
        losses: of `hh_keras.training.losses.losses`.
        measures, metrics, weighted_metrics: see `hh_keras.training.Task`.

    Returns:
        Name → mean: "loss", of several outputs "NAME_loss", measures and metrics.
    """
    _, labels, own = unpacked(dataset.element_spec)
    strategy = model.distribute_strategy
    names = check(losses, model, labels, own, "validation")
    with strategy.scope():
        trainee = Trainee(images_of(model), list(model.outputs), name=model.name)
        judge = Judge(model, measures, metrics, weighted_metrics, labels)
        trainee.learn(losses, losses, names, judge)
        trainee.compile(jit_compile=False)
        batches = weighted(dataset, strategy.num_replicas_in_sync)
        found = trainee.evaluate(batches, verbose=0, return_dict=True)
    return {name: float(value) for name, value in found.items()}
