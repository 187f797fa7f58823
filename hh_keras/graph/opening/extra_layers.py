"""Registered layers for what Keras has no layer of its own.

They stand in opened models: a weight that a class uses by itself, an array made in a
call, something repeated for every example, a loss added on the way, a mask. Each takes
a tensor that hangs it into the graph.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from hh_keras.graph.ids import IdTensor, on_axis
from hh_keras.graph.rules import Effect, register_rule
from hh_keras.graph.rules.convolution import conv
from hh_keras.graph.rules.dense import dense

_registered = keras.saving.register_keras_serializable(package="hh_keras")


@_registered
class Weight(keras.layers.Layer):
    """A weight as a tensor, for the operations that use it.

    Args:
        shape: shape of the weight.
        weight_dtype: its dtype.
        regularizer, constraint: as for any weight of Keras.
    """

    def __init__(
        self,
        shape: Any,
        weight_dtype: Any = "float32",
        regularizer: Any = None,
        constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shape = tuple(shape)
        self.weight_dtype = weight_dtype
        self.regularizer = keras.regularizers.get(regularizer)
        self.constraint = keras.constraints.get(constraint)
        self._convert_input_args = False

    def build(self, input_shape: Any = None) -> None:
        self.weight = self.add_weight(
            name="weight",
            shape=self.shape,
            dtype=self.weight_dtype,
            initializer="zeros",
            regularizer=self.regularizer,
            constraint=self.constraint,
        )

    def call(self, anchor: Any) -> Any:
        """Returns the weight; what `anchor` holds does not matter."""
        return ops.cast(self.weight, self._tensor_dtype)

    def compute_output_spec(self, anchor: Any) -> Any:
        return keras.KerasTensor(self.shape, self._tensor_dtype)

    @property
    def _tensor_dtype(self):
        floating = keras.backend.is_float_dtype(self.weight_dtype)
        return self.compute_dtype if floating else self.weight_dtype

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return None

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "shape": self.shape,
            "weight_dtype": self.weight_dtype,
            "regularizer": keras.regularizers.serialize(self.regularizer),
            "constraint": keras.constraints.serialize(self.constraint),
        }


@_registered
class Constant(keras.layers.Layer):
    """An array that never changes."""

    def __init__(self, value: Any, value_dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value = np.asarray(value, value_dtype)
        self._convert_input_args = False

    def call(self, anchor: Any) -> Any:
        return ops.convert_to_tensor(self.value)

    def compute_output_spec(self, anchor: Any) -> Any:
        return keras.KerasTensor(self.value.shape, self.value.dtype.name)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return None

    def get_config(self) -> dict:
        value = {"value": self.value.tolist(), "value_dtype": self.value.dtype.name}
        return {**super().get_config(), **value}


@_registered
class AlongBatch(keras.layers.Layer):
    """Repeats something for every example of a batch.

    Args:
        shape: the result's shape behind the batch.
        times: how often for each example.
    """

    def __init__(self, shape: Any, times: Any = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shape = tuple(shape)
        self.times = times
        self._convert_input_args = False

    def call(self, x: Any, like: Any) -> Any:
        """`x` of size 1 on its first axis, or without that axis; `like` has a batch."""
        return ops.broadcast_to(x, (ops.shape(like)[0] * self.times, *self.shape))

    def compute_output_spec(self, x: Any, like: Any) -> Any:
        return keras.KerasTensor((None, *self.shape), x.dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "shape": self.shape, "times": self.times}


@_registered
class AddLoss(keras.layers.Layer):
    """Passes its first input on and adds the second to the model's losses."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._convert_input_args = False
        self.supports_masking = True

    def call(self, x: Any, loss: Any) -> Any:
        self.add_loss(loss)
        return x

    def compute_output_spec(self, x: Any, loss: Any) -> Any:
        return keras.KerasTensor(x.shape, x.dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return previous_mask


@_registered
class WithMask(keras.layers.Layer):
    """Passes its first input on and says which of its steps count."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._convert_input_args = False

    def call(self, x: Any, keep: Any) -> Any:
        # A new tensor: the mask of a tensor cannot be changed.
        x = ops.copy(x)
        keras.src.backend.set_keras_mask(x, keep)
        return x

    def compute_output_spec(self, x: Any, keep: Any) -> Any:
        y = keras.KerasTensor(x.shape, x.dtype)
        keras.src.backend.set_keras_mask(y, keep)
        return y


@_registered
def approximate_gelu(x: Any) -> Any:
    """`keras.ops.gelu`, which files hold as if it were `keras.activations.gelu`.

    That one does not approximate: a layer would give other numbers once it is loaded.
    """
    return ops.gelu(x, approximate=True)


class _Scaled(keras.layers.Layer):
    """A layer whose kernel is multiplied by a number wherever it is used.

    So do networks with an equalised learning rate (Karras et al., arXiv:1710.10196).
    """

    def __init__(self, scale: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, ops.multiply(kernel, self.scale))

    def get_config(self) -> dict:
        return {**super().get_config(), "scale": self.scale}


@_registered
class ScaledDense(_Scaled, keras.layers.Dense):
    """A `Dense` layer whose kernel is multiplied by `scale`."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        x = ops.matmul(inputs, ops.multiply(self.kernel, self.scale))
        x = x + self.bias if self.use_bias else x
        return x if self.activation is None else self.activation(x)


@_registered
class ScaledConv1D(_Scaled, keras.layers.Conv1D):
    """A `Conv1D` layer whose kernel is multiplied by `scale`."""


@_registered
class ScaledConv2D(_Scaled, keras.layers.Conv2D):
    """A `Conv2D` layer whose kernel is multiplied by `scale`."""


@_registered
class ScaledConv3D(_Scaled, keras.layers.Conv3D):
    """A `Conv3D` layer whose kernel is multiplied by `scale`."""


SCALED = {
    keras.layers.Dense: ScaledDense,
    keras.layers.Conv1D: ScaledConv1D,
    keras.layers.Conv2D: ScaledConv2D,
    keras.layers.Conv3D: ScaledConv3D,
}

register_rule(ScaledDense)(dense)
register_rule(ScaledConv1D, ScaledConv2D, ScaledConv3D)(conv)


@register_rule(Weight)
def _weight(layer, call):
    """Channels of a weight that is used raw lie on its one axis that is not 1.

    If there are several such axes, they lie on the last one.
    """
    floating = keras.backend.is_float_dtype(layer.weight_dtype)
    shape = layer.shape
    long = [k for k, n in enumerate(shape) if n > 1]
    axis = long[0] if len(long) == 1 else len(shape) - 1
    if not long or shape[axis] < 2 or not floating:
        return Effect(call.fixed(shape, "a weight without channels"))
    ids = call.fresh(shape[axis])
    before, behind = (None,) * axis, (None,) * (len(shape) - axis - 1)
    return Effect(
        on_axis(ids, axis, shape),
        produces=ids,
        weights={"weight": (*before, ids, *behind)},
        config={"shape": (*shape[:axis], ids, *shape[axis + 1 :])},
    )


@register_rule(Constant)
def _constant(layer, call):
    return Effect(call.fixed(call.shape, "a constant"))


@register_rule(AlongBatch)
def _along_batch(layer, call):
    x, like = call.inputs
    rank = len(call.shape)
    ids = x.ids.reshape((1,) * (rank - x.rank) + x.ids.shape)
    output = IdTensor(call.rectangle(ids), tuple(call.shape))
    sizes = tuple(
        call.along(output, i) if i in output.varying else n
        for i, n in enumerate(layer.shape, 1)
    )
    return Effect(output, config={"shape": sizes} if output.varying else {})


@register_rule(AddLoss, WithMask)
def _first(layer, call):
    what = "a loss" if isinstance(layer, AddLoss) else "a mask"
    for x in call.inputs[1:]:
        call.freeze(x, f"{call.path}: {what}")
    return call.passes()
