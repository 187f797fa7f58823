"""Normalisation over channels, and attention, as users write them."""

import inspect

import keras
import numpy as np
from keras import layers as L
from keras import ops

ATTENTION = {}
_KNOWN = inspect.signature(L.MultiHeadAttention).parameters
GATE = {"use_gate": True} if "use_gate" in _KNOWN else {}  # Keras 3.12 knows none


def pattern(build):
    ATTENTION[build.__name__] = build
    return build


def _head(inputs, x, units=4):
    return keras.Model(inputs, L.Dense(units)(L.GlobalAveragePooling1D()(x)))


@pattern
def convnext():
    """Depthwise, LayerNormalization over the stream, a wide hidden layer, residual."""
    i = keras.Input((8, 8, 3))
    x = L.LayerNormalization(epsilon=1e-6)(L.Conv2D(12, 2, 2)(i))
    for _ in range(2):
        y = L.DepthwiseConv2D(3, padding="same")(x)
        y = L.Dense(16, activation="gelu")(L.LayerNormalization(epsilon=1e-6)(y))
        x = x + L.Dense(12)(y)
    x = L.LayerNormalization(scale=False)(L.GlobalAveragePooling2D()(x))
    return keras.Model(i, L.Dense(4)(x))


@pattern
def normalised_over_channels():
    i = keras.Input((6, 6, 3))
    x = L.LayerNormalization(axis=[1, 2, 3])(L.Conv2D(8, 3, padding="same")(i))
    x = L.RMSNormalization()(L.Conv2D(7, 3)(x))
    x = L.GroupNormalization(1)(L.Conv2D(9, 1)(x))
    x = L.UnitNormalization()(L.Conv2D(6, 1)(x))
    y = L.GroupNormalization(1, axis=1, center=False)(L.Permute((3, 1, 2))(x))
    x = x + L.LayerNormalization(center=False, scale=False)(L.Permute((2, 3, 1))(y))
    x = L.Softmax()(L.Conv2D(8, 1)(x))
    return keras.Model(i, L.Dense(3)(L.GlobalMaxPooling2D()(L.Conv2D(5, 1)(x))))


@keras.saving.register_keras_serializable("zoo")
class GlobalResponse(L.Layer):
    """ConvNeXt V2's."""

    def build(self, shape):
        self.gamma = self.add_weight((1, 1, 1, shape[-1]), name="gamma")
        self.beta = self.add_weight((1, 1, 1, shape[-1]), name="beta")

    def call(self, x):
        length = ops.norm(x, axis=(1, 2), keepdims=True)
        length = length / (ops.mean(length, axis=-1, keepdims=True) + 1e-6)
        return self.gamma * (x * length) + self.beta + x


@pattern
def normalised_by_hand():
    """Means, variances, lengths and greatest values over channels."""
    i = keras.Input((6, 6, 3))
    x = L.Conv2D(8, 3, activation="gelu")(i)
    x = L.Conv2D(7, 1)(GlobalResponse()(x))
    mean = ops.mean(x, axis=-1, keepdims=True)
    x = (x - mean) * ops.rsqrt(ops.var(x, axis=-1, keepdims=True) + 1e-3)
    x = L.Conv2D(9, 3, padding="same")(x)
    x = x * ops.rsqrt(ops.mean(ops.square(x), axis=(1, 2, 3), keepdims=True) + 1e-3)
    mean, variance = ops.moments(x, axes=[-1], keepdims=True)
    x = L.Conv2D(8, 1)((x - mean) / ops.sqrt(variance + 1e-3))
    seen = [ops.max(x, -1, True), ops.min(x, -1, True), ops.std(x, -1, keepdims=True)]
    x = x * L.Conv2D(1, 3, padding="same")(ops.concatenate(seen, -1))
    x = ops.normalize(L.Conv2D(6, 1)(x), axis=-1) + ops.softmax(L.Conv2D(6, 1)(x))
    return keras.Model(i, L.Dense(3)(L.GlobalMaxPooling2D()(L.Conv2D(5, 1)(x))))


@keras.saving.register_keras_serializable("zoo")
class OwnNorms(L.Layer):
    """Keras' operations with gains and offsets of its own."""

    def build(self, shape):
        names = ("gamma", "beta", "scale")
        self.gains = [self.add_weight(shape[-1:], name=name) for name in names]

    def call(self, x):
        gamma, beta, scale = self.gains
        x = ops.rms_normalization(x, scale, epsilon=1e-3)
        return ops.layer_normalization(x, gamma, beta, axis=-1)


@pattern
def normalised_by_operations():
    i = keras.Input((6, 6, 3))
    x = ops.layer_normalization(L.Conv2D(8, 3)(i), axis=(1, 2, 3))
    x = OwnNorms()(L.Conv2D(7, 1)(x))
    x = ops.rms_normalization(L.Conv2D(9, 1)(x))
    x = L.Conv2D(6, 1)(ops.layer_normalization(x, axis=(1, 2)))
    return keras.Model(i, L.Dense(3)(L.GlobalMaxPooling2D()(x)))


def _block(x, heads, size, hidden):
    y = L.LayerNormalization()(x)
    x = x + L.MultiHeadAttention(heads, size, dropout=0.1, seed=1)(y, y)
    y = L.Dense(hidden, activation="gelu")(L.LayerNormalization()(x))
    return x + L.Dropout(0.1, seed=2)(L.Dense(x.shape[-1])(y))


@keras.saving.register_keras_serializable("zoo")
class Positions(L.Layer):
    """A class token before the patches, and a learnt vector for each place."""

    def build(self, shape):
        self.token = self.add_weight((1, 1, shape[-1]), "normal", name="token")
        self.places = self.add_weight((1, shape[1] + 1, shape[-1]), "normal", name="at")

    def call(self, x):
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], axis=1) + self.places


@pattern
def vit():
    i = keras.Input((12, 12, 3))
    x = L.Reshape((9, 16))(L.Conv2D(16, 4, 4)(i))
    x = Positions()(x)
    for _ in range(2):
        x = _block(x, 4, 5, 20)
    return keras.Model(i, L.Dense(4)(L.LayerNormalization()(x)[:, 0]))


@pattern
def encoder_decoder():
    """Padding masks, causal attention, attention to what was encoded."""
    source = keras.Input((7,), dtype="int32")
    target = keras.Input((5,), dtype="int32")
    x = L.Embedding(20, 12, mask_zero=True)(source)
    x = L.LayerNormalization()(x + L.MultiHeadAttention(3, 4)(x, x))
    y = L.Embedding(20, 10, mask_zero=True)(target)
    causal = L.MultiHeadAttention(2, 6, use_bias=False)
    y = L.LayerNormalization()(y + causal(y, y, use_causal_mask=True))
    y = y + L.MultiHeadAttention(3, 5, value_dim=4)(query=y, key=x, value=x)
    y = y + L.MultiHeadAttention(2, 4, output_shape=10)(y, value=x, key=x)
    return keras.Model([source, target], L.Dense(6)(y))


@pattern
def attention_layers():
    """Gates, scores as outputs, masks that are given, maps that are attended."""
    i, where = keras.Input((6, 8)), keras.Input((6, 6), dtype="bool")
    x = L.Dense(12)(i)
    y, scores = L.MultiHeadAttention(4, 3, **GATE)(
        x, x, attention_mask=where, return_attention_scores=True
    )
    x = x + y
    x = x + L.GroupQueryAttention(4, 6, 3)(x, x)
    x = x + L.GroupQueryAttention(4, 4, 1, use_bias=False)(x, x, use_causal_mask=True)
    y = L.Reshape((2, 3, 12))(x)
    y = L.MultiHeadAttention(2, 4, attention_axes=(2,))(y, y)
    x = x + L.Reshape((6, 12))(L.MultiHeadAttention(2, 3)(y, y))
    scores = L.Dense(3)(L.Permute((2, 3, 1))(scores))
    return keras.Model([i, where], [L.Dense(4)(x), scores])


def _heads(x, heads):
    b, t, c = x.shape
    return ops.transpose(ops.reshape(x, (-1, t, heads, c // heads)), (0, 2, 1, 3))


@pattern
def heads_by_hand():
    """Dense, reshape, matmul, softmax, as nearly every code of one's own has it."""
    i = keras.Input((6, 5))
    x = L.Dense(10)(i)
    for _ in range(2):
        y = L.LayerNormalization()(x)
        q, k, v = _heads(L.Dense(12)(y), 3), _heads(L.Dense(12)(y), 3), L.Dense(15)(y)
        scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) / 2.0
        y = ops.matmul(ops.softmax(scores), _heads(v, 3))
        y = ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (-1, 6, 15))
        x = x + L.Dense(10)(y)
    return _head(i, L.Dense(7)(x))


@keras.saving.register_keras_serializable("zoo")
class HeadBias(L.Layer):
    """A number for each head and distance, as Swin adds to its scores."""

    def build(self, shape):
        places = 2 * shape[-1] - 1
        self.table = self.add_weight((places, shape[1]), "normal", name="table")

    def call(self, scores):
        n = scores.shape[-1]
        places = np.arange(n)[:, None] - np.arange(n)[None] + n - 1
        bias = ops.take(self.table, places.reshape(-1), axis=0)
        bias = ops.transpose(ops.reshape(bias, (n, n, -1)), (2, 0, 1))
        return ops.expand_dims(bias, 0)


@pattern
def fused_heads():
    """Queries, keys and values of one layer; a bias for each head, taken of a table."""
    i = keras.Input((6, 5))
    x = L.Dense(10)(i)
    y = L.Reshape((6, 3, 4, 5))(L.Dense(60)(x))
    y = ops.transpose(y, (2, 0, 3, 1, 4))
    q, k, v = y[0], y[1], y[2]
    scores = ops.einsum("bhnd,bhmd->bhnm", q * 5**-0.5, k)
    scores = scores + HeadBias()(scores)
    y = ops.einsum("bhnm,bhmd->bnhd", L.Softmax()(scores), v)
    x = x + L.Dense(10)(ops.reshape(y, (-1, 6, 20)))
    q, k, v = ops.split(L.Dense(36)(x), 3, axis=-1)
    q, k, v = (ops.reshape(t, (-1, 6, 2, 6)) for t in (q, k, v))
    y = L.Reshape((6, 12))(ops.dot_product_attention(q, k, v))
    return _head(i, L.Dense(7)(x + L.Dense(10)(y)))


@pattern
def older_attention():
    """Keras' layers without heads: scores by products and by sums."""
    i, j = keras.Input((5, 6)), keras.Input((7, 6))
    q, k, v = L.Dense(8)(i), L.Dense(8)(j), L.Dense(9)(j)
    x = L.Attention(use_scale=True)([q, v, k])
    y = L.AdditiveAttention()([L.Dense(10)(x), L.Dense(10)(j)])
    z, scores = L.Attention(score_mode="concat", dropout=0.1, seed=1)(
        [L.Dense(6)(y), L.Dense(7)(j), L.Dense(6)(j)], return_attention_scores=True
    )
    return keras.Model([i, j], [L.Dense(3)(z), L.Dense(4)(y), scores])


def _turned(x, angles):
    """Rotary positions: halves of a head turn together."""
    a, b = ops.split(x, 2, axis=-1)
    sine, cosine = ops.sin(angles), ops.cos(angles)
    return ops.concatenate([a * cosine - b * sine, b * cosine + a * sine], axis=-1)


@pattern
def small_gpt():
    """Causal, rotary, RMS, gated, keys and values shared by pairs of heads."""
    i = keras.Input((6,), dtype="int32")
    x = L.Embedding(20, 12)(i)
    angles = np.arange(6, dtype="float32")[None, :, None, None] / 3.0
    after = np.triu(np.full((6, 6), -1e9, "float32"), 1)
    for _ in range(2):
        y = L.RMSNormalization()(x)
        q = ops.reshape(L.Dense(24, use_bias=False)(y), (-1, 6, 4, 6))
        k = ops.reshape(L.Dense(12, use_bias=False)(y), (-1, 6, 2, 6))
        v = ops.reshape(L.Dense(12, use_bias=False)(y), (-1, 6, 2, 6))
        q, k = _turned(q, angles), ops.repeat(_turned(k, angles), 2, axis=2)
        scores = ops.einsum("bqhd,bkhd->bhqk", q, k) / 6**0.5
        y = ops.softmax(scores + after)
        y = ops.einsum("bhqk,bkhd->bqhd", y, ops.repeat(v, 2, axis=2))
        x = x + L.Dense(12, use_bias=False)(ops.reshape(y, (-1, 6, 24)))
        y = L.RMSNormalization()(x)
        x = x + L.Dense(12)(L.Dense(16, "silu")(y) * L.Dense(16)(y))
    return keras.Model(i, L.Dense(20)(L.RMSNormalization()(x)))


@pattern
def einsum_heads():
    """Projections with an axis for heads, norms of queries and keys, talking heads."""
    i = keras.Input((6, 8))
    x = L.Dense(10)(i)
    q, k, v = (
        L.EinsumDense("abc,cde->abde", (6, 3, n), bias_axes="de")(x) for n in (4, 4, 5)
    )
    q, k = L.LayerNormalization()(q), L.LayerNormalization()(k)
    scores = ops.softmax(ops.einsum("bthd,bshd->bhts", q, k))
    scores = L.EinsumDense("bhts,hg->bgts", (4, 6, 6))(scores)
    v = L.EinsumDense("bshd,hg->bsgd", (6, 4, 5))(v)
    y = ops.einsum("bhts,bshd->bthd", scores, v)
    y = L.EinsumDense("abde,dec->abc", (6, 10), bias_axes="c")(y)
    return _head(i, L.Dense(7)(x + y))


def _windows(x, size):
    """Squares of pixels as sequences, each a row of the batch."""
    _, h, w, c = x.shape
    x = ops.reshape(x, (-1, h // size, size, w // size, size, c))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, size * size, c))


def _whole(x, size, h, w):
    c = x.shape[-1]
    x = ops.reshape(x, (-1, h // size, w // size, size, size, c))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, h, w, c))


@pattern
def swin():
    """Windows, shifted the second time, with a mask; a table of biases; merging."""
    i = keras.Input((8, 8, 3))
    x, size = L.LayerNormalization()(L.Conv2D(8, 2, 2)(i)), 2
    regions = np.repeat([0, 0, 1, 2], 4) * 3 + np.tile([0, 0, 1, 2], 4)
    regions = regions.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(4, 4)
    apart = regions[:, :, None] != regions[:, None]
    for shift in (0, 1):
        y = ops.roll(L.LayerNormalization()(x), (-shift, -shift), axis=(1, 2))
        y = L.Reshape((4, 3, 2, 5))(L.Dense(30)(_windows(y, size)))
        q, k, v = ops.unstack(ops.transpose(y, (2, 0, 3, 1, 4)), axis=0)
        scores = q * 5**-0.5 @ ops.transpose(k, (0, 1, 3, 2))
        scores = scores + HeadBias()(scores)
        if shift:
            mask = np.where(apart, -100.0, 0.0).astype("float32")[None, :, None]
            scores = ops.reshape(scores, (-1, 4, 2, 4, 4)) + mask
            scores = ops.reshape(scores, (-1, 2, 4, 4))
        y = ops.transpose(ops.softmax(scores) @ v, (0, 2, 1, 3))
        y = _whole(L.Dense(8)(ops.reshape(y, (-1, 4, 10))), size, 4, 4)
        x = x + ops.roll(y, (shift, shift), axis=(1, 2))
        x = x + L.Dense(8)(L.Dense(12, "gelu")(L.LayerNormalization()(x)))
    corners = [x[:, a::2, b::2] for b in (0, 1) for a in (0, 1)]
    x = L.LayerNormalization()(ops.concatenate(corners, axis=-1))
    x = L.Dense(10, use_bias=False)(x)
    return keras.Model(i, L.Dense(4)(L.GlobalAveragePooling2D()(x)))


@pattern
def mobilevit():
    """Pixels attend to those at the same place in other patches."""
    i = keras.Input((4, 4, 3))
    x = L.Conv2D(8, 3, padding="same", activation="silu")(i)
    y = L.Conv2D(12, 1)(L.Conv2D(8, 3, padding="same")(x))
    y = ops.reshape(y, (-1, 2, 2, 2, 2, 12))
    y = ops.reshape(ops.transpose(y, (0, 2, 4, 1, 3, 5)), (-1, 4, 12))
    y = L.LayerNormalization()(_block(y, 2, 3, 10))
    y = ops.transpose(ops.reshape(y, (-1, 2, 2, 2, 2, 12)), (0, 3, 1, 4, 2, 5))
    y = L.Conv2D(8, 1, activation="silu")(ops.reshape(y, (-1, 4, 4, 12)))
    x = L.Conv2D(6, 3, padding="same")(ops.concatenate([x, y], axis=-1))
    return keras.Model(i, L.Dense(4)(L.GlobalAveragePooling2D()(x)))


@pattern
def convmixer():
    i = keras.Input((8, 8, 3))
    x = L.BatchNormalization()(L.Conv2D(8, 2, 2, activation="gelu")(i))
    for _ in range(2):
        y = L.DepthwiseConv2D(3, padding="same", activation="gelu")(x)
        x = L.Add()([x, L.BatchNormalization()(y)])
        x = L.BatchNormalization()(L.Conv2D(8, 1, activation="gelu")(x))
    return keras.Model(i, L.Dense(4)(L.GlobalAveragePooling2D()(x)))


@pattern
def gmlp():
    """Half of the channels gates the other, mixed over positions."""
    i = keras.Input((6, 5))
    x = L.Dense(8)(i)
    for _ in range(2):
        y = L.Dense(12, activation="gelu")(L.LayerNormalization()(x))
        u, v = ops.split(y, 2, axis=-1)
        v = L.Permute((2, 1))(L.LayerNormalization()(v))
        x = x + L.Dense(8)(u * L.Permute((2, 1))(L.Dense(6)(v)))
    return _head(i, x)


@pattern
def conformer():
    """Half-steps of hidden layers around attention and a gated convolution."""
    i = keras.Input((8, 5))
    x = L.Dense(10)(i)

    def half(x):
        y = L.Dense(14, activation="silu")(L.LayerNormalization()(x))
        return x + 0.5 * L.Dropout(0.1, seed=3)(L.Dense(10)(y))

    x = half(x)
    y = L.LayerNormalization()(x)
    x = x + L.MultiHeadAttention(2, 4)(y, y)
    a, b = ops.split(L.Conv1D(16, 1)(L.LayerNormalization()(x)), 2, axis=-1)
    y = L.DepthwiseConv1D(3, padding="same")(a * ops.sigmoid(b))
    y = L.Activation("silu")(L.BatchNormalization()(y))
    x = half(x + L.Conv1D(10, 1)(y))
    return _head(i, L.LayerNormalization()(x))


@pattern
def bert():
    """Words, places and segments; a mask of padding; the first token, tanh."""
    words = keras.Input((6,), dtype="int32", name="token_ids")
    parts = keras.Input((6,), dtype="int32", name="segment_ids")
    there = keras.Input((6,), dtype="int32", name="padding_mask")
    x = L.Embedding(20, 12)(words) + L.Embedding(5, 12)(parts)
    x = x + L.Embedding(6, 12)(ops.cumsum(ops.ones_like(words), axis=1) - 1)
    x = L.Dropout(0.1, seed=4)(L.LayerNormalization(epsilon=1e-5)(x))
    mask = ops.cast(there, "bool")[:, None, :]
    for _ in range(2):
        y = L.MultiHeadAttention(3, 4)(x, x, attention_mask=mask)
        x = L.LayerNormalization(epsilon=1e-5)(x + y)
        y = L.Dense(12)(L.Dense(16, activation="gelu")(x))
        x = L.LayerNormalization(epsilon=1e-5)(x + y)
    pooled = L.Dense(12, activation="tanh")(x[:, 0])
    inputs = {"token_ids": words, "segment_ids": parts, "padding_mask": there}
    outputs = {"sequence": L.Dense(20)(x), "pooled": L.Dense(3)(pooled)}
    return keras.Model(inputs, outputs)


@pattern
def rotary_by_a_table():
    """Angles that differ from number to number, as arrays; halves stacked; norms of
    queries and keys with gains of their own; groups of queries by einsum."""
    i = keras.Input((6,), dtype="int32")
    words = L.ReversibleEmbedding(20, 12, tie_weights=False)
    x = words(i)
    angles = np.arange(6)[:, None] * 0.1 ** np.arange(3)[None]
    angles = np.tile(angles, 2)[None, :, None].astype("float32")

    def turned(x):
        a, b = ops.split(x, 2, axis=-1)
        other = ops.reshape(ops.stack([-b, a], axis=-2), (-1, *x.shape[1:]))
        return x * np.cos(angles) + other * np.sin(angles)

    def normed(x):
        return OwnNorms()(x * ops.rsqrt(ops.mean(x * x, axis=-1, keepdims=True) + 1e-3))

    y = L.RMSNormalization()(x)
    q = turned(normed(L.EinsumDense("abc,cde->abde", (6, 4, 6))(y)))
    k = turned(normed(L.EinsumDense("abc,cde->abde", (6, 2, 6))(y)))
    v = L.EinsumDense("abc,cde->abde", (6, 2, 5))(y)
    q = ops.reshape(q, (-1, 6, 2, 2, 6))
    scores = ops.softmax(ops.einsum("btkgh,bskh->bkgts", q, k))
    y = ops.einsum("bkgts,bskh->btkgh", scores, v)
    y = L.EinsumDense("abde,dec->abc", (6, 12))(ops.reshape(y, (-1, 6, 4, 5)))
    return keras.Model(i, words(L.RMSNormalization()(x + y), reverse=True))
