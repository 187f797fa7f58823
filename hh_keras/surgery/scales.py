"""One trainable scale per network channel, at the input of every consumer.

There a scale of zero is removal, exactly: whatever normalisation or activation made of
the channel is gone. And there the gradient tells something: it is the first-order
effect of deleting the channel, while before a BatchNormalization it would be zero.
"""

import functools
from typing import Any

import keras
import numpy as np

from hh_keras.errors import ModelError
from hh_keras.graph import calls
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.cloning import clone_op
from hh_keras.graph.opening.inline import ordinary
from hh_keras.graph.rules import register_rule
from hh_keras.graph.tracing import trace
from hh_keras.surgery.inheritance import Inheritance, replay
from hh_keras.surgery.plan import Plan
from hh_keras.surgery.readers import cycle


@keras.saving.register_keras_serializable("hh_keras")
class ChannelScale(keras.layers.Layer):
    """Multiplies channels by their scales; one layer serves a whole graph.

    Args:
        size: number of network channels.
        regularizer: of the scales, for instance `ChannelSparsity`.
        constraint: of the scales.
        source: another `ChannelScale` whose scales to use. Nested models have a layer
            each, since Keras cannot load one layer that is called in two graphs.
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

    def call(self, inputs: Any, ids: list, axis: int = -1, times: int = 1) -> Any:
        """Scales `inputs`.

        Args:
            inputs: tensor with `len(ids) * times` channels along `axis`.
            ids: the network channel of each of them, list of ints.
            axis: the channel axis.
            times: how often the ids come one after another.
        """
        scales = keras.ops.cast(self._take(ids), inputs.dtype)
        if times > 1:
            scales = keras.ops.tile(scales, times)
        shape = [1] * len(inputs.shape)
        shape[axis] = -1
        return inputs * keras.ops.reshape(scales, shape)

    def _take(self, ids):
        start, stop = ids[0], ids[-1] + 1
        if list(ids) == list(range(start, stop)):
            return self.gamma[start:stop]
        return keras.ops.take(self.gamma, np.asarray(ids, "int32"))

    def compute_output_shape(self, input_shape: Any, *args: Any, **kwargs: Any) -> Any:
        return input_shape

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


@register_rule(ChannelScale)
def _channel_scale(layer, call):
    return call.passes()


def add_scales(
    model: keras.Model, channel_map: ChannelMap | None = None, regularizer: Any = None
) -> keras.Model:
    """Returns a copy of the model with a scale for every removable channel.

    Args:
        model: a model, see `trace`; it is not changed.
        channel_map: its `ChannelMap`; traced if None.
        regularizer: of the scales, see `ChannelSparsity`.

    Returns:
        A functional model with the same outputs (all scales are 1) and one more layer,
        `channel_scale`, whose weight `gamma` is float `(channel_map.size,)`. With
        nested models it cannot be loaded from a `.keras` file (Keras does not restore
        a variable shared between graphs): save `fold_scales(model)` instead.
    """
    model = ordinary(model)
    channel_map = channel_map or trace(model)
    constraint = getattr(regularizer, "constraint", None)
    scales: dict = {}  # graph → its layer

    def scale_of(graph):
        if graph not in scales:
            own = () if scales else (regularizer, constraint)
            source = next(iter(scales.values()), None)
            scales[graph] = ChannelScale(
                channel_map.size, *own, source=source, name="channel_scale"
            )
        return scales[graph]

    removable = channel_map.removable
    heirs = []

    def make(path, op):
        new = clone_op(op)
        if calls.is_layer(op):
            heirs.append(Inheritance(op, new))
        return new

    def call(path, old, new_op, args, kwargs):
        where = {
            position: (axis, ids)
            for position, axis, ids in channel_map.sites[path].contracts[old.number]
            if removable[ids].any()
        }
        flat = keras.tree.flatten((args, kwargs))
        tensors = [i for i, x in enumerate(flat) if isinstance(x, keras.KerasTensor)]
        for position, (axis, ids) in where.items():
            i = tensors[position]
            period = cycle(ids)
            where = {"ids": ids[:period].tolist(), "axis": axis}
            if period < len(ids):
                where["times"] = len(ids) // period
            flat[i] = scale_of(old.graph)(flat[i], **where)
        args, kwargs = keras.tree.pack_sequence_as((args, kwargs), flat)
        return new_op(*args, **kwargs)

    return replay(model, make, call, heirs)


def scale_layer(model: keras.Model) -> Any:
    """Returns a model's `ChannelScale` layer, or None."""
    for _, op in calls.leaf_operations(model):
        if isinstance(op, ChannelScale):
            return op
    return None


def has_scales(model: keras.Model) -> bool:
    """Whether `add_scales` was applied to the model."""
    return scale_layer(model) is not None


def mask(model: keras.Model, plan: Plan) -> keras.Model:
    """Returns a copy of the model with the removed channels silenced.

    All shapes stay; every consumer sees zeros in place of the channels that the plan
    removes. Its outputs equal those of `rebuild(model, plan)`.

    Raises:
        PlanError: the plan was made for another model.
    """
    model = ordinary(model)
    channel_map = trace(model)
    keep = plan.keep_in(channel_map)
    masked = add_scales(model, channel_map)
    layer = scale_layer(masked)
    if layer is not None:
        layer.gamma.assign(keep.astype("float32"))
        layer.gamma.trainable = False
    return masked


def fold_scales(model: keras.Model) -> keras.Model:
    """Returns the model without scales: they are multiplied into the kernels.

    A consumer without a kernel (a sum over channels) gets a `Rescaling` layer.

    Raises:
        ModelError: the model has none, see `add_scales`.
    """
    layer = scale_layer(model)
    if layer is None:
        raise ModelError(f"model '{model.name}' has no scales that could be folded.")
    gamma = np.asarray(layer.gamma)
    channel_map = trace(model)
    pending: dict = {}
    folds: dict = {}
    heirs: list = []

    def make(path, op):
        new = clone_op(op)
        if calls.is_layer(op):
            heirs.append(Inheritance(op, new, functools.partial(fold, path)))
        return new

    def fold(path, name, value):
        axis = channel_map.sites[path].kernels.get(name)
        if axis is None or path not in folds:
            return value
        shape = [1] * value.ndim
        shape[axis] = -1
        # A kernel split into groups reads one group's scales at a time.
        return value * folds[path][: value.shape[axis]].reshape(shape)

    def call(path, old, new_op, args, kwargs):
        if isinstance(old.op, ChannelScale):
            ids = np.tile(kwargs["ids"], kwargs.get("times", 1))
            pending[id(old.outputs[0])] = gamma[ids]
            return args[0]
        flat = keras.tree.flatten((args, kwargs))
        places = [i for i, x in enumerate(flat) if isinstance(x, keras.KerasTensor)]
        for tensor, i in zip(old.inputs, places):
            factors = pending.get(id(tensor))
            if factors is None:
                continue
            if channel_map.sites[path].kernels:
                folds[path] = factors
            elif not (factors == 1).all():
                flat[i] = _rescale(path, old, channel_map, factors)(flat[i])
        args, kwargs = keras.tree.pack_sequence_as((args, kwargs), flat)
        return new_op(*args, **kwargs)

    return replay(model, make, call, heirs)


def _rescale(path, old, channel_map, factors):
    axis = channel_map.sites[path].contracts[old.number][0][1]
    rank = len(old.inputs[0].shape)
    shape = [-1 if i == axis else 1 for i in range(1, rank)]
    name = f"{path.rsplit('/', 1)[-1]}_scale"
    return keras.layers.Rescaling(factors.reshape(shape).tolist(), name=name)
