"""Models of other dtype policies, computed in float32 as `.tflite` files want it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import ml_dtypes
import tensorflow as tf

from hh_keras.errors import ModelError
from hh_keras.export.checks import structure
from hh_keras.graph.biases import as_built
from hh_keras.graph.calls import interpret, is_graph, is_layer
from hh_keras.graph.inference import infer

_FLOATS = ("float16", "bfloat16", "float64")


def is_float32(model: keras.Model) -> bool:
    """Whether a model and all layers in it take and compute in float32 already.

    So do those of tf_keras that training for int8 leaves.

    Raises:
        ModelError: a layer is quantised; the message names it and its policy.
    """
    if not isinstance(model, keras.Model):
        return True
    same = all(x.dtype not in _FLOATS for x in [*model.inputs, *model.outputs])
    for layer in _layers(model):
        policy = layer.dtype_policy
        if policy.quantization_mode is not None:
            raise ModelError(
                f"Layer {layer.name!r} of {model.name!r} has the dtype policy "
                f"{policy.name!r}: its weights are rounded by Keras already, which a "
                ".tflite file cannot take over. Export the model as it was before "
                'quantize(), with quantize="int8".'
            )
        same = same and {policy.compute_dtype, policy.variable_dtype} <= {"float32"}
    return same


def rounding(model: keras.Model) -> float:
    """How coarsely a model computes, as a share of its numbers: 1.2e-7 in float32.

    Args:
        model: a built Keras model.

    Returns:
        The largest distance of 1 to the next number, over what its layers compute in.

    Examples:
        >>> f"{hh_keras.export.rounding(model):.1e}"
        '1.2e-07'
    """
    dtypes = {layer.compute_dtype for layer in _layers(model)} & {*_FLOATS, "float32"}
    return max(float(ml_dtypes.finfo(each).eps) for each in dtypes | {"float32"})


def float32_dtype(dtype: Any) -> Any:
    """What a tensor's dtype becomes, `tf.DType` to `tf.DType`."""
    return tf.float32 if dtype in _FLOATS else tf.as_dtype(dtype)


def call_in_float32(model: keras.Model, inputs: Any) -> Any:
    """What a model computes, all of it in float32, with its own weights.

    Half precision is a way to compute float32 numbers faster, so this is what such a
    model means; of float64 the last digits are lost.

    Args:
        model: a built Keras model; it is left as it was.
        inputs: its inputs, structured.

    Returns:
        Its outputs, structured.
    """
    with computing_in_float32(model):
        if not is_graph(model):
            return model(inputs, training=False)
        flat = [tf.cast(x, float32_dtype(x.dtype)) for x in tf.nest.flatten(inputs)]
        outputs = interpret(model, flat, _step)
        return tf.nest.pack_sequence_as(structure(model)[1], outputs)


def _step(path, call, args, kwargs):
    op = call.op
    if not is_layer(op) and getattr(op, "dtype", None) in _FLOATS:
        return [tf.cast(args[0], tf.float32)]  # of `keras.ops.cast` only
    return keras.tree.flatten(infer(op, as_built(call, args), kwargs))


@contextlib.contextmanager
def computing_in_float32(model: keras.Model) -> Iterator[None]:
    """Has all layers of a model compute in float32 in this block."""
    kept = [
        (layer, layer.dtype_policy)
        for layer in _layers(model)
        if {layer.compute_dtype, layer.variable_dtype} & set(_FLOATS)
    ]
    try:
        for layer, policy in kept:
            layer.dtype_policy = _Float32(policy)
        yield
    finally:
        for layer, policy in kept:
            layer.dtype_policy = policy


class _Float32(keras.DTypePolicy):
    """Computes in float32 on variables that stay what they are."""

    def __init__(self, policy):
        super().__init__("float32")
        self._kept = policy.variable_dtype

    @property
    def variable_dtype(self):
        # Anything but float32, so that the layer casts what it reads.
        return self._kept


def _layers(model):
    return [model, *model._flatten_layers(include_self=False)]
