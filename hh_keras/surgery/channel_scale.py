"""The layer that holds one trainable scale for each network channel."""

from typing import Any

import keras
import numpy as np
from keras import ops

from hh_keras.graph import calls
from hh_keras.graph.rules import Effect, register_rule
from hh_keras.graph.rules.registry import takes_grids

_LEAST = {"float16": -3e4}  # less than any activation; other types hold -1e9


@keras.saving.register_keras_serializable("hh_keras")
class ChannelScale(keras.layers.Layer):
    """Multiplies channels by their scales; one layer serves a whole graph.

    Args:
        size: number of network channels.
        regularizer: of the scales, for instance `ChannelSparsity`.
        constraint: of the scales.
        source: another `ChannelScale` whose scales to use. Nested models have a layer
            each, since Keras cannot load one layer that is called in two graphs.

    Examples:
        >>> scaled = hh_keras.add_scales(model)
        >>> scale = scaled.get_layer("channel_scale")
        >>> scale.size, tuple(scale.gamma.shape)
        (45, (45,))
        >>> _ = scale.gamma.assign(plan.keep)  # zero is removal
        >>> np.allclose(scaled(images), small(images), atol=1e-5)
        True
    """

    def __init__(
        self,
        size: Any,
        regularizer: Any = None,
        constraint: Any = None,
        source: Any = None,
        **kwargs: Any,
    ) -> None:
        # Scales have the precision of what they multiply, whatever the global policy.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self.supports_masking = True
        self.size = size
        self.source = source
        self.regularizer = keras.regularizers.get(regularizer)
        self.constraint = keras.constraints.get(constraint)
        if source is None:
            self._gamma = self.add_weight(
                name="gamma",
                shape=(size,),
                initializer="ones",
                regularizer=self.regularizer,
                constraint=self.constraint,
                aggregation="only_first_replica",
            )
        self.built = True

    @property
    def gamma(self) -> keras.Variable:
        """The scales, a variable of shape `(size,)`."""
        return self._gamma if self.source is None else self.source.gamma

    def build(self, input_shape: Any) -> None:
        """The scales exist already: they do not depend on the input."""

    def call(
        self,
        inputs: Any,
        ids: list,
        axis: int = -1,
        times: int = 1,
        how: str = "scale",
        over: Any = None,
    ) -> Any:
        """Scales `inputs`, or has a statistic of them count only channels that stay.

        A channel counts unless its scale is zero. What the count does to a loss has
        the slope that it would have if channels counted as much as their scales; of
        the greatest, that of the scaled numbers.

        Args:
            inputs: tensor with `len(ids) * times` channels along `axis`.
            ids: the network channel of each of them, list of ints; of channels that
                are products of several, one such list for each factor.
            axis: the channel axis.
            times: how often the ids come one after another.
            how: "scale" multiplies by the scales. "vector" returns the scales
                themselves, `(len(ids),)`, "counted" whether each counts, 1 or 0, along
                `axis`. The others return inputs of which a statistic over all channels
                is that over those which count: "mean", "spread" (mean, variance and
                deviation), "power" (sums of squares), "greatest", "least", "softmax";
                or over which the operation normalises: "unit", "shares" (softmax),
                "log_shares". What these put out has no slope but the statistic's if
                it goes through "out of unit" and so on, which changes no number.
            over: for "spread" the axes that the statistic is taken over.
        """
        dtype = self.gamma.dtype if how == "vector" else inputs.dtype
        scales = ops.cast(self._take(ids), dtype)
        if times > 1:
            scales = ops.tile(scales, times)
        if how == "vector":
            return scales
        shape = [1] * len(inputs.shape)
        shape[axis] = -1
        scales = ops.reshape(scales, shape)
        if how == "scale":
            return inputs * scales
        counted = ops.cast(ops.not_equal(scales, 0), scales.dtype)
        counted = ops.stop_gradient(counted - scales) + scales
        if how == "counted":
            return counted
        return _HOW[how](inputs, counted, inputs.shape[axis], over)

    def _take(self, ids):
        if isinstance(ids[0], (list, tuple)):
            product = self._take(ids[0])
            for factor in ids[1:]:
                product = product * self._take(factor)
            return product
        if min(ids) < 0:  # some are products of fewer
            gamma = ops.append(self.gamma, ops.ones((1,), self.gamma.dtype))
            return ops.take(gamma, np.asarray(ids, "int32") % (self.size + 1))
        start, stop = ids[0], ids[-1] + 1
        if list(ids) == list(range(start, stop)):
            return self.gamma[start:stop]
        return ops.take(self.gamma, np.asarray(ids, "int32"))

    def compute_output_spec(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        how, axis = kwargs.get("how", "scale"), kwargs.get("axis", -1)
        size = inputs.shape[axis]
        if how == "vector":
            return keras.KerasTensor((size,), self.gamma.dtype)
        if how == "counted":
            shape = [1] * len(inputs.shape)
            shape[axis] = size
            return keras.KerasTensor(shape, inputs.dtype)
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "size": self.size,
            "regularizer": keras.regularizers.serialize(self.regularizer),
            "constraint": keras.constraints.serialize(self.constraint),
            "source": keras.saving.serialize_keras_object(self.source),
        }

    @classmethod
    def from_config(cls, config: dict) -> "ChannelScale":
        source = keras.saving.deserialize_keras_object(config.pop("source", None))
        return cls(**config, source=source)


def _mean(x, counted, size, over):
    return x * counted * (size / ops.sum(counted))


def _spread(x, counted, size, over):
    """Those that do not count are put at the mean, the others the farther from it."""
    share = size / ops.sum(counted)
    mean = ops.mean(x * counted, axis=over, keepdims=True) * share
    return mean + (x - mean) * _rooted(counted) * ops.sqrt(share)


def _rooted(counted):
    """Half the slope: what is squared later has then the whole."""
    still = ops.stop_gradient(counted)
    return still + (counted - still) / 2


def _power(x, counted, size, over):
    return x * _rooted(counted)


def _slope(counted):
    return counted - ops.stop_gradient(counted)


def _or_least(x, counted):
    least = _LEAST.get(keras.backend.standardize_dtype(x.dtype), -1e9)
    return ops.where(counted > 0, x, least)


def _greatest(x, counted, size, over):
    return _or_least(x, counted) * (1 + _slope(counted))


def _exponents(x, counted, size, over):
    """Counted s times is an exponent of x + log s, whose slope at 1 is that of s."""
    return _or_least(x, counted) + _slope(counted)


def _least(x, counted, size, over):
    return -_greatest(-x, counted, size, over)


_HOW = {
    "mean": _mean,
    "spread": _spread,
    "power": _power,
    "greatest": _greatest,
    "least": _least,
    "softmax": _exponents,
    "unit": _power,
    "shares": _exponents,
    "log_shares": _exponents,
    "out of unit": lambda y, counted, *_: y * (1 - _slope(counted) / 2),
    "out of shares": lambda y, counted, *_: y * (1 - _slope(counted)),
    "out of log_shares": lambda y, counted, *_: y - _slope(counted),
}


@register_rule(ChannelScale)
@takes_grids
def _channel_scale(layer, call):
    if call.kwargs.get("how") in ("vector", "counted"):
        return Effect(call.fixed(call.shape, "scales"))
    return call.passes()


def scale_layer(model: keras.Model) -> Any:
    """Returns a model's `ChannelScale` layer, or None."""
    for _, op in calls.leaf_operations(model):
        if isinstance(op, ChannelScale):
            return op
    return None
