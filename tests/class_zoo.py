"""Networks written as classes, the way Keras' guides and code examples teach them.

One builder per idea; every test of opening runs over all of them. `CONVOLUTIONAL` are
those in which most channels should be free to leave. Written from the ideas of the
examples, not from their text; sizes are tiny.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers as L
from keras import ops

CLASS_ZOO = {}
CONVOLUTIONAL = set()


def network(build):
    CLASS_ZOO[build.__name__] = build
    return build


def convolutional(build):
    CONVOLUTIONAL.add(build.__name__)
    return network(build)


def _classifier(inputs, x, classes=5):
    return keras.Model(inputs, L.Dense(classes)(L.GlobalAveragePooling2D()(x)))


# Convolutional blocks ---------------------------------------------------------------


class ResidualBlock(L.Layer):
    def __init__(self, filters, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.strides = filters, strides
        self.conv1 = L.Conv2D(filters, 3, strides=strides, padding="same")
        self.bn1 = L.BatchNormalization()
        self.conv2 = L.Conv2D(filters, 3, padding="same")
        self.bn2 = L.BatchNormalization()
        self.shortcut = L.Conv2D(filters, 1, strides=strides) if strides > 1 else None

    def call(self, x, training=None):
        y = ops.relu(self.bn1(self.conv1(x), training=training))
        y = self.bn2(self.conv2(y), training=training)
        return ops.relu(y + (self.shortcut(x) if self.shortcut else x))


class ResNet(keras.Model):
    def __init__(self, classes=5, **kwargs):
        super().__init__(**kwargs)
        self.stem = keras.Sequential(
            [L.Conv2D(8, 3, padding="same", use_bias=False), L.BatchNormalization()]
        )
        self.blocks = [ResidualBlock(8), ResidualBlock(12, 2), ResidualBlock(12)]
        self.pool = L.GlobalAveragePooling2D()
        self.dropout = L.Dropout(0.3)
        self.head = L.Dense(classes, activation="softmax")

    def call(self, inputs, training=False):
        x = ops.relu(self.stem(inputs, training=training))
        for block in self.blocks:
            x = block(x, training=training)
        return self.head(self.dropout(self.pool(x), training=training))


@convolutional
def subclassed_resnet():
    model = ResNet()
    model(np.zeros((1, 8, 8, 3), "float32"))
    return model


@convolutional
def residual_blocks_in_a_functional_model():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, padding="same", name="stem")(i)
    x = ResidualBlock(8, name="block_1")(x)
    return _classifier(i, ResidualBlock(10, 2, name="block_2")(x))


class InvertedResidual(L.Layer):
    """Expansion, depthwise convolution, projection; made in build."""

    def __init__(self, filters, expansion=3, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.expansion = filters, expansion

    def build(self, input_shape):
        width = input_shape[-1] * self.expansion
        self.expand = L.Conv2D(width, 1, use_bias=False)
        self.depthwise = L.DepthwiseConv2D(3, padding="same", use_bias=False)
        self.project = L.Conv2D(self.filters, 1, use_bias=False)
        self.norms = [L.BatchNormalization() for _ in range(3)]
        self.activation = L.ReLU(6.0)
        self.skip = input_shape[-1] == self.filters

    def call(self, inputs):
        x = self.activation(self.norms[0](self.expand(inputs)))
        x = self.activation(self.norms[1](self.depthwise(x)))
        x = self.norms[2](self.project(x))
        return L.Add()([inputs, x]) if self.skip else x


@convolutional
def inverted_residuals():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(6, 3, strides=2, padding="same")(i)
    for filters in (6, 8, 8):
        x = InvertedResidual(filters)(x)
    return _classifier(i, x)


class SqueezeExcite(L.Layer):
    def __init__(self, ratio=4, **kwargs):
        super().__init__(**kwargs)
        self.ratio = ratio

    def build(self, input_shape):
        channels = input_shape[-1]
        self.squeeze = L.Dense(channels // self.ratio, activation="relu")
        self.excite = L.Dense(channels, activation="sigmoid")
        self.squeeze.build((None, channels))
        self.excite.build((None, channels // self.ratio))

    def call(self, x):
        weights = ops.mean(x, axis=[1, 2])
        weights = self.excite(self.squeeze(weights))
        return x * weights[:, None, None, :]


@convolutional
def squeeze_excite_blocks():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, padding="same", activation="relu")(i)
    x = SqueezeExcite()(x)
    x = SqueezeExcite()(L.Conv2D(12, 3, activation="relu")(x))
    return _classifier(i, x)


class CBAM(L.Layer):
    """Channel attention, then spatial attention over mean and maximum."""

    def __init__(self, ratio=2, **kwargs):
        super().__init__(**kwargs)
        self.ratio = ratio
        self.mix = L.Conv2D(1, 3, padding="same", activation="sigmoid")

    def build(self, shape):
        self.mlp = keras.Sequential(
            [L.Dense(shape[-1] // self.ratio, activation="relu"), L.Dense(shape[-1])]
        )

    def call(self, x):
        average = self.mlp(ops.mean(x, axis=(1, 2), keepdims=True))
        maximum = self.mlp(ops.max(x, axis=(1, 2), keepdims=True))
        x = x * ops.sigmoid(average + maximum)
        mean, largest = (f(x, axis=-1, keepdims=True) for f in (ops.mean, ops.max))
        return x * self.mix(ops.concatenate([mean, largest], axis=-1))


@network
def convolutional_attention():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, padding="same", activation="relu")(i)
    return _classifier(i, L.Conv2D(8, 3, activation="relu")(CBAM()(x)))


class DoubleConv(L.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.body = keras.Sequential()
        for _ in range(2):
            self.body.add(L.Conv2D(filters, 3, padding="same"))
            self.body.add(L.BatchNormalization())
            self.body.add(L.Activation("relu"))

    def call(self, x):
        return self.body(x)


class Up(L.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.up = L.Conv2DTranspose(filters, 2, strides=2)
        self.conv = DoubleConv(filters)

    def call(self, x, skip):
        return self.conv(ops.concatenate([skip, self.up(x)], axis=-1))


class UNet(keras.Model):
    def __init__(self, width=4, **kwargs):
        super().__init__(**kwargs)
        self.inc = DoubleConv(width)
        self.down = {"one": DoubleConv(2 * width), "two": DoubleConv(4 * width)}
        self.pool = L.MaxPooling2D()
        self.up1, self.up2 = Up(2 * width), Up(width)
        self.out = L.Conv2D(2, 1)

    def call(self, x):
        a = self.inc(x)
        b = self.down["one"](self.pool(a))
        c = self.down["two"](self.pool(b))
        return self.out(self.up2(self.up1(c, b), skip=a))


@convolutional
def unet_of_blocks():
    model = UNet()
    model(np.zeros((2, 8, 8, 3), "float32"))
    return model


class ConvMixerBlock(L.Layer):
    def __init__(self, filters, kernel_size=3, **kwargs):
        super().__init__(**kwargs)
        self.depthwise = L.DepthwiseConv2D(kernel_size, padding="same")
        self.pointwise = L.Conv2D(filters, 1)
        self.norm1, self.norm2 = L.BatchNormalization(), L.BatchNormalization()

    def call(self, x):
        x = x + self.norm1(keras.activations.gelu(self.depthwise(x)))
        return self.norm2(keras.activations.gelu(self.pointwise(x)))


@convolutional
def convmixer():
    i = keras.Input((8, 8, 3))
    x = L.BatchNormalization()(L.Conv2D(8, 2, strides=2, activation="gelu")(i))
    for _ in range(2):
        x = ConvMixerBlock(8)(x)
    return _classifier(i, x)


class ConvNeXtBlock(L.Layer):
    """A scale of its own among layers."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.depthwise = L.DepthwiseConv2D(3, padding="same")
        self.norm = L.BatchNormalization()
        self.expand = L.Dense(2 * width, activation="gelu")
        self.shrink = L.Dense(width)

    def build(self, input_shape):
        self.gamma = self.add_weight(
            name="gamma", shape=(self.width,), initializer="ones"
        )

    def call(self, x):
        y = self.shrink(self.expand(self.norm(self.depthwise(x))))
        return x + self.gamma * y


@convolutional
def layer_scales_among_layers():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 2, strides=2)(i)
    return _classifier(i, ConvNeXtBlock(8)(ConvNeXtBlock(8)(x)))


# Attention and mixing ---------------------------------------------------------------


class TransformerBlock(L.Layer):
    def __init__(self, width, heads, hidden, rate=0.1, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.att = L.MultiHeadAttention(num_heads=heads, key_dim=width // heads)
        self.ffn = keras.Sequential(
            [L.Dense(hidden, activation="relu"), L.Dense(width)]
        )
        self.layernorm1 = L.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = L.LayerNormalization(epsilon=1e-6)
        self.dropout1, self.dropout2 = L.Dropout(rate), L.Dropout(rate)

    def call(self, inputs, training=None):
        attended = self.dropout1(self.att(inputs, inputs), training=training)
        x = self.layernorm1(inputs + attended)
        return self.layernorm2(x + self.dropout2(self.ffn(x), training=training))


class TokenAndPositionEmbedding(L.Layer):
    def __init__(self, length, vocabulary, width, mask_zero=False, **kwargs):
        super().__init__(**kwargs)
        self.token_emb = L.Embedding(vocabulary, width, mask_zero=mask_zero)
        self.pos_emb = L.Embedding(length, width)

    def call(self, x):
        positions = ops.arange(0, ops.shape(x)[-1], 1)
        return self.token_emb(x) + self.pos_emb(positions)


@network
def text_transformer():
    i = keras.Input((6,), dtype="int32")
    x = TokenAndPositionEmbedding(6, 20, 8)(i)
    x = L.GlobalAveragePooling1D()(TransformerBlock(8, 2, 12)(x))
    x = L.Dense(6, activation="relu")(L.Dropout(0.1)(x))
    return keras.Model(i, L.Dense(2, activation="softmax")(x))


@network
def masked_text_transformer():
    """Zeros are padding: the mask goes through the block to attention and pooling."""
    i = keras.Input((6,), dtype="int32")
    x = L.Embedding(20, 8, mask_zero=True)(i)
    x = TransformerBlock(8, 2, 12)(x)
    return keras.Model(i, L.Dense(2)(L.GlobalAveragePooling1D()(x)))


class Patches(L.Layer):
    def __init__(self, patch_size, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = patch_size

    def call(self, images):
        batch, height, width, channels = ops.shape(images)
        patches = ops.image.extract_patches(images, size=self.patch_size)
        count = (height // self.patch_size) * (width // self.patch_size)
        return ops.reshape(patches, (batch, count, self.patch_size**2 * channels))


class PatchEncoder(L.Layer):
    def __init__(self, num_patches, width, **kwargs):
        super().__init__(**kwargs)
        self.num_patches = num_patches
        self.projection = L.Dense(units=width)
        self.position_embedding = L.Embedding(input_dim=num_patches, output_dim=width)

    def call(self, patch):
        positions = ops.expand_dims(ops.arange(self.num_patches), axis=0)
        return self.projection(patch) + self.position_embedding(positions)


@network
def vision_transformer():
    i = keras.Input((8, 8, 3))
    x = PatchEncoder(16, 8)(Patches(2)(i))
    for _ in range(2):
        x = TransformerBlock(8, 2, 16)(x)
    x = L.Flatten()(L.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(i, L.Dense(5)(L.Dense(12, activation="gelu")(x)))


class ViT(keras.Model):
    """With a class token and a table of positions, and the batch size in Python."""

    def __init__(self, width=8, depth=2, classes=5, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.patch = L.Conv2D(width, 2, strides=2)
        self.encoders = [TransformerBlock(width, 2, 16) for _ in range(depth)]
        self.norm, self.head = L.LayerNormalization(), L.Dense(classes)

    def build(self, input_shape):
        count = (input_shape[1] // 2) * (input_shape[2] // 2)
        self.cls = self.add_weight(shape=(1, 1, self.width), name="cls")
        self.positions = self.add_weight(
            shape=(1, count + 1, self.width), initializer="normal", name="positions"
        )
        super().build(input_shape)

    def call(self, images):
        x = self.patch(images)
        batch, h, w, width = x.shape
        x = ops.reshape(x, (batch, h * w, width))
        cls = ops.broadcast_to(self.cls, (batch, 1, width))
        x = ops.concatenate([cls, x], axis=1) + self.positions
        for encoder in self.encoders:
            x = encoder(x)
        return self.head(self.norm(x)[:, 0])


@network
def subclassed_vision_transformer():
    model = ViT()
    model(np.zeros((2, 8, 8, 3), "float32"))
    return model


class CCTTokenizer(L.Layer):
    def __init__(self, channels=(6, 8), **kwargs):
        super().__init__(**kwargs)
        self.conv_model = keras.Sequential()
        for filters in channels:
            self.conv_model.add(
                L.Conv2D(filters, 3, padding="same", use_bias=False, activation="relu")
            )
            self.conv_model.add(L.ZeroPadding2D(1))
            self.conv_model.add(L.MaxPooling2D(3, 2, "same"))

    def call(self, images):
        outputs = self.conv_model(images)
        return ops.reshape(
            outputs,
            (-1, ops.shape(outputs)[1] * ops.shape(outputs)[2], outputs.shape[-1]),
        )


class PositionEmbedding(L.Layer):
    def __init__(self, sequence_length, **kwargs):
        super().__init__(**kwargs)
        self.sequence_length = sequence_length

    def build(self, input_shape):
        self.position_embeddings = self.add_weight(
            name="embeddings", shape=(self.sequence_length, input_shape[-1])
        )

    def call(self, inputs, start_index=0):
        table = ops.convert_to_tensor(self.position_embeddings)
        table = ops.slice(table, (start_index, 0), ops.shape(inputs)[1:])
        return ops.broadcast_to(table, ops.shape(inputs))


class SequencePooling(L.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = L.Dense(1)

    def call(self, x):
        weights = ops.softmax(self.attention(x), axis=1)
        weights = ops.transpose(weights, axes=(0, 2, 1))
        return ops.squeeze(ops.matmul(weights, x), axis=1)


class StochasticDepth(L.Layer):
    def __init__(self, drop_prob, **kwargs):
        super().__init__(**kwargs)
        self.drop_prob = drop_prob
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, x, training=None):
        if training:
            keep = 1 - self.drop_prob
            shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)
            noise = keep + keras.random.uniform(shape, 0, 1, seed=self.seed_generator)
            return (x / keep) * ops.floor(noise)
        return x


@network
def compact_transformer():
    i = keras.Input((8, 8, 3))
    x = CCTTokenizer()(i)
    x = x + PositionEmbedding(x.shape[1])(x)
    for rate in (0.0, 0.1):
        y = L.LayerNormalization(epsilon=1e-5)(x)
        y = L.MultiHeadAttention(num_heads=2, key_dim=4, dropout=0.1)(y, y)
        x = L.Add()([StochasticDepth(rate)(y), x])
    return keras.Model(i, L.Dense(5)(SequencePooling()(L.LayerNormalization()(x))))


class MobileViTBlock(L.Layer):
    """Pixels of patches attend to those at the same place in other patches."""

    def __init__(self, width, patch=2, **kwargs):
        super().__init__(**kwargs)
        self.width, self.patch = width, patch
        self.transformer = TransformerBlock(width, 2, 2 * width)

    def build(self, input_shape):
        self.local = L.Conv2D(self.width, 3, padding="same", activation="silu")
        self.fold = L.Conv2D(input_shape[-1], 1, activation="silu")
        self.merge = L.Conv2D(input_shape[-1], 3, padding="same", activation="silu")

    def call(self, x):
        y = self.local(x)
        b, h, w, c = ops.shape(y)
        p, rows, columns = self.patch, h // self.patch, w // self.patch
        y = ops.reshape(y, (b * rows, p, columns, p, c))
        y = ops.reshape(
            ops.transpose(y, (0, 2, 1, 3, 4)), (b, rows * columns, p * p, c)
        )
        y = ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (b * p * p, rows * columns, c))
        y = self.transformer(y)
        y = ops.transpose(ops.reshape(y, (b, p * p, rows * columns, c)), (0, 2, 1, 3))
        y = ops.reshape(y, (b * rows, columns, p, p, c))
        y = ops.reshape(ops.transpose(y, (0, 2, 1, 3, 4)), (b, h, w, c))
        return self.merge(ops.concatenate([x, self.fold(y)], axis=-1))


@network
def mobilevit():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, strides=2, padding="same", activation="silu")(i)
    x = MobileViTBlock(8)(InvertedResidual(8, 2)(x))
    return _classifier(i, L.Conv2D(10, 1, activation="silu")(x))


def window_partition(x, size):
    _, height, width, channels = x.shape
    x = ops.reshape(x, (-1, height // size, size, width // size, size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, size, size, channels))


def window_reverse(windows, size, height, width, channels):
    x = ops.reshape(windows, (-1, height // size, width // size, size, size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, height, width, channels))


class WindowAttention(L.Layer):
    """With a table of biases for relative positions and an index that is no weight."""

    def __init__(self, dim, window_size, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.dim, self.window_size, self.num_heads = dim, window_size, num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = L.Dense(dim * 3)
        self.dropout, self.proj = L.Dropout(0.1), L.Dense(dim)

    def build(self, input_shape):
        m = self.window_size
        self.table = self.add_weight(
            shape=((2 * m - 1) ** 2, self.num_heads), name="table", initializer="normal"
        )
        coords = np.stack(np.meshgrid(np.arange(m), np.arange(m), indexing="ij"))
        flat = coords.reshape(2, -1)
        relative = (flat[:, :, None] - flat[:, None, :]).transpose(1, 2, 0) + m - 1
        index = relative[..., 0] * (2 * m - 1) + relative[..., 1]
        self.index = keras.Variable(
            initializer=index, shape=index.shape, dtype="int", trainable=False
        )

    def call(self, x, mask=None):
        _, size, channels = x.shape
        head = channels // self.num_heads
        qkv = ops.reshape(self.qkv(x), (-1, size, 3, self.num_heads, head))
        q, k, v = ops.unstack(ops.transpose(qkv, (2, 0, 3, 1, 4)), axis=0)
        attn = (q * self.scale) @ ops.transpose(k, (0, 1, 3, 2))
        n = self.window_size**2
        bias = ops.take(self.table, ops.reshape(self.index, (-1,)), axis=0)
        bias = ops.transpose(ops.reshape(bias, (n, n, -1)), (2, 0, 1))
        attn = attn + ops.expand_dims(bias, axis=0)
        if mask is not None:
            windows = mask.shape[0]
            attn = ops.reshape(attn, (-1, windows, self.num_heads, size, size))
            attn = attn + ops.cast(mask[None, :, None], "float32")
            attn = ops.reshape(attn, (-1, self.num_heads, size, size))
        attn = self.dropout(ops.softmax(attn, axis=-1))
        x = ops.reshape(ops.transpose(attn @ v, (0, 2, 1, 3)), (-1, size, channels))
        return self.proj(x)


class SwinBlock(L.Layer):
    """Windows, shifted in every second block; a mask that is made of numbers."""

    def __init__(self, dim, size, window=2, shift=0, **kwargs):
        super().__init__(**kwargs)
        self.dim, self.size, self.window, self.shift = dim, size, window, shift
        self.norm1 = L.LayerNormalization(epsilon=1e-5)
        self.attn = WindowAttention(dim, window, 2)
        self.norm2 = L.LayerNormalization(epsilon=1e-5)
        self.mlp = keras.Sequential([L.Dense(2 * dim, activation="gelu"), L.Dense(dim)])

    def build(self, input_shape):
        self.attn_mask = None
        if self.shift:
            regions = np.zeros((1, self.size, self.size, 1), "float32")
            parts = (slice(0, -2), slice(-2, -1), slice(-1, None))
            for k, (a, b) in enumerate((a, b) for a in parts for b in parts):
                regions[:, a, b] = k
            windows = window_partition(ops.convert_to_tensor(regions), self.window)
            windows = ops.reshape(windows, (-1, self.window**2))
            gaps = ops.expand_dims(windows, 1) - ops.expand_dims(windows, 2)
            self.attn_mask = ops.where(gaps != 0, -100.0, 0.0)
        self.attn.build((None, self.window**2, self.dim))

    def call(self, x):
        h = w = self.size
        shortcut = x
        x = ops.reshape(self.norm1(x), (-1, h, w, self.dim))
        if self.shift:
            x = ops.roll(x, shift=[-self.shift, -self.shift], axis=[1, 2])
        windows = window_partition(x, self.window)
        windows = ops.reshape(windows, (-1, self.window**2, self.dim))
        windows = self.attn(windows, mask=self.attn_mask)
        windows = ops.reshape(windows, (-1, self.window, self.window, self.dim))
        x = window_reverse(windows, self.window, h, w, self.dim)
        if self.shift:
            x = ops.roll(x, shift=[self.shift, self.shift], axis=[1, 2])
        x = shortcut + ops.reshape(x, (-1, h * w, self.dim))
        return x + self.mlp(self.norm2(x))


class PatchMerging(L.Layer):
    def __init__(self, size, width, **kwargs):
        super().__init__(**kwargs)
        self.size, self.width = size, width
        self.linear = L.Dense(2 * width, use_bias=False)

    def call(self, x):
        x = ops.reshape(x, (-1, self.size, self.size, self.width))
        parts = [x[:, i::2, j::2, :] for j in (0, 1) for i in (0, 1)]
        x = ops.concatenate(parts, axis=-1)
        return self.linear(ops.reshape(x, (-1, (self.size // 2) ** 2, 4 * self.width)))


@network
def swin():
    i = keras.Input((8, 8, 3))
    x = PatchEncoder(16, 8)(Patches(2)(i))
    x = SwinBlock(8, 4)(x)
    x = SwinBlock(8, 4, shift=1)(x)
    x = PatchMerging(4, 8)(x)
    return keras.Model(i, L.Dense(5)(L.GlobalAveragePooling1D()(x)))


class ExternalAttention(L.Layer):
    def __init__(self, width, heads, memory=4, **kwargs):
        super().__init__(**kwargs)
        self.width, self.heads = width, heads
        self.query = L.Dense(width)
        self.keys, self.values = L.Dense(memory), L.Dense(width // heads)
        self.projection = L.Dense(width)

    def call(self, x):
        _, patches, channels = x.shape
        x = ops.reshape(
            self.query(x), (-1, patches, self.heads, channels // self.heads)
        )
        attention = ops.softmax(self.keys(ops.transpose(x, (0, 2, 1, 3))), axis=2)
        attention = attention / (1e-9 + ops.sum(attention, axis=-1, keepdims=True))
        x = ops.transpose(self.values(attention), (0, 2, 1, 3))
        return self.projection(ops.reshape(x, [-1, patches, channels]))


@network
def external_attention():
    i = keras.Input((8, 8, 3))
    x = PatchEncoder(16, 8)(Patches(2)(i))
    x = L.LayerNormalization()(x + ExternalAttention(8, 2)(x))
    return keras.Model(i, L.Dense(5)(L.GlobalAveragePooling1D()(x)))


class MLPMixerLayer(L.Layer):
    def __init__(self, patches, hidden, rate=0.1, **kwargs):
        super().__init__(**kwargs)
        self.mlp1 = keras.Sequential(
            [L.Dense(patches, activation="gelu"), L.Dense(patches), L.Dropout(rate)]
        )
        self.mlp2 = keras.Sequential(
            [L.Dense(patches, activation="gelu"), L.Dense(hidden), L.Dropout(rate)]
        )
        self.normalize = L.LayerNormalization(epsilon=1e-6)

    def call(self, inputs):
        x = self.normalize(inputs)
        x = ops.transpose(self.mlp1(ops.transpose(x, (0, 2, 1))), (0, 2, 1)) + inputs
        return x + self.mlp2(self.normalize(x))


class FNetLayer(L.Layer):
    def __init__(self, width, rate=0.1, **kwargs):
        super().__init__(**kwargs)
        self.ffn = keras.Sequential(
            [L.Dense(2 * width, activation="gelu"), L.Dropout(rate), L.Dense(width)]
        )
        self.normalize1 = L.LayerNormalization(epsilon=1e-6)
        self.normalize2 = L.LayerNormalization(epsilon=1e-6)

    def call(self, inputs):
        real, _ = ops.fft2((inputs, ops.zeros_like(inputs)))
        x = self.normalize1(real + inputs)
        return self.normalize2(x + self.ffn(x))


class GMLPLayer(L.Layer):
    def __init__(self, patches, width, **kwargs):
        super().__init__(**kwargs)
        self.project1 = keras.Sequential([L.Dense(2 * width, activation="gelu")])
        self.project2 = L.Dense(width)
        self.spatial = L.Dense(patches, bias_initializer="ones")
        self.normalize1 = L.LayerNormalization(epsilon=1e-6)
        self.normalize2 = L.LayerNormalization(epsilon=1e-6)

    def gate(self, x):
        u, v = ops.split(x, indices_or_sections=2, axis=2)
        v = ops.transpose(self.normalize2(v), (0, 2, 1))
        return u * ops.transpose(self.spatial(v), (0, 2, 1))

    def call(self, inputs):
        return inputs + self.project2(self.gate(self.project1(self.normalize1(inputs))))


def _of_patches(blocks):
    i = keras.Input((8, 8, 3))
    x = L.Dense(8)(Patches(2)(i))
    x = keras.Sequential(blocks)(x)
    return keras.Model(i, L.Dense(5)(L.GlobalAveragePooling1D()(x)))


@network
def mlp_mixer():
    return _of_patches([MLPMixerLayer(16, 8) for _ in range(2)])


@network
def fnet():
    return _of_patches([FNetLayer(8) for _ in range(2)])


@network
def gmlp():
    return _of_patches([GMLPLayer(16, 8) for _ in range(2)])


# Networks with more than one part ---------------------------------------------------


class Sampling(L.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs):
        mean, log_var = inputs
        shape = (ops.shape(mean)[0], ops.shape(mean)[1])
        noise = keras.random.normal(shape=shape, seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_var) * noise


class Encoder(L.Layer):
    def __init__(self, latent=3, hidden=8, name="encoder", **kwargs):
        super().__init__(name=name, **kwargs)
        self.conv = L.Conv2D(hidden, 3, strides=2, padding="same", activation="relu")
        self.flatten = L.Flatten()
        self.dense_mean, self.dense_log_var = L.Dense(latent), L.Dense(latent)
        self.sampling = Sampling()

    def call(self, inputs):
        x = self.flatten(self.conv(inputs))
        mean, log_var = self.dense_mean(x), self.dense_log_var(x)
        return mean, log_var, self.sampling((mean, log_var))


class Decoder(L.Layer):
    def __init__(self, name="decoder", **kwargs):
        super().__init__(name=name, **kwargs)
        self.dense = L.Dense(4 * 4 * 6, activation="relu")
        self.shape_up = L.Reshape((4, 4, 6))
        self.up = L.Conv2DTranspose(3, 3, strides=2, padding="same")

    def call(self, inputs):
        return self.up(self.shape_up(self.dense(inputs)))


class VariationalAutoEncoder(keras.Model):
    """Its loss is added in the call."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder = Encoder(), Decoder()

    def call(self, inputs):
        mean, log_var, z = self.encoder(inputs)
        kl = -0.5 * ops.mean(log_var - ops.square(mean) - ops.exp(log_var) + 1)
        self.add_loss(kl)
        return self.decoder(z)


@convolutional
def variational_autoencoder():
    model = VariationalAutoEncoder()
    model(np.zeros((2, 8, 8, 3), "float32"))
    return model


class DistanceLayer(L.Layer):
    def call(self, anchor, positive, negative):
        near = ops.sum(ops.square(anchor - positive), -1)
        return near, ops.sum(ops.square(anchor - negative), -1)


class SiameseModel(keras.Model):
    """The network is handed over; training is its own."""

    def __init__(self, siamese_network, margin=0.5):
        super().__init__()
        self.siamese_network = siamese_network
        self.margin = margin
        self.loss_tracker = keras.metrics.Mean(name="loss")

    def call(self, inputs):
        return self.siamese_network(inputs)

    def train_step(self, data):
        with tf.GradientTape() as tape:
            near, far = self(data, training=True)
            loss = tf.reduce_mean(tf.maximum(near - far + self.margin, 0.0))
        weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}

    @property
    def metrics(self):
        return [self.loss_tracker]


@convolutional
def siamese():
    i = keras.Input((8, 8, 3))
    x = ResidualBlock(8)(L.Conv2D(8, 3, padding="same")(i))
    embedding = keras.Model(
        i, L.Dense(6)(L.GlobalAveragePooling2D()(x)), name="embedding"
    )
    names = ("anchor", "positive", "negative")
    inputs = [keras.Input((8, 8, 3), name=n) for n in names]
    distances = DistanceLayer()(*(embedding(x) for x in inputs))
    model = SiameseModel(keras.Model(inputs, distances))
    model([np.zeros((2, 8, 8, 3), "float32")] * 3)
    return model


class FeaturePyramid(L.Layer):
    def __init__(self, backbone, width=8, **kwargs):
        super().__init__(**kwargs)
        self.backbone = backbone
        self.lateral = [L.Conv2D(width, 1) for _ in range(2)]
        self.smooth = [L.Conv2D(width, 3, padding="same") for _ in range(2)]
        self.extra = L.Conv2D(width, 3, 2, "same")
        self.upsample = L.UpSampling2D(2)

    def call(self, images, training=False):
        c3, c4 = self.backbone(images, training=training)
        p3, p4 = (conv(c) for conv, c in zip(self.lateral, (c3, c4)))
        p3 = p3 + self.upsample(p4)
        p3, p4 = (conv(p) for conv, p in zip(self.smooth, (p3, p4)))
        return p3, p4, self.extra(ops.relu(p4))


def _head(outputs, width=8):
    head = keras.Sequential([keras.Input((None, None, width))])
    head.add(L.Conv2D(width, 3, padding="same", activation="relu"))
    head.add(L.Conv2D(outputs, 3, padding="same"))
    return head


class RetinaNet(keras.Model):
    """Two heads, shared by all levels of a pyramid over a functional backbone."""

    def __init__(self, classes, backbone, **kwargs):
        super().__init__(**kwargs)
        self.fpn = FeaturePyramid(backbone)
        self.classes = classes
        self.cls_head, self.box_head = _head(9 * classes), _head(9 * 4)

    def call(self, image, training=False):
        features = self.fpn(image, training=training)
        batch = ops.shape(image)[0]
        classes, boxes = [], []
        for feature in features:
            boxes.append(ops.reshape(self.box_head(feature), [batch, -1, 4]))
            scores = self.cls_head(feature)
            classes.append(ops.reshape(scores, [batch, -1, self.classes]))
        boxes, classes = (ops.concatenate(v, axis=1) for v in (boxes, classes))
        return ops.concatenate([boxes, classes], axis=-1)


@convolutional
def retinanet():
    i = keras.Input((16, 16, 3))
    c3 = L.Conv2D(8, 3, 2, "same", activation="relu")(i)
    c4 = L.Conv2D(12, 3, 2, "same", activation="relu")(L.BatchNormalization()(c3))
    model = RetinaNet(2, keras.Model(i, [c3, c4], name="backbone"))
    model(np.zeros((2, 16, 16, 3), "float32"))
    return model


class KeypointNet(keras.Model):
    """A dictionary comes out, and training masks what is not visible."""

    def __init__(self, points=2, **kwargs):
        super().__init__(**kwargs)
        self.body = keras.Sequential([ResidualBlock(8, 2), ResidualBlock(8)])
        self.coordinates = L.SeparableConv2D(2 * points, 4)
        self.visible = L.SeparableConv2D(points, 4, activation="sigmoid")

    def call(self, x):
        x = self.body(x)
        return {"points": self.coordinates(x), "visible": self.visible(x)}

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = tf.reduce_mean(tf.square(predicted["points"] - y["points"]))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        return {"loss": loss}


@convolutional
def keypoints():
    model = KeypointNet()
    model(np.zeros((2, 8, 8, 3), "float32"))
    return model


class SuperResolution(keras.Model):
    """EDSR: scaled residual blocks, a pixel shuffle, its own predict_step."""

    def __init__(self, width=8, **kwargs):
        super().__init__(**kwargs)
        self.rescale = L.Rescaling(1 / 255.0)
        self.first = L.Conv2D(width, 3, padding="same")
        self.ones, self.twos = (
            [L.Conv2D(width, 3, padding="same", activation=a) for _ in range(2)]
            for a in ("relu", None)
        )
        self.up = L.Conv2D(4 * width, 3, padding="same")
        self.last = L.Conv2D(3, 3, padding="same")

    def call(self, x):
        x = first = self.first(self.rescale(x))
        for one, two in zip(self.ones, self.twos):
            x = x + 0.1 * two(one(x))
        x = tf.nn.depth_to_space(self.up(x + first), 2)
        return tf.clip_by_value(self.last(x) * 255.0, 0.0, 255.0)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        return {"loss": loss}


@convolutional
def super_resolution():
    model = SuperResolution()
    model(np.zeros((2, 8, 8, 3), "float32"))
    return model


class EdgeDetector(keras.Model):
    """Side outputs of a backbone, enlarged to the image by TensorFlow's functions."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        i = keras.Input((16, 16, 3))
        a = L.Conv2D(8, 3, padding="same", activation="relu")(i)
        b = L.Conv2D(10, 3, padding="same", activation="relu")(L.MaxPooling2D()(a))
        c = L.Conv2D(12, 3, padding="same", activation="relu")(L.MaxPooling2D()(b))
        self.backbone = keras.Model(i, [a, b, c], name="backbone")
        self.sides = [L.Conv2D(1, 1) for _ in range(3)]
        self.fuse = L.Conv2D(1, 1)

    def call(self, x):
        size = tf.shape(x)[1:3]
        features = self.backbone(x)
        maps = [
            tf.image.resize(side(f), size, method="bilinear")
            for side, f in zip(self.sides, features)
        ]
        fused = self.fuse(tf.concat(maps, axis=-1))
        return [tf.sigmoid(m) for m in [*maps, fused]]


@convolutional
def edge_detector():
    model = EdgeDetector()
    model(np.zeros((1, 16, 16, 3), "float32"))
    return model


class OrthogonalRegularizer(keras.regularizers.Regularizer):
    def __init__(self, num_features, l2=0.001):
        self.num_features, self.l2 = num_features, l2

    def __call__(self, x):
        x = ops.reshape(x, (-1, self.num_features, self.num_features))
        product = ops.matmul(x, ops.transpose(x, (0, 2, 1)))
        return ops.sum(self.l2 * ops.square(product - ops.eye(self.num_features)))

    def get_config(self):
        return {"num_features": self.num_features, "l2": self.l2}


class TNet(L.Layer):
    """PointNet's small network that turns the points."""

    def __init__(self, features, **kwargs):
        super().__init__(**kwargs)
        self.features = features
        self.convs = [L.Conv1D(n, 1, activation="relu") for n in (8, 12)]
        self.norms = [L.BatchNormalization(momentum=0.0) for _ in range(2)]
        self.pool = L.GlobalMaxPooling1D()
        self.dense = L.Dense(
            features * features,
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(np.eye(features).flatten()),
            activity_regularizer=OrthogonalRegularizer(features),
        )
        self.dot = L.Dot(axes=(2, 1))

    def call(self, inputs):
        x = inputs
        for conv, norm in zip(self.convs, self.norms):
            x = norm(conv(x))
        transform = ops.reshape(
            self.dense(self.pool(x)), (-1, self.features, self.features)
        )
        return self.dot([inputs, transform])


@network
def pointnet():
    i = keras.Input((16, 3))
    x = L.Conv1D(6, 1, activation="relu")(TNet(3)(i))
    x = L.GlobalMaxPooling1D()(L.Conv1D(10, 1)(TNet(6)(x)))
    return keras.Model(i, L.Dense(4)(x))


class STFTLayer(L.Layer):
    def __init__(self, frame=8, step=4, **kwargs):
        super().__init__(**kwargs)
        self.frame, self.step = frame, step

    def call(self, audio):
        real, imaginary = ops.stft(audio, self.frame, self.step, self.frame)
        magnitude = ops.sqrt(ops.square(real) + ops.square(imaginary) + 1e-9)
        return ops.expand_dims(ops.log(magnitude + 1e-3), -1)


class AudioNet(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stft = STFTLayer()
        self.body = keras.Sequential([L.Conv2D(8, 3), L.BatchNormalization(), L.ReLU()])
        self.conv = L.Conv2D(8, 3, padding="same")
        self.pool, self.head = L.GlobalMaxPooling2D(), L.Dense(3)

    def call(self, audio, training=None):
        x = self.body(self.stft(audio), training=training)
        return self.head(self.pool(ops.relu(self.conv(x) + x)))


@convolutional
def audio_network():
    model = AudioNet()
    model(np.zeros((2, 64), "float32"))
    return model


class LanguageModel(keras.Model):
    """The embedding's table is used again for the output; a dictionary comes in."""

    def __init__(self, vocabulary=12, width=8, **kwargs):
        super().__init__(**kwargs)
        self.embedding = L.Embedding(vocabulary, width)
        self.block = TransformerBlock(width, 2, 12)
        self.bias = self.add_weight(shape=(vocabulary,), name="bias")

    def call(self, inputs):
        x = self.embedding(inputs["tokens"]) * inputs["weights"][..., None]
        x = self.block(x)
        return ops.matmul(x, ops.transpose(self.embedding.embeddings)) + self.bias


@network
def tied_language_model():
    model = LanguageModel()
    tokens, weights = np.zeros((2, 6), "int32"), np.ones((2, 6), "float32")
    model({"tokens": tokens, "weights": weights})
    return model


class GatedUnit(L.Layer):
    """Kernels of its own beside layers, and a keyword tensor."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.gate = L.Dense(units, activation="sigmoid")

    def build(self, x_shape, context_shape=None):
        self.kernel = self.add_weight(
            shape=(x_shape[-1], self.units), name="kernel", regularizer="l2"
        )
        self.bias = self.add_weight(shape=(self.units,), name="bias")
        self.gate.build(x_shape)

    def call(self, x, context=None):
        y = ops.matmul(x, self.kernel) + self.bias
        if context is not None:
            y = y + context
        return {"value": y * self.gate(x), "gate": self.gate(x)}


@network
def gated_units():
    a, b = keras.Input((6,), name="a"), keras.Input((8,), name="b")
    x = L.Dense(10, activation="relu")(a)
    x = GatedUnit(8)(x, context=L.Dense(8)(b))
    y = GatedUnit(7)(x["value"])
    return keras.Model([a, b], {"y": L.Dense(3)(y["value"]), "gate": x["gate"]})


@network
def keras_hub_transformer():
    import keras_hub

    i = keras.Input((6,), dtype="int32")
    x = keras_hub.layers.TokenAndPositionEmbedding(20, 6, 8)(i)
    x = keras_hub.layers.TransformerEncoder(16, 2)(x)
    return keras.Model(i, L.Dense(3)(L.GlobalAveragePooling1D()(x)))


@convolutional
def keras_hub_convolutions():
    from keras_hub.src.models.efficientnet.mbconv import MBConvBlock

    i = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, padding="same", activation="relu")(i)
    x = MBConvBlock(8, 8, expand_ratio=2, se_ratio=0.25, name="mbconv_")(x)
    return _classifier(i, x)


class DropPathOfNumpy(L.Layer):
    """Its rate is what np.linspace gave; functions of old names and without any."""

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = keras.random.SeedGenerator(1)
        self.act = L.Activation(lambda x: ops.gelu(x, approximate=False))

    def call(self, x, training=None):
        if training:
            shape = (ops.shape(x)[0], 1, 1, 1)
            kept = keras.random.uniform(shape, seed=self.seed) > self.rate
            x = x / (1.0 - self.rate) * ops.cast(kept, x.dtype)
        x = self.act(x) * np.float64(0.5) + np.linspace(0, 1, 16).reshape(4, 4, 1)
        return tf.compat.v1.image.resize(x, (6, 6), align_corners=True)


@convolutional
def numbers_of_numpy():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, 2, padding="same")(i)
    x = DropPathOfNumpy(np.linspace(0, 0.2, 3)[1])(x)
    return _classifier(i, L.Conv2D(6, 3, activation="relu")(x))


class Repeated(L.Layer):
    """One block called twice, and a block within a block within a block."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.block = ResidualBlock(width)
        self.inner = keras.Sequential([DoubleConv(width), SqueezeExcite()])

    def call(self, x):
        return self.inner(self.block(self.block(x)))


@convolutional
def blocks_called_twice():
    i = keras.Input((8, 8, 3))
    outer = Repeated(8)
    x = L.Conv2D(8, 3, padding="same")(i)
    return _classifier(i, L.Conv2D(6, 1)(outer(outer(x))))


class MixedBlock(L.Layer):
    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.conv = L.Conv2D(width, 3, padding="same", dtype=self.dtype_policy)
        self.norm = L.BatchNormalization(dtype=self.dtype_policy)

    def build(self, input_shape):
        self.gain = self.add_weight(shape=(self.width,), initializer="ones")

    def call(self, x):
        return ops.relu(self.norm(self.conv(x)) * self.gain)


@convolutional
def mixed_precision_blocks():
    i = keras.Input((8, 8, 3))
    x = MixedBlock(8, dtype="mixed_bfloat16")(i)
    x = MixedBlock(8, dtype="mixed_bfloat16")(x)
    x = L.GlobalAveragePooling2D(dtype="float32")(x)
    return keras.Model(i, L.Dense(3, dtype="float32")(x))


class LearntQueries(L.Layer):
    """A table of which some rows are taken, as a new axis or by its value."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width

    def build(self, input_shape):
        self.rows = self.add_weight(shape=(9, self.width), name="rows")
        self.times = self.add_weight(shape=(self.width,), name="times")

    def call(self, x):
        return (x + self.rows[:6][None]) * self.times.value


@network
def queries_from_a_table():
    i = keras.Input((6, 3))
    x = L.Dense(8, "relu")(LearntQueries(7)(L.Dense(7)(i)))
    return keras.Model(i, L.Dense(2)(x))
