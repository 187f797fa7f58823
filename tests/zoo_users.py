"""Patterns that users' own networks have, each of which once came out wrong."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers as L
from keras import ops

USERS = {}


def pattern(build):
    USERS[build.__name__] = build
    return build


def _head(inputs, x, units=4):
    return keras.Model(inputs, L.Dense(units)(L.GlobalAveragePooling2D()(x)))


@keras.saving.register_keras_serializable("zoo")
class RoundedConv(L.Conv2D):
    """Overrides how its kernel is used, and neither `call` nor `build`."""

    def convolution_op(self, inputs, kernel):
        step = ops.max(ops.abs(kernel), axis=(0, 1, 2), keepdims=True) / 7
        return super().convolution_op(inputs, ops.round(kernel / step) * step)


@keras.saving.register_keras_serializable("zoo")
class PositiveDense(L.Dense):
    @property
    def kernel(self):
        return ops.softplus(super().kernel)


@pattern
def overridden_computation():
    i = keras.Input((8, 8, 3))
    x = L.ReLU()(RoundedConv(8, 3)(i))
    x = L.Conv2D(6, 1)(RoundedConv(10, 3)(x))
    x = PositiveDense(7)(L.Dense(9, "relu")(L.GlobalMaxPooling2D()(x)))
    return keras.Model(i, L.Dense(3)(x))


@pattern
def features_of_a_backbone():
    """A backbone, and a second model of its inner features, in one network."""
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(6, 3, activation="relu", name="one")(i)
    y = L.BatchNormalization(name="norm")(L.Conv2D(9, 3, name="two")(x))
    whole, early = keras.Model(i, y, name="whole"), keras.Model(i, [x, y], name="early")
    j = keras.Input((8, 8, 3))
    a, b = early(j)
    b = L.Add()([b, whole(L.ReLU()(j))])
    pooled = [L.GlobalAveragePooling2D()(t) for t in (a, b, whole(j))]
    return keras.Model(j, L.Dense(4)(L.Concatenate()(pooled)))


@pattern
def inside_and_outside():
    """A layer called in a nested model and beside it, and two models that share it."""
    shared = L.Conv2D(6, 3, padding="same", name="shared")
    i = keras.Input((8, 8, 6))
    first = keras.Model(i, L.ReLU()(shared(i)), name="first")
    k = keras.Input((8, 8, 6))
    second = keras.Sequential([k, shared, L.ELU()], name="second")
    j = keras.Input((8, 8, 3))
    x = L.Conv2D(6, 1)(j)
    x = L.Add()([first(x), second(x), shared(x)])
    return _head(j, first(L.Conv2D(6, 1)(x)))


def elu(x):
    return ops.where(x > 0, x, 0.3 * (ops.exp(x) - 1.0))


def squash(x):
    return x / (1.0 + ops.abs(x))


class Shrunken(keras.regularizers.Regularizer):
    def __call__(self, x):
        return 1e-3 * ops.sum(ops.abs(x))


@pattern
def own_functions():
    """Functions whose names Keras gives to others, and unregistered ones."""
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, activation=elu, kernel_regularizer=Shrunken())(i)
    x = L.Activation(squash)(L.Conv2D(6, 3, activation=tf.nn.relu6)(x))
    x = L.Conv2D(6, 1, activation=lambda t: t * 3.0)(x)
    return _head(i, L.DepthwiseConv2D(3, activation=elu)(x))


@pattern
def lambda_of_a_module():
    i = keras.Input((8, 8, 3))
    x = L.Lambda(lambda t: tf.cast(t, "float32") / 127.5 - 1.0)(i)
    x = L.Conv2D(6, 3, activation="relu")(L.Conv2D(8, 3)(x))
    x = L.Lambda(lambda t, power: ops.abs(t) ** power, arguments={"power": 1.5})(x)
    return _head(i, x)


@pattern
def backbone_of_any_size():
    """`include_top=False`, in a model of one size, and a head for two sizes."""
    i = keras.Input((None, None, 3))
    x = L.Conv2D(8, 3, strides=2, padding="same")(i)
    x = L.ReLU()(L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same")(x)))
    backbone = keras.Model(i, L.Conv2D(6, 1)(x), name="backbone")
    k = keras.Input((None, None, 6))
    layers = [L.Conv2D(5, 3, padding="same"), L.ReLU(), L.Conv2D(4, 1)]
    head = keras.Sequential([k, *layers])
    j = keras.Input((12, 12, 3))
    x = backbone(j)
    return keras.Model(j, [head(x), head(L.MaxPooling2D()(x))])


@pattern
def pixels_as_examples():
    i = keras.Input((6, 4, 3))
    x = L.Conv2D(8, 3, padding="same")(i)
    y = ops.reshape(L.Dense(10, "relu")(ops.reshape(x, (-1, 8))), (-1, 24, 10))
    return keras.Model(i, L.Dense(3)(L.GlobalMaxPooling1D()(L.Dense(6)(y))))


@pattern
def windows():
    """Swin's: a map cut into windows, each of which is an example."""
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(12, 1)(i)
    w = ops.reshape(x, (-1, 2, 4, 2, 4, 12))
    w = ops.reshape(ops.transpose(w, (0, 1, 3, 2, 4, 5)), (-1, 16, 12))
    q, k, v = ops.split(L.Dense(24)(w), 3, axis=-1)
    scores = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1))) * 0.3)
    w = L.Dense(12)(ops.matmul(scores, v))
    w = ops.reshape(w, (-1, 2, 2, 4, 4, 12))
    w = ops.reshape(ops.transpose(w, (0, 1, 3, 2, 4, 5)), (-1, 8, 8, 12))
    return _head(i, x + w)


@pattern
def frames():
    """A clip: its frames are examples of an image network, then a sequence again."""
    v = keras.Input((4, 8, 8, 3))
    x = ops.reshape(v, (-1, 8, 8, 3))
    x = L.Conv2D(6, 3, activation="relu")(L.BatchNormalization()(L.Conv2D(5, 3)(x)))
    x = ops.reshape(L.GlobalAveragePooling2D()(x), (-1, 4, 6))
    return keras.Model(v, L.Dense(3)(L.GlobalAveragePooling1D()(L.Conv1D(7, 3)(x))))


@pattern
def two_views_in_one_batch():
    a, b = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    y = L.Conv2D(6, 5, padding="same")(b)[:, 1:7, 1:7]
    x = ops.concatenate([L.Conv2D(6, 3)(a), y], axis=0)
    x = L.GlobalAveragePooling2D()(L.Conv2D(8, 3, activation="relu")(x))
    x, y = ops.split(x, 2, axis=0)
    return keras.Model([a, b], L.Dense(4)(ops.abs(x - y)))


@pattern
def sizes_of_numpy():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3)(i)
    x = ops.reshape(x, (-1, np.prod(x.shape[1:3]), np.int32(4), 2))
    x = ops.transpose(x, (0, 1, 3, 2))
    x = ops.split(L.Reshape((36, 8))(x), 1, axis=-1)[0]
    x = ops.pad(x, ((0, 0), (np.int64(1), 1), (0, 0)))
    return keras.Model(i, L.Dense(3)(L.GlobalAveragePooling1D()(L.Conv1D(5, 3)(x))))


@pattern
def given_values():
    """Initialisers that hold arrays: word vectors, filters, slopes."""
    rng = np.random.default_rng(0)
    constant = lambda *shape: keras.initializers.Constant(  # noqa: E731
        rng.normal(size=shape).astype("float32")
    )
    i = keras.Input((12,), dtype="int32")
    x = L.Embedding(20, 8, embeddings_initializer=constant(20, 8), trainable=False)(i)
    x = L.Conv1D(6, 3, kernel_initializer=constant(3, 8, 6))(x)
    x = L.PReLU(alpha_initializer=constant(1, 6), shared_axes=[1])(x)
    x = L.DepthwiseConv1D(3, depthwise_initializer=constant(3, 6, 1))(x)
    x = L.BatchNormalization(gamma_initializer=constant(6))(x)
    return keras.Model(i, L.Dense(3)(L.GlobalMaxPooling1D()(x)))


@pattern
def nested_by_name():
    z, a = keras.Input((8,), name="zeta"), keras.Input((8,), name="alpha")
    x = L.Concatenate()([L.Dense(8)(z), L.Dense(5)(a)])
    fuse = keras.Model([z, a], L.Dense(7, "relu")(x), name="fuse")
    x, y = keras.Input((6,)), keras.Input((5,))
    f, g = L.Dense(8, "relu", name="f")(x), L.Dense(8, "relu", name="g")(y)
    return keras.Model([x, y], L.Dense(3)(fuse({"alpha": f, "zeta": g})))


@pattern
def mixer():
    """Dense layers over positions, then over channels; the one gates the other."""
    i = keras.Input((9, 6))
    x = L.Dense(8)(i)
    t = L.Permute((2, 1))(x)
    t = L.Permute((2, 1))(L.Dense(9)(L.Dense(5, "gelu")(t)))
    x = L.Dense(8)(L.Dense(12, "gelu")(x + t))
    u, v = ops.split(L.Dense(16)(x), 2, axis=-1)
    v = L.EinsumDense("abc,bd->adc", (9, None))(v)
    return keras.Model(i, L.Dense(3)(L.GlobalAveragePooling1D()(L.Dense(6)(u * v))))


@pattern
def dropped_maps():
    i = keras.Input((8, 8, 3))
    x = L.Dropout(0.3, noise_shape=(None, 1, 1, 8), seed=1)(L.Conv2D(8, 3)(i))
    x = L.Dropout(0.3, noise_shape=(None, 1, 1, 1), seed=2)(L.Conv2D(6, 3)(x))
    return _head(i, L.SpatialDropout2D(0.2, seed=3)(x))


@pattern
def shared_by_input_and_features():
    i = keras.Input((8, 8, 3))
    slope, x = L.PReLU(shared_axes=[1, 2]), L.Conv2D(3, 3, padding="same")(i)
    x = L.Concatenate()([slope(i), slope(x), L.Conv2D(5, 1)(x)])
    return _head(i, L.Conv2D(6, 1)(x))


@keras.saving.register_keras_serializable("zoo")
class Gain(L.Layer):
    """One value a channel, of which its config says nothing."""

    def build(self, shape):
        self.gain = self.add_weight(shape=(shape[-1],), initializer="ones", name="gain")

    def call(self, x):
        return x * self.gain


@keras.saving.register_keras_serializable("zoo")
class ResponseNorm(L.Layer):
    """Filter response normalisation, with its number of channels in the config."""

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, shape):
        for name in ("tau", "beta"):
            weight = self.add_weight(shape=(1, 1, 1, self.channels), name=name)
            setattr(self, name, weight)

    def call(self, x):
        power = ops.mean(ops.square(x), axis=(1, 2), keepdims=True)
        return ops.maximum(x / ops.sqrt(power + 1e-3) + self.beta, self.tau)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable("zoo")
class PowerMean(L.Layer):
    def call(self, x):
        return ops.mean(ops.maximum(x, 1e-3) ** 3.0, axis=(1, 2)) ** (1 / 3)


@keras.saving.register_keras_serializable("zoo")
class CrossChannel(L.Layer):
    """Global response normalisation: all channels have a say in each."""

    def call(self, x):
        norm = ops.sqrt(ops.sum(ops.square(x), axis=(1, 2), keepdims=True) + 1e-6)
        return x * norm / ops.mean(norm, axis=-1, keepdims=True)


@keras.saving.register_keras_serializable("zoo")
class Blend(L.Layer):
    """Two inputs, channel by channel."""

    def build(self, shapes):
        self.share = self.add_weight(shape=(1, 1, shapes[0][-1]), name="share")

    def call(self, both):
        share = ops.sigmoid(self.share)
        return both[0] * share + both[1] * (1.0 - share)


@pattern
def own_layers():
    i = keras.Input((8, 8, 3))
    x = Gain()(L.Conv2D(8, 3)(i))
    x = ResponseNorm(6)(L.Conv2D(6, 3)(x))
    x = Blend()([x, L.Conv2D(6, 1)(x)])
    x = L.Conv2D(7, 1)(CrossChannel()(L.Conv2D(5, 1)(x)))
    return keras.Model(i, L.Dense(3)(PowerMean()(x)))


@keras.saving.register_keras_serializable("zoo")
class OwnDense(L.Layer):
    """A layer that makes channels, from the operations of Keras."""

    def __init__(self, features, **kwargs):
        super().__init__(**kwargs)
        self.features = features

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], self.features), name="w")
        self.b = self.add_weight(shape=(self.features,), name="b")

    def call(self, x):
        return ops.tanh(ops.matmul(x, self.w) + self.b)

    def get_config(self):
        return {**super().get_config(), "features": self.features}


@pattern
def own_producers():
    i = keras.Input((8, 8, 3))
    x = OwnDense(9)(L.Conv2D(7, 3)(i))
    return _head(i, OwnDense(6)(x))


@pattern
def operations():
    """Operations that pass channels on, which have no rules of their own."""
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, padding="same")(i)
    x = ops.where(x > 0, x, 0.1 * x) + ops.zeros_like(x)
    x = ops.roll(x, 1, axis=1) + ops.flip(x, axis=2) + ops.cumsum(x, axis=1)
    x = ops.image.resize(ops.stop_gradient(x) + ops.nan_to_num(x), (6, 6))
    x = L.Conv2D(6, 1)(ops.image.extract_patches(x, 2))
    y = ops.logsumexp(x, axis=(1, 2), keepdims=True)
    x = L.Conv2D(5, 1)(ops.clip(x * ops.sigmoid(y), -3, 3))
    return _head(i, ops.convert_to_tensor(ops.maximum(x, 0.0)))


@pattern
def time_distributed():
    v = keras.Input((4, 8, 8, 3))
    x = L.TimeDistributed(L.Conv2D(6, 3, padding="same", activation="relu"))(v)
    x = L.TimeDistributed(L.BatchNormalization())(x)
    x = L.TimeDistributed(L.MaxPooling2D())(x) + L.Conv3D(6, 3, (1, 2, 2), "same")(x)
    x = L.TimeDistributed(L.GlobalAveragePooling2D())(x)
    return keras.Model(v, L.Dense(3)(L.Flatten()(L.TimeDistributed(L.Dense(5))(x))))


@pattern
def einsums():
    i = keras.Input((7, 6))
    q, k, v = L.Dense(8)(i), L.Dense(8)(i), L.Dense(10)(i)
    a = ops.softmax(ops.einsum("bnc,bmc->bnm", q, k))
    x = L.Dense(9)(ops.einsum("bnm,bmd->bnd", a, v))
    gate = ops.sigmoid(L.Dense(9)(L.GlobalAveragePooling1D()(x)))
    x = ops.einsum("bnd,bd->bnd", x, gate)
    return keras.Model(i, L.Dense(3)(L.GlobalMaxPooling1D()(L.Dense(5)(x))))


@pattern
def folded_by_a_lambda():
    """Positions folded into the batch where only a trial can see it."""
    i = keras.Input((6, 4, 3))
    x = L.Conv2D(8, 3, padding="same")(i)
    x = L.Lambda(lambda t: tf.reshape(t, (-1, tf.shape(t)[-1])))(x)
    x = L.Dense(6, "relu")(L.Dense(10)(x))
    return keras.Model(i, L.GlobalMaxPooling1D()(ops.reshape(x, (-1, 24, 6))))


@pattern
def sequence_of_models():
    """Blocks that are models themselves, one behind the other, one of them twice."""
    i = keras.Input((8, 8, 6))
    block = keras.Model(i, L.ReLU()(L.Conv2D(6, 3, padding="same")(i)), name="block")
    tail = keras.Sequential([keras.Input((8, 8, 6)), L.Conv2D(7, 3), L.ELU()])
    layers = [L.Conv2D(6, 1), block, tail, L.GlobalAveragePooling2D(), L.Dense(4)]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


@pattern
def constants_beside_channels():
    """Coordinates, a token, offsets: numbers that belong to no channel."""
    rng = np.random.default_rng(0)
    array = lambda *shape: rng.random(shape).astype("float32")  # noqa: E731
    i = keras.Input((6, 6, 3), batch_size=2)
    x = ops.concatenate([L.Conv2D(8, 3, padding="same")(i), array(2, 6, 6, 2)], -1)
    x = L.Conv2D(7, 3, padding="same")(x)
    x = L.Rescaling(array(1, 1, 7).tolist(), [[array(7).tolist()]])(x)
    x = L.Reshape((36, 5))(L.Conv2D(5, 1)(x))
    x = ops.concatenate([array(2, 1, 5), x], axis=1)
    x = L.Multiply()([L.Dense(9)(x), array(2, 1, 9)])
    x = ops.clip(L.Dense(4)(x), np.zeros(4, "f"), np.ones(4, "f"))
    return keras.Model(i, L.Dense(3)(L.GlobalMaxPooling1D()(L.Dense(6)(x))))


@pattern
def expected_places():
    """Places told as a mean over bins, whose numbers stand in an array."""
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(6, 3, activation="relu")(i)
    bins = ops.reshape(L.Conv2D(12, 1)(x), (-1, 36, 2, 6))
    chances = ops.exp(bins) / ops.sum(ops.exp(bins), -1, keepdims=True)
    places = ops.sum(chances * np.linspace(0, 1, 6, dtype="float32"), -1)
    return keras.Model(i, ops.concatenate([places, bins[..., 0]], -1))


@pattern
def axes_that_vanish():
    """Channels on axes of size 1 before, behind, or only after the shrinking."""
    i = keras.Input((6, 6, 3))
    x = L.Conv2D(8, 3, padding="same")(i)
    gate = L.Reshape((6, 6))(L.Conv2D(1, 1, activation="sigmoid")(x))
    x = x * ops.expand_dims(gate, -1)
    y = L.Conv2D(1, 3, padding="same")(x)[..., 0]
    z = ops.squeeze(L.GlobalAveragePooling2D(keepdims=True)(L.Conv2D(5, 1)(x)))
    z = ops.reshape(z, (-1, 5))
    return keras.Model(i, [L.Dense(3)(z), L.Dense(4)(y), L.Dense(2)(L.Flatten()(y))])


@pattern
def one_layer_on_two_axes():
    i = keras.Input((8, 8))
    conv, dense = L.Conv1D(8, 3, padding="same"), L.Dense(8)
    x = conv(L.Dense(8)(i))
    y = L.Permute((2, 1))(dense(L.Permute((2, 1))(x)))
    x = L.Dense(6)(x + y) + L.Dense(6)(dense(x))
    x = L.ZeroPadding1D(1)(x)
    return keras.Model(i, L.Dense(3)(L.GlobalAveragePooling1D()(x)))


@pattern
def padded_shortcuts():
    """Shortcuts without weights: every second pixel, planes of zeros beside it."""
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(6, 3, padding="same")(i)
    for width, sides in ((10, (1, 3)), (15, (0, 5))):
        y = L.Conv2D(width, 3, 2, "same")(L.ReLU()(L.BatchNormalization()(x)))
        y = L.Conv2D(width, 3, padding="same")(L.ReLU()(L.BatchNormalization()(y)))
        x = y + ops.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), sides))
    x = ops.pad(x, [[0, 0], [1, 1], [1, 1], [2, 3]], constant_values=0.5)
    return _head(i, L.Conv2D(7, 3)(L.ReLU()(L.BatchNormalization()(x))))


@pattern
def planes_of_layers():
    """Layers that pad space, on channels that were put there."""
    i = keras.Input((6, 6, 3))
    x = L.Conv2D(6, 3)(i)
    y = L.ZeroPadding2D(((0, 0), (2, 1)))(L.Permute((1, 3, 2))(x))
    x = L.Conv2D(9, 1)(x) + L.Permute((1, 3, 2))(y)
    y = L.ZeroPadding3D(((0, 0), (1, 1), (0, 2)))(L.Reshape((4, 4, 9, 1))(x))
    y = L.Conv2D(8, 3)(L.Reshape((4, 6, 11))(y))
    y = L.ZeroPadding1D((3, 0))(L.GlobalMaxPooling2D()(y)[..., None])
    x = L.Permute((3, 1, 2))(x)
    x = ops.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    x = L.GlobalAveragePooling2D(data_format="channels_first")(x) + L.Flatten()(y)
    return keras.Model(i, L.Dense(4)(x))
