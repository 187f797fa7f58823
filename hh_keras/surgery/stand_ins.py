"""Layers that contract or count channels inside, and take the scales of these.

Most layers read channels at their inputs, where scales are multiplied in. Of others the
scaled network has a *stand-in*: the same layer, with the same weights, whose call takes
the scales of its inner channels by name (see `Effect.inner`).
"""

import math
from typing import Any

import keras
from keras import ops

from hh_keras.graph.rules.registry import RULES, register_rule

_L = keras.layers
_registered = keras.saving.register_keras_serializable(package="hh_keras")


def counted_moments(x: Any, counted: Any, axes: Any) -> tuple:
    """Mean and variance over the channels that count.

    Args:
        x: a tensor.
        counted: 1 for each channel that counts, else 0; of its rank, and of size 1 but
            along the axis of channels.
        axes: what they are taken over, that of the channels among them.
    """
    share = math.prod(counted.shape) / ops.sum(counted)
    mean = ops.mean(x * counted, axes, keepdims=True) * share
    square = ops.mean(ops.square(x - mean) * counted, axes, keepdims=True)
    return mean, square * share


def _in_float32(x):
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


def _per_axis(weight, axes, rank, like):
    """A weight with an axis for each of the tensor's."""
    shape = [1] * rank
    for axis, n in zip(axes, weight.shape):
        shape[axis] = n
    return ops.cast(ops.reshape(weight, shape), like.dtype)


@_registered
class CountedLayerNormalization(keras.layers.LayerNormalization):
    """A `LayerNormalization` over the channels that count."""

    def call(self, inputs: Any, counted: Any) -> Any:
        x, counted = _in_float32(inputs), _in_float32(counted)
        mean, variance = counted_moments(x, counted, self.axis)
        if self.rms_scaling:
            mean = 0.0
        x = (x - mean) * ops.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            x = x * _per_axis(self.gamma, self.axis, len(x.shape), x)
        if self.beta is not None:
            x = x + _per_axis(self.beta, self.axis, len(x.shape), x)
        return ops.cast(x, self.compute_dtype)


@_registered
class CountedRMSNormalization(keras.layers.RMSNormalization):
    """An `RMSNormalization` over the channels that count."""

    def call(self, x: Any, counted: Any) -> Any:
        inputs, counted = _in_float32(x), _in_float32(counted)
        share = math.prod(counted.shape) / ops.sum(counted)
        square = ops.mean(ops.square(inputs) * counted, self.axis, keepdims=True)
        scale = _per_axis(self.scale, self.axis, len(x.shape), inputs)
        y = inputs * ops.rsqrt(square * share + self.epsilon) * scale
        return ops.cast(y, x.dtype)


@_registered
class CountedGroupNormalization(keras.layers.GroupNormalization):
    """A `GroupNormalization` in one group over the channels that count."""

    def call(self, inputs: Any, counted: Any) -> Any:
        x, counted = _in_float32(inputs), _in_float32(counted)
        axes = list(range(1, len(x.shape)))
        mean, variance = counted_moments(x, counted, axes)
        x = (x - mean) * ops.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            x = x * _per_axis(self.gamma, [self.axis], len(x.shape), x)
        if self.beta is not None:
            x = x + _per_axis(self.beta, [self.axis], len(x.shape), x)
        return ops.cast(x, self.compute_dtype)


class _ScaledAttention(keras.layers.Layer):
    """Attention whose heads, keys and values have scales."""

    def call(  # Keras hands masks over by name
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: Any = None,
        use_causal_mask: bool = False,
        heads: Any = None,
        keys: Any = None,
        values: Any = None,
    ) -> Any:
        self._scales: Any = heads, keys, values
        try:
            return super().call(
                query,
                value,
                key,
                query_mask,
                value_mask,
                key_mask,
                attention_mask,
                return_attention_scores,
                training,
                use_causal_mask,
            )
        finally:
            self._scales = None

    def _compute_attention(self, query, key, value, *args, **kwargs):
        heads, keys, values = (
            None if x is None else ops.cast(x, query.dtype) for x in self._scales
        )
        query = query * (values if keys is None else keys)
        y, scores = super()._compute_attention(query, key, value, *args, **kwargs)
        return y * ops.expand_dims(heads, -1) * values, scores

    def compute_output_spec(self, query, value, key=None, *args, **kwargs):
        for name in ("heads", "keys", "values"):
            kwargs.pop(name, None)
        return super().compute_output_spec(query, value, key, *args, **kwargs)


@_registered
class ScaledMultiHeadAttention(_ScaledAttention, keras.layers.MultiHeadAttention):
    """A `MultiHeadAttention` with scales inside."""


@_registered
class ScaledGroupedQueryAttention(_ScaledAttention, keras.layers.GroupQueryAttention):
    """A `GroupedQueryAttention` with scales inside."""


# Layer → its stand-in.
STAND_INS = {
    _L.LayerNormalization: CountedLayerNormalization,
    _L.RMSNormalization: CountedRMSNormalization,
    _L.GroupNormalization: CountedGroupNormalization,
    _L.MultiHeadAttention: ScaledMultiHeadAttention,
    _L.GroupQueryAttention: ScaledGroupedQueryAttention,
}
PLAIN = {stand_in: plain for plain, stand_in in STAND_INS.items()}

for _plain, _stand_in in STAND_INS.items():
    register_rule(_stand_in)(RULES[_plain])


def stand_in(op: Any) -> Any:
    """The class of the stand-in for a layer that takes scales inside."""
    return next(STAND_INS[kind] for kind in type(op).__mro__ if kind in STAND_INS)
