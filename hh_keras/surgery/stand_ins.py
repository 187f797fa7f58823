"""Layers that contract or count channels inside, and take the scales of these.

Most layers read channels at their inputs, where scales are multiplied in. Of others the
scaled network has a *stand-in*: the same layer, with the same weights, whose call takes
the scales of its inner channels by name (see `Effect.inner`); so it has of operations
that normalise over channels.
"""

import math
from typing import Any

import keras
from keras import ops
from keras.src.ops.nn import LayerNorm, RMSNorm  # which Keras does not export

from hh_keras.graph.calls import op_key
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
    axes = axes if isinstance(axes, (list, tuple)) else [axes]
    if len(weight.shape) == rank > len(axes):
        return ops.cast(weight, like.dtype)
    shape = [1] * rank
    for axis, n in zip(axes, weight.shape):
        shape[axis] = n
    return ops.cast(ops.reshape(weight, shape), like.dtype)


def _layer_norm(x, counted, axes, epsilon, gains, rms_scaling):
    x, counted = _in_float32(x), _in_float32(counted)
    mean, variance = counted_moments(x, counted, axes)
    gamma, beta = gains
    if rms_scaling:  # by the variance, as Keras has it
        mean = 0.0
    x = (x - mean) * ops.rsqrt(variance + epsilon)
    if gamma is not None:
        x = x * _per_axis(gamma, axes, len(x.shape), x)
    if beta is not None:
        x = x + _per_axis(beta, axes, len(x.shape), x)
    return x


def _rms_norm(x, counted, axes, epsilon, scale):
    x, counted = _in_float32(x), _in_float32(counted)
    share = math.prod(counted.shape) / ops.sum(counted)
    square = ops.mean(ops.square(x) * counted, axes, keepdims=True)
    y = x * ops.rsqrt(square * share + epsilon)
    return y if scale is None else y * _per_axis(scale, axes, len(x.shape), x)


@_registered
class CountedLayerNormalization(keras.layers.LayerNormalization):
    """A `LayerNormalization` over the channels that count."""

    def call(self, inputs: Any, counted: Any) -> Any:
        gains = self.gamma, self.beta
        y = _layer_norm(
            inputs, counted, self.axis, self.epsilon, gains, self.rms_scaling
        )
        return ops.cast(y, self.compute_dtype)


@_registered
class CountedRMSNormalization(keras.layers.RMSNormalization):
    """An `RMSNormalization` over the channels that count."""

    def call(self, x: Any, counted: Any) -> Any:
        y = _rms_norm(x, counted, self.axis, self.epsilon, self.scale)
        return ops.cast(y, x.dtype)


@_registered
class CountedLayerNorm(LayerNorm):
    """A `keras.ops.layer_normalization` over the channels that count."""

    def call(
        self, x: Any, gamma: Any = None, beta: Any = None, counted: Any = 1
    ) -> Any:
        epsilon = _epsilon(self)
        gains = gamma, beta
        y = _layer_norm(x, counted, self.axis, epsilon, gains, self.rms_scaling)
        return ops.cast(y, x.dtype)

    def compute_output_spec(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor(x.shape, x.dtype)


@_registered
class CountedRMSNorm(RMSNorm):
    """A `keras.ops.rms_normalization` over the channels that count."""

    def call(self, x: Any, scale: Any = None, counted: Any = 1) -> Any:
        y = _rms_norm(x, counted, self.axis, _epsilon(self), scale)
        return ops.cast(y, x.dtype)

    def compute_output_spec(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor(x.shape, x.dtype)


def _epsilon(op):
    return keras.config.epsilon() if op.epsilon is None else op.epsilon


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


# Layer or operation → its stand-in.
STAND_INS = {
    _L.LayerNormalization: CountedLayerNormalization,
    _L.RMSNormalization: CountedRMSNormalization,
    _L.GroupNormalization: CountedGroupNormalization,
    _L.MultiHeadAttention: ScaledMultiHeadAttention,
    _L.GroupQueryAttention: ScaledGroupedQueryAttention,
    LayerNorm: CountedLayerNorm,
    RMSNorm: CountedRMSNorm,
}
PLAIN = {stand_in: plain for plain, stand_in in STAND_INS.items()}

for _plain, _stand_in in STAND_INS.items():
    register_rule(_stand_in)(RULES.get(_plain) or RULES[op_key(_plain)])


def stand_in(op: Any) -> Any:
    """The class of the stand-in for a layer that takes scales inside."""
    return next(STAND_INS[kind] for kind in type(op).__mro__ if kind in STAND_INS)
