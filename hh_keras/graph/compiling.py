"""Functions of a model's inputs, compiled if there are many batches of them."""

import itertools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from hh_keras.graph.calls import as_graph

EAGER = 4
"""Calls before a function is compiled, which takes longer than some batches do."""


def compiled(model: keras.Model, function: Callable, eager: int = EAGER) -> Callable:
    """Compiles what runs a model on batches, of which the last is smaller.

    TensorFlow would trace it for the first batch's size, and anew for any: twice.

    Args:
        model: whose inputs the function takes.
        function: `function(inputs, *more)` of a flat list of tensors, and of more.
        eager: calls that run as they are before it is compiled; 0 for what takes
            slopes, as only a graph leaves out those that nobody asks for.

    Returns:
        A function of the same arguments. It runs as it is written: conditions and
        loops are Python's.
    """
    run = tf.function(function, autograph=False, reduce_retracing=True)
    sizes = [tensor.shape[0] for tensor in as_graph(model).inputs]
    calls = itertools.count()

    def call(inputs: list, *more: Any) -> Any:
        if next(calls) < eager:
            return function(inputs, *more)
        specs = [
            tf.TensorSpec((size, *x.shape[1:]), x.dtype)
            for size, x in zip(sizes, inputs, strict=True)
        ]
        run.get_concrete_function(specs, *more)
        return run(inputs, *more)

    return call
