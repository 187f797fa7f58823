"""Which tensors an int8 file rounds, and the same network with that rounding in it.

The file's kernels keep 32 bits inside, so a tensor is rounded where one kernel hands it
to the next: behind what is fused into one (a convolution, its BatchNormalization, its
ReLU), and not behind kernels that only pass values on. A Concatenate or a Maximum
wants one scale for all that it joins: what goes into it and nowhere else takes its
scale.
"""

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from hh_keras.export.checks import structure
from hh_keras.export.quantizing.carrying import Carried
from hh_keras.export.quantizing.legacy import modules
from hh_keras.export.quantizing.tape import COMPUTES, PASSES, SYMMETRIC, UNIT

_KERNELS = {
    "Conv2D": "kernel",
    "DepthwiseConv2D": "depthwise_kernel",
    "Conv2DTranspose": "kernel",
    "Dense": "kernel",
}
_BEFORE_RELU = (*_KERNELS, "BatchNormalization", "Add", "Subtract", "Multiply")
_ONE_SCALE = ("Concatenate", "Maximum", "Minimum")
# Of the format: what a sigmoid, a softmax, a tanh is rounded to is not learnt.
_FIXED = {UNIT: (0.0, 255 / 256), SYMMETRIC: (-1.0, 127 / 128)}


def rounded(carried: Carried) -> dict[int, tuple]:
    """The tensors of a carried network that int8 arithmetic rounds.

    Args:
        carried: a `Carried`.

    Returns:
        Dict of `id(tensor)` to `(tensor, scale)`, inputs included; of scale see
        `hh_keras.export.quantizing.tape.Step`.
    """
    consumers = _consumers(carried)
    found = {id(t): (t, COMPUTES) for t in carried.model.inputs}
    for step in carried.steps:
        if step.scale == PASSES or _joined(step, consumers[id(step.output)]):
            continue
        found[id(step.output)] = (step.output, step.scale)
    return found


def _consumers(carried):
    """`id(tensor)` to the steps that take it; None stands for the model's output."""
    found = {id(t): [] for t in carried.model.inputs}
    for step in carried.steps:
        found[id(step.output)] = []
        for tensor in step.inputs:
            found[id(tensor)].append(step)
    for tensor in carried.model.outputs:
        found[id(tensor)].append(None)
    return found


def _joined(step, consumers):
    """Whether the next kernel takes a step's output before it is rounded."""
    if len(consumers) != 1 or consumers[0] is None:
        return False
    kind, following = (type(s.layer).__name__ for s in (step, consumers[0]))
    if following == "ReLU":
        clip = consumers[0].layer.max_value
        return kind in _BEFORE_RELU and (clip is None or float(clip) == 6.0)
    if following == "BatchNormalization":
        return kind in ("Conv2D", "DepthwiseConv2D", "Dense")
    return following in _ONE_SCALE and step.scale == COMPUTES


def ranges(carried: Carried, batches: Iterable) -> dict:
    """Runs images through a carried network and reads the ranges of its tensors.

    Args:
        carried: a `Carried`.
        batches: iterable of lists of input arrays.

    Returns:
        Dict of `id(tensor)` to `(smallest, largest)`, for all that is `rounded`; 0 is
        always within.
    """
    keras2, _ = modules()
    places = rounded(carried)
    tensors = [tensor for tensor, _ in places.values()]
    probe = keras2.Model(carried.model.inputs, tensors)

    @tf.function(autograph=False)
    def extremes(inputs):
        outputs = tf.nest.flatten(probe(inputs, training=False))
        return (
            tf.stack([tf.reduce_min(t) for t in outputs]),
            tf.stack([tf.reduce_max(t) for t in outputs]),
        )

    low, high = np.zeros(len(tensors)), np.zeros(len(tensors))
    for batch in batches:
        inputs = [tf.convert_to_tensor(array) for array in batch]
        smallest, largest = extremes(inputs)
        low, high = np.minimum(low, smallest), np.maximum(high, largest)
    high = np.where(low == high, low + 1e-6, high)
    return {
        key: _FIXED.get(scale, (float(a), float(b)))
        for (key, (_, scale)), a, b in zip(places.items(), low, high, strict=True)
    }


def rounding(carried: Carried, measured: dict) -> tuple:
    """The carried network with the rounding of an int8 file in it.

    The new network's layers are the carried one's, wrapped: the carried one cannot be
    run any more.

    Args:
        carried: a `Carried`.
        measured: what `ranges` returned.

    Returns:
        `(model, values, settle)`: a `tf_keras.Model` of the same inputs and outputs;
        its tensors by `id(tensor)` of the carried one's; and a function that takes the
        ranges of the weights from their present values.
    """
    keras2, _ = modules()
    places = rounded(carried)
    weights: list = []
    wrapped: dict[int, Any] = {}
    values: dict[int, Any] = {}

    def kept(tensor, value):
        if id(tensor) in places:
            name = f"round_{len(values)}"
            scale = places[id(tensor)][1]
            value = _rounded(value, measured[id(tensor)], scale, name)
        values[id(tensor)] = value

    inputs = [
        keras2.Input(t.shape[1:], dtype=t.dtype, name=t.name)
        for t in carried.model.inputs
    ]
    for tensor, value in zip(carried.model.inputs, inputs, strict=True):
        kept(tensor, value)
    for step in carried.steps:
        layer = wrapped.get(id(step.layer))
        if layer is None:
            layer = wrapped[id(step.layer)] = _wrapped(step.layer, weights)
        given = [values[id(t)] for t in step.inputs]
        kept(step.output, layer(given if len(given) > 1 else given[0]))
    outputs = [values[id(t)] for t in carried.model.outputs]
    given, put = structure(carried.model)
    model = keras2.Model(
        tf.nest.pack_sequence_as(given, inputs),
        tf.nest.pack_sequence_as(put, outputs),
        name=carried.model.name,
    )

    def settle():
        for variable, quantizer in weights:
            quantizer.settle(variable)

    settle()
    return model, values, settle


def _rounded(value, limits, scale, name):
    """A layer that does nothing but round."""
    keras2, quantization = modules()
    kind = _fixed_range if scale in _FIXED else _measured_range
    config = _config()((), kind()(*limits))
    layer = keras2.layers.Activation("linear", name=name)
    return quantization.QuantizeWrapperV2(layer, config, name_prefix="")(value)


def _wrapped(layer, weights):
    """The layer with its kernel rounded, if it has one."""
    _, quantization = modules()
    attribute = _KERNELS.get(type(layer).__name__)
    if attribute is None:
        return layer
    per_channel = type(layer).__name__ in ("Conv2D", "DepthwiseConv2D")
    transposed = type(layer).__name__ == "Conv2DTranspose"
    quantizer = _last_value()(per_channel, transposed)
    weights.append((getattr(layer, attribute), quantizer))
    config = _config()(((attribute, quantizer),), None)
    return quantization.QuantizeWrapperV2(layer, config, name_prefix="int8_")


# The library's base classes exist only once it is imported, which is optional.


@functools.cache
def _config():
    _, quantization = modules()

    class Config(quantization.QuantizeConfig):
        """Rounds some weights of a layer, and its output."""

        def __init__(self, kernels: Any, output: Any) -> None:
            self.kernels, self.output = kernels, output

        def get_weights_and_quantizers(self, layer):
            return [(getattr(layer, name), q) for name, q in self.kernels]

        def get_activations_and_quantizers(self, layer):
            return []

        def set_quantize_weights(self, layer, quantize_weights):
            for (name, _), value in zip(self.kernels, quantize_weights, strict=True):
                setattr(layer, name, value)

        def set_quantize_activations(self, layer, quantize_activations):
            pass

        def get_output_quantizers(self, layer):
            return [] if self.output is None else [self.output]

        def get_config(self):
            return {"kernels": self.kernels, "output": self.output}

    return Config


@functools.cache
def _measured_range():
    keras2, quantization = modules()

    class MeasuredRange(quantization.quantizers.MovingAverageQuantizer):
        """Starts with a range that was measured, and follows the training slowly."""

        def __init__(self, low: Any, high: Any) -> None:
            super().__init__(
                num_bits=8, per_axis=False, symmetric=False, narrow_range=False
            )
            self.limits = {"min": low, "max": high}

        def build(self, tensor_shape, name, layer):
            return {
                f"{end}_var": layer.add_weight(
                    f"{name}_{end}",
                    initializer=keras2.initializers.Constant(limit),
                    trainable=False,
                )
                for end, limit in self.limits.items()
            }

    return MeasuredRange


@functools.cache
def _fixed_range():
    _, quantization = modules()

    def fixed(low, high):
        return quantization.quantizers.FixedQuantizer(8, low, high, False)

    return fixed


@functools.cache
def _last_value():
    keras2, quantization = modules()

    class LastValue(quantization.quantizers.LastValueQuantizer):
        """Symmetric integers in the range of the weights; per channel of the output."""

        def __init__(self, per_channel: Any, transposed: Any) -> None:
            super().__init__(8, per_channel, symmetric=True, narrow_range=True)
            self.transposed, self.variables = transposed, None

        def build(self, tensor_shape, name, layer):
            shape = (tensor_shape[-1],) if self.per_axis else ()
            self.variables = {
                f"{end}_var": layer.add_weight(
                    f"{name}_{end}",
                    shape=shape,
                    initializer=keras2.initializers.Constant(limit),
                    trainable=False,
                )
                for end, limit in (("min", -6.0), ("max", 6.0))
            }
            return self.variables

        def __call__(
            self, inputs: Any, training: Any, weights: Any, **kwargs: Any
        ) -> Any:
            if not self.transposed:
                return super().__call__(inputs, training, weights, **kwargs)
            # The converter looks for the rounding on the far side of a transpose.
            turned = tf.transpose(inputs, (0, 1, 3, 2))
            turned = super().__call__(turned, training, weights, **kwargs)
            return tf.transpose(turned, (0, 1, 3, 2))

        def settle(self, kernel):
            """Takes the range of the kernel as it is now."""
            axes = tuple(range(len(kernel.shape) - 1)) if self.per_axis else None
            most = np.abs(kernel.numpy()).max(axis=axes)
            most = np.maximum(most, 1e-12).astype("float32")
            self.variables["min_var"].assign(-most)
            self.variables["max_var"].assign(most)

    return LastValue
