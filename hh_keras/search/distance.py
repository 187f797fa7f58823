"""How far outputs move, as a function to take gradients of. Needs no labels.

`z · y` with random `z` of unit variance: its squared gradient at any place is, on
average, how much the outputs' squared distance grows if something there changes
(Hutchinson's estimate of the Gauss-Newton diagonal).
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from hh_keras.graph.calls import as_graph
from hh_keras.graph.heads import ends_in

_SMALLEST = 1e-7


def output_distance(model: keras.Model, seed: int = 0) -> Callable:
    """Returns `distance(outputs, number) → scalar` for a model's outputs.

    Probabilities are taken as the logits that they come from. Each output counts in
    parts of its spread over the batch.

    Args:
        model: a graph, of any number of outputs.
        seed: with the batch's number it gives the random directions.
    """
    kinds = [ends_in(tensor) for tensor in as_graph(model).outputs]

    def distance(outputs: list, number: Any) -> Any:
        total = 0.0
        for k, (y, kind) in enumerate(zip(outputs, kinds)):
            if not y.dtype.is_floating:
                continue
            y = as_logits(tf.cast(y, "float32"), kind)
            spread = tf.stop_gradient(tf.math.reduce_std(y)) + 1e-12
            z = tf.random.stateless_normal(tf.shape(y), [seed * 1000 + k, number])
            total += tf.reduce_sum(z * y) / spread
        return total

    return distance


def as_logits(y: Any, kind: str | None) -> Any:
    """Probabilities as the logits that they come from; anything else as it is.

    Args:
        y: float32 tensor, an output.
        kind: what it ends in, see `hh_keras.graph.heads.ends_in`.
    """
    if kind == "softmax":
        return tf.math.log(tf.maximum(y, 1e-30))
    if kind == "sigmoid":
        y = tf.clip_by_value(y, _SMALLEST, 1 - _SMALLEST)
        return tf.math.log(y) - tf.math.log1p(-y)
    return y
