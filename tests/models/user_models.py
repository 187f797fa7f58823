"""Models with parts of a user's own, each with whether a file can hold it."""

import functools

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

registered = keras.saving.register_keras_serializable("user_models")


def leaky_relu(x):
    """Called as one of Keras', but steeper."""
    return ops.maximum(x, 0.5 * x)


@registered
def bent(x):
    return ops.maximum(x, 0.25 * x)


@registered
def scaled(x, factor=2.0):
    return x * factor


def unregistered(x):
    return x * 3.0


@registered
class Gain(layers.Layer):
    def __init__(self, gain=1.0, **kwargs):
        super().__init__(**kwargs)
        self.gain = gain

    def call(self, x):
        return x * self.gain

    def get_config(self):
        return {**super().get_config(), "gain": self.gain}


@registered
class Forgetful(Gain):
    def get_config(self):
        return layers.Layer.get_config(self)


@registered
class Closed(layers.Layer):
    """Takes nothing that a description would give back."""

    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def call(self, x):
        return x * self.gain

    def get_config(self):
        return layers.Layer.get_config(self)


class Unregistered(layers.Layer):
    def call(self, x):
        return x * 2.0


@registered
class Ones(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None, **kwargs):
        return ops.ones(shape, dtype or "float32")


class OtherOnes(Ones):
    pass


@registered
class Sum(keras.regularizers.Regularizer):
    def __init__(self, by=1.0):
        self.by = by

    def __call__(self, weights):
        return self.by * ops.sum(weights)

    def get_config(self):
        return {"by": self.by}


class OtherSum(Sum):
    pass


@registered
class Anything(keras.constraints.Constraint):
    def __call__(self, weights):
        return weights


class OtherAnything(Anything):
    pass


@registered
class Block(layers.Layer):
    def __init__(self, units, activation="relu", **kwargs):
        super().__init__(**kwargs)
        self.units, self.activation = units, keras.activations.get(activation)
        self.inner = layers.Dense(units, activation=activation)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        activation = keras.activations.serialize(self.activation)
        own = {"units": self.units, "activation": activation}
        return {**super().get_config(), **own}


@registered
class Mine(keras.Model):
    pass


class NotMine(keras.Model):
    pass


def model(part, shape=(6,), kind=keras.Model):
    inputs = keras.Input(shape)
    x = part(inputs)
    return kind(inputs, layers.Dense(2)(layers.Flatten()(x)))


def nested(part):
    inputs = keras.Input((6,))
    inner = keras.Model(inputs, part(inputs), name="inner")
    return model(inner)


def inside(x):
    @registered
    class Inside(layers.Layer):
        def call(self, x):
            return x * 2.0

    return Inside()(x)


def dense(**settings):
    return lambda x: layers.Dense(3, **settings)(x)


def over_time(**settings):
    return lambda x: layers.TimeDistributed(layers.Dense(3, **settings))(x)


STEPS = (4, 6)
GOOD = {
    "lambda_registered": lambda: model(
        layers.Lambda(scaled, arguments={"factor": 3.0})
    ),
    "lambda_of_keras": lambda: model(layers.Lambda(ops.relu)),
    "activation": lambda: model(dense(activation=bent)),
    "activation_of_keras": lambda: model(dense(activation=keras.activations.gelu)),
    "activation_of_tensorflow": lambda: model(dense(activation=tf.nn.relu)),
    "activation_of_ops": lambda: model(dense(activation=ops.silu)),
    "activation_layer": lambda: model(dense(activation=layers.ReLU(6.0))),
    "layer": lambda: model(Gain(2.0)),
    "initializer": lambda: model(dense(kernel_initializer=Ones())),
    "regularizer": lambda: model(dense(kernel_regularizer=Sum(2.0))),
    "constraint": lambda: model(dense(kernel_constraint=Anything())),
    "those_of_keras": lambda: model(
        dense(kernel_regularizer="l2", kernel_constraint="max_norm", activation="elu")
    ),
    "array": lambda: model(
        dense(kernel_initializer=keras.initializers.Constant(np.ones((6, 3))))
    ),
    "wrapped": lambda: model(over_time(activation=bent), STEPS),
    "recurrent": lambda: model(
        layers.Bidirectional(layers.LSTM(3, activation=bent)), STEPS
    ),
    "attention": lambda: model(
        lambda x: layers.MultiHeadAttention(2, 3, kernel_initializer=Ones())(x, x),
        STEPS,
    ),
    "nested": lambda: nested(lambda x: Gain(3.0)(layers.Dense(6, activation=bent)(x))),
    "block": lambda: model(Block(4, bent)),
    "subclass": lambda: model(Gain(2.0), kind=Mine),
    "operations": lambda: model(lambda x: ops.clip(x * 2.0 + 1.0, 0, 6)),
    "half": lambda: model(dense(dtype=keras.DTypePolicy("mixed_float16"))),
}
BAD = {
    "lambda": lambda: model(layers.Lambda(lambda x: x / 2.0, name="part")),
    "lambda_shape": lambda: model(
        layers.Lambda(scaled, output_shape=lambda shape: shape, name="part")
    ),
    "lambda_unregistered": lambda: model(layers.Lambda(unregistered, name="part")),
    "activation_lambda": lambda: model(dense(activation=lambda x: x * 2, name="part")),
    "activation_of_keras_name": lambda: model(
        dense(activation=leaky_relu, name="part")
    ),
    "activation_unregistered": lambda: model(
        dense(activation=unregistered, name="part")
    ),
    "activation_of_tensorflow": lambda: model(
        dense(activation=tf.math.sin, name="part")
    ),
    "activation_partial": lambda: model(
        layers.Activation(functools.partial(scaled, factor=3.0), name="part")
    ),
    "layer": lambda: model(Unregistered(name="part")),
    "forgetful": lambda: model(Forgetful(2.0, name="part")),
    "closed": lambda: model(Closed(2.0)),
    "inside": lambda: model(inside),
    "initializer": lambda: model(dense(kernel_initializer=OtherOnes(), name="part")),
    "regularizer": lambda: model(dense(kernel_regularizer=OtherSum(), name="part")),
    "constraint": lambda: model(dense(kernel_constraint=OtherAnything(), name="part")),
    "wrapped": lambda: model(over_time(activation=lambda x: x * 2), STEPS),
    "wrapped_name": lambda: model(over_time(activation=leaky_relu), STEPS),
    "nested": lambda: nested(layers.Lambda(lambda x: x * 2.0, name="part")),
    "nested_name": lambda: nested(dense(activation=leaky_relu, name="part")),
    "sequential": lambda: keras.Sequential(
        [keras.Input((6,)), layers.Dense(3, activation=leaky_relu, name="part")]
    ),
    "block": lambda: model(Block(4, leaky_relu, name="part")),
    "subclass": lambda: model(Gain(2.0), kind=NotMine),
    "numpy_number": lambda: model(lambda x: ops.reshape(x, (-1, np.int64(3), 2))),
}
