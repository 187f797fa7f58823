"""One small model per pattern; every invariant test runs over all of them."""

import keras
import numpy as np
from keras import layers as L
from keras import ops

from hh_keras.models import denoising, shuffling, superresolution
from tests.zoo_attention import ATTENTION
from tests.zoo_users import USERS

ZOO = {**USERS, **ATTENTION}


def pattern(build):
    ZOO[build.__name__] = build
    return build


def randomize(model, seed=0):
    """Gives all weights and statistics values that make equality mean something."""
    rng = np.random.default_rng(seed)
    for v in model.weights:
        if not str(v.dtype).startswith("float"):
            continue
        if "variance" in v.name:
            value = rng.uniform(0.5, 1.5, v.shape)
        elif v.name == "gamma":
            value = rng.uniform(0.5, 1.5, v.shape)
        elif len(v.shape) > 1:
            fan = max(1, int(np.prod(v.shape[:-1])))
            value = rng.normal(0, (2 / fan) ** 0.5, v.shape)
        else:
            value = rng.normal(0, 0.3, v.shape)
        v.assign(value)
    return model


def example(model, batch=2, seed=1):
    """Random inputs in the structure of the model's inputs."""
    rng = np.random.default_rng(seed)

    def one(t):
        shape = [t.shape[0] or batch, *(n or 8 for n in t.shape[1:])]
        if "int" in str(t.dtype):
            return rng.integers(0, 5, shape).astype(t.dtype)
        return rng.normal(0, 1, shape).astype("float32")

    return keras.tree.map_structure(
        one,
        model._inputs_struct
        if not isinstance(model, keras.Sequential)
        else model.inputs[0],
    )


def size(model):
    """A shape for models whose own is unknown, as `cost` and `trace` take it."""
    shapes = [tuple(n or 8 for n in t.shape[1:]) for t in model.inputs]
    known = all(None not in t.shape[1:] for t in model.inputs)
    return None if known else shapes[0]


def _bn_relu(x):
    return L.ReLU()(L.BatchNormalization()(x))


def _classifier(inputs, x):
    return keras.Model(inputs, L.Dense(5)(L.GlobalAveragePooling2D()(x)))


@pattern
def chain():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            L.Conv2D(8, 3, padding="same"),
            L.BatchNormalization(),
            L.ReLU(),
            L.MaxPooling2D(),
            L.Dropout(0.2, seed=1),
            L.Conv2D(12, 3, activation="relu"),
            L.GlobalAveragePooling2D(),
            L.Dense(5),
        ]
    )


@pattern
def residual():
    i = keras.Input((8, 8, 3))
    x = _bn_relu(L.Conv2D(8, 3, padding="same")(i))
    y = _bn_relu(L.Conv2D(6, 3, padding="same", use_bias=False)(x))
    x = L.Add()([x, L.Conv2D(8, 3, padding="same")(y)])
    x = L.ReLU()(x) + L.Conv2D(8, 1)(x)
    return _classifier(i, x)


@pattern
def dense_concat():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(6, 3, padding="same")(i)
    for _ in range(3):
        x = L.Concatenate()([x, L.Conv2D(4, 3, padding="same")(_bn_relu(x))])
    return _classifier(i, _bn_relu(x))


@pattern
def depthwise():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 1)(i)
    x = L.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x)
    x = L.SeparableConv2D(10, 3, depth_multiplier=2, activation="silu")(_bn_relu(x))
    return _classifier(i, x)


@pattern
def squeeze_excite():
    i = keras.Input((8, 8, 3))
    x = _bn_relu(L.Conv2D(8, 3)(i))
    s = L.Reshape((1, 1, 8))(L.GlobalAveragePooling2D()(x))
    s = L.Conv2D(8, 1, activation="sigmoid")(L.Conv2D(4, 1, activation="relu")(s))
    x = L.Multiply()([x, s])
    t = ops.mean(x, axis=(1, 2), keepdims=True)
    x = x * L.Dense(8, activation="hard_sigmoid")(L.Dense(3, activation="relu")(t))
    return _classifier(i, x)


@pattern
def grouped_narrow():
    i = keras.Input((8, 8, 3))
    x = _bn_relu(L.Conv2D(16, 1)(i))
    x = _bn_relu(L.Conv2D(32, 3, groups=4)(x))
    return _classifier(i, L.Conv2D(6, 1)(x))


@pattern
def grouped_wide():
    i = keras.Input((8, 8, 3))
    x = _bn_relu(L.Conv2D(32, 1)(i))
    x = _bn_relu(L.Conv2D(34, 3, groups=2)(x))
    return _classifier(i, L.Conv2D(6, 1)(x))


@pattern
def shared_layer():
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 3), name="b")
    conv, norm = L.Conv2D(8, 3), L.BatchNormalization()
    x = L.Concatenate()([L.ReLU()(norm(conv(a))), norm(conv(b))])
    x = L.Conv2D(6, 1)(x)
    return keras.Model([a, b], L.Dense(5)(L.GlobalMaxPooling2D()(x)))


@pattern
def flatten_head():
    i = keras.Input((6, 6, 3))
    x = L.PReLU(shared_axes=[1, 2])(L.Conv2D(8, 3, strides=2)(i))
    x = L.PReLU()(L.Conv2D(6, 1)(x))
    return keras.Model(i, L.Dense(5)(L.Dense(7, activation="elu")(L.Flatten()(x))))


@pattern
def multi_output_dict():
    a = keras.Input((8, 8, 3), name="image")
    b = keras.Input((4,), name="numbers")
    x = L.GlobalAveragePooling2D()(L.Conv2D(8, 3)(a))
    h = L.Dense(6, activation="tanh")(b)
    z = L.Concatenate()([x, h])
    outputs = {"class": L.Dense(5)(z), "value": L.Dense(1)(L.Dense(4)(h))}
    return keras.Model({"image": a, "numbers": b}, outputs)


@pattern
def nested_backbone():
    inner = keras.Input((8, 8, 3))
    y = _bn_relu(L.Conv2D(8, 3)(inner))
    backbone = keras.Model(inner, L.Conv2D(6, 1)(y), name="backbone")
    head = keras.Sequential(
        [keras.Input((6, 6, 12)), L.Conv2D(5, 1, activation="relu")], name="head"
    )
    a, b = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    x = head(L.Concatenate()([backbone(a), backbone(b)]))
    outputs = L.Dense(3)(L.GlobalAveragePooling2D()(x))
    return keras.Model([a, b], outputs, name="nested")


@pattern
def transposed_conv():
    i = keras.Input((8, 8, 3))
    d = L.Conv2D(8, 3, strides=2, padding="same", activation="relu")(i)
    u = L.Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu")(d)
    u = L.UpSampling2D()(L.ZeroPadding2D(1)(L.Concatenate()([u, i])))
    return keras.Model(i, L.Conv2D(2, 3)(L.Cropping2D(1)(u)))


@pattern
def pixel_shuffle():
    i = keras.Input((4, 4, 3))
    x = L.Conv2D(16, 3, padding="same")(i)
    x = ops.reshape(x, (-1, 4, 4, 2, 2, 4))
    x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, 8, 8, 4))
    return keras.Model(i, L.Conv2D(3, 3, padding="same")(x))


@pattern
def channel_shuffle():
    i = keras.Input((4, 4, 3))
    x = L.Conv2D(12, 1)(i)
    x = L.Reshape((4, 4, 3, 4))(x)
    x = L.Reshape((4, 4, 12))(L.Permute((1, 2, 4, 3))(x))
    x = L.DepthwiseConv2D(3, padding="same")(x)
    return _classifier(i, L.Conv2D(6, 1)(x))


@pattern
def split_and_slice():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(12, 3)(i)
    a, b, c = ops.split(x, 3, axis=-1)
    d = x[..., 2:9]
    y = L.Concatenate()([L.Conv2D(4, 1)(a + b), c, L.Conv2D(5, 1)(d), x[:, ::1]])
    return _classifier(i, L.Conv2D(6, 1)(y))


@pattern
def group_norm():
    i = keras.Input((8, 8, 3))
    x = L.ReLU()(L.GroupNormalization(4)(L.Conv2D(16, 3)(i)))
    return _classifier(i, L.Conv2D(6, 1)(x))


@pattern
def layer_norm_mlp():
    i = keras.Input((10, 12))
    x = L.LayerNormalization()(L.Dense(8)(i))
    y = L.Dense(16, activation="gelu")(x)
    x = x + L.Dense(8)(y)
    y = L.EinsumDense("abc,cd->abd", output_shape=(None, 12), bias_axes="d")(x)
    y = L.EinsumDense("abc,cde->abde", output_shape=(None, 2, 6), bias_axes="de")(y)
    y = L.EinsumDense("abde,dec->abc", output_shape=(None, 7), bias_axes="c")(y)
    return keras.Model(i, L.Dense(4)(L.GlobalAveragePooling1D()(y)))


@pattern
def one_dimension():
    i = keras.Input((16,), dtype="int32")
    x = L.Embedding(20, 8)(i)
    x = L.Conv1D(10, 3, padding="same", activation="relu")(x)
    x = L.SeparableConv1D(6, 3)(L.MaxPooling1D()(L.BatchNormalization()(x)))
    return keras.Model(i, L.Dense(3)(L.GlobalMaxPooling1D()(x)))


@pattern
def three_dimensions():
    i = keras.Input((6, 6, 6, 2))
    x = L.ReLU()(L.BatchNormalization()(L.Conv3D(6, 3)(i)))
    x = L.Conv3DTranspose(5, 2)(L.AveragePooling3D(2)(x))
    return keras.Model(i, L.Dense(3)(L.GlobalAveragePooling3D()(x)))


@pattern
def products():
    i = keras.Input((8, 6))
    q, k, v = L.Dense(8)(i), L.Dense(8)(i), L.Dense(10)(i)
    a = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1))), axis=-1)
    x = ops.matmul(a, v)
    s = L.Dot(axes=2)([L.Dense(6)(x), L.Dense(6)(x)])
    t = ops.sum(L.Dense(5)(x), axis=-1)
    return keras.Model(i, [L.Dense(3)(x), s, t])


@pattern
def unknown_layers():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, activation="relu")(i)
    x = L.Conv2D(6, 1)(L.Lambda(lambda t: t * 2.0)(x))
    y = L.Reshape((36, 6))(x)
    y = L.LSTM(4)(L.Conv1D(5, 1)(L.Conv1D(7, 1)(y)))
    return keras.Model(i, L.Dense(3)(L.Concatenate()([y, L.Dense(4)(y)])))


@pattern
def mixed_precision():
    policy = keras.mixed_precision.DTypePolicy("mixed_float16")
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, dtype=policy)(i)
    x = L.BatchNormalization(dtype=policy)(x)
    x = L.Conv2D(6, 3, dtype=policy, activation="relu")(x)
    x = L.GlobalAveragePooling2D(dtype=policy)(x)
    return keras.Model(i, L.Dense(5, dtype="float32")(x))


@pattern
def channels_first():
    i = keras.Input((3, 8, 8))
    f = {"data_format": "channels_first"}
    x = L.ZeroPadding2D(1, **f)(i)
    x = L.Permute((2, 3, 1))(x)
    x = L.Permute((3, 1, 2))(L.Conv2D(6, 3)(x))
    x = L.BatchNormalization(axis=1)(x)
    x = L.GlobalAveragePooling2D(**f)(L.UpSampling2D(**f)(x))
    return keras.Model(i, L.Dense(4)(x))


@pattern
def any_size_shuffle():
    """Super-resolution without BatchNorm: long skip, scaled blocks, any image size."""
    return superresolution.edsr(blocks=2, width=6, residual_scale=0.1, scale=4)


@pattern
def any_size_shuffle_odd():
    return superresolution.edsr((None, None, 1), blocks=1, width=4, scale=3)


@pattern
def normalised_shuffle():
    return superresolution.srresnet((8, 8, 3), blocks=2, width=6, scale=2)


@pattern
def shuffled_layers():
    """Depth to space where Keras has no operation for it."""
    i = keras.Input((4, 4, 3))
    x = shuffling._rearranged(L.Conv2D(12, 3, padding="same")(i), 2)
    return keras.Model(i, L.Conv2D(3, 3, padding="same")(x))


@pattern
def input_minus_noise():
    return denoising.dncnn_s(depth=4, width=6)


@pattern
def any_size_unet():
    return denoising.unet((None, None, 3), width=4, levels=2)


@pattern
def space_to_depth():
    i = keras.Input((None, None, 3))
    x = L.Conv2D(5, 3, padding="same", activation="relu")(i)
    x = L.Conv2D(8, 1)(ops.space_to_depth(x, 2))
    return keras.Model(i, ops.depth_to_space(x, 2))


if not hasattr(ops, "depth_to_space"):  # Keras 3.14 has it
    for name in ("any_size_shuffle", "any_size_shuffle_odd", "space_to_depth"):
        del ZOO[name]
