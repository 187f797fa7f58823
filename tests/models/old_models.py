"""Models that tf_keras writes, by pattern: what Keras 2 files hold."""

import tensorflow as tf

from hh_keras.export.quantizing.legacy import modules

tf_keras, _ = modules()
L, Input, Model = tf_keras.layers, tf_keras.Input, tf_keras.Model
IMAGE = (8, 8, 3)


def chain():
    i = Input(IMAGE)
    x = L.Conv2D(4, 3, padding="same", kernel_regularizer="l2", name="stem/conv")(i)
    x = L.Multiply()([x, L.Activation("hard_sigmoid")(x)])
    x = L.BatchNormalization(name="stem/bn")(x)
    x = L.LeakyReLU(0.2)(x)
    x = L.ThresholdedReLU(0.1)(x)
    x = L.PReLU(shared_axes=[1, 2])(x)
    return Model(i, L.Dense(5, activation="softmax")(L.Flatten()(x)))


def sequential():
    return tf_keras.Sequential(
        [
            L.SeparableConv2D(4, 3, input_shape=IMAGE, activation=tf.nn.relu),
            L.Conv2DTranspose(4, 3, activation="hard_sigmoid"),
            L.GlobalAveragePooling2D(keepdims=True),
            L.Reshape((4,)),
            L.Dense(5),
        ]
    )


def nested():
    i = Input(IMAGE)
    x = L.DepthwiseConv2D(3, depth_multiplier=2)(i)
    backbone = Model(i, L.BatchNormalization()(x), name="backbone")
    neck = tf_keras.Sequential([L.Conv2D(4, 1), L.GlobalMaxPooling2D()], name="neck")
    j = Input(IMAGE)
    return Model(j, L.Dense(3)(neck(backbone(j))))


def nested_in_sequential():
    i = Input(IMAGE)
    backbone = Model(i, L.Conv2D(4, 3)(i))
    backbone.trainable = False
    return tf_keras.Sequential([backbone, L.GlobalAveragePooling2D(), L.Dense(3)])


def partly_frozen():
    """Weights of a nested model are listed by what was trained."""
    i = Input(IMAGE)
    x = L.Conv2D(3, 3, padding="same", name="first")(i)
    x = L.BatchNormalization(name="bn")(x)
    x = L.Conv2D(3, 3, padding="same", name="second")(x)
    x = L.BatchNormalization(name="bn2")(x)
    backbone = Model(i, L.Conv2D(3, 3, padding="same", name="third")(x), name="b")
    backbone.trainable = False
    for name in ("second", "bn2"):
        backbone.get_layer(name).trainable = True
    j = Input(IMAGE)
    return Model(j, L.Dense(3, name="head")(L.Flatten()(backbone(j))))


def branches():
    """Layers of the same shape side by side: only their order tells them apart."""
    i = Input(IMAGE)
    parts = [L.Conv2D(2, 3, name=f"z{k}")(i) for k in (3, 1, 2)]
    x = L.Concatenate()([parts[1], parts[2], parts[0]])
    more = [L.Conv2D(2, 1, name=f"a{k}")(x) for k in (2, 1)]
    return Model(i, [L.Add()(more[::-1]), more[0], L.Flatten()(parts[0])])


def shared():
    a, b = Input(IMAGE, name="a"), Input(IMAGE, name="b")
    conv, bn = L.Conv2D(4, 3), L.BatchNormalization()
    x = L.Subtract()([bn(conv(a)), bn(conv(b))])
    return Model([a, b], L.Dense(2)(L.Flatten()(x)))


def dicts():
    a, b = Input(IMAGE, name="image"), Input((5,), name="table")
    x = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(a))
    z = L.Multiply()([x, L.Dense(4, activation="tanh")(b)])
    outputs = {"one": L.Dense(2, name="one")(z), "two": L.Dense(3, name="two")(z)}
    return Model({"image": a, "table": b}, outputs)


def operations():
    i = Input(IMAGE)
    x = tf.nn.relu6(L.Conv2D(4, 3)(i) * 2.0 + 1.0) / 6.0
    x = tf.concat([x, x + x, 1.0 - x], -1)[:, 1:, ::2, :]
    first, rest = tf.split(x[:, :, :, ::-1], [2, 10], axis=-1)
    x = tf.concat([first, rest[:, :, tf.newaxis][:, :, 0]], -1)
    x = tf.clip_by_value(tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [-1, 15, 12]), 0, 2)
    return Model(i, L.Dense(3)(tf.reduce_mean(-x, axis=[1]) ** 2.0))


def named_as_an_operation():
    """A layer whose name Keras 3 would give to an operation."""
    i = Input(IMAGE)
    x = L.Multiply(name="add")([i, i])
    x = L.Add(name="multiply")([x + 1.0, i * 2.0])
    return Model(i, L.Flatten(name="relu")(tf.nn.relu(x)))


def several_axes():
    """Keras' own loader forgets the axes of both."""
    i = Input(IMAGE)
    x = L.LayerNormalization(axis=[1, 2])(i)
    norm = L.Normalization(axis=None, mean=0.3, variance=2.0)
    return Model(i, L.Softmax(axis=[1, 2])(norm(x)))


def augmented():
    i = Input(IMAGE)
    x = L.Rescaling(1 / 127.5, offset=-1)(i)
    x = L.RandomFlip("horizontal")(L.RandomRotation(0.1)(x))
    x = L.CenterCrop(4, 4)(L.Resizing(6, 6)(x))
    norm = L.Normalization()
    norm.adapt(tf.random.uniform((10, 4, 4, 3)))
    return Model(i, L.Dense(3)(L.Flatten()(norm(x))))


def recurrent():
    i = Input((7, 3))
    x = L.Bidirectional(L.LSTM(4, return_sequences=True))(i)
    x = L.GRU(3, return_sequences=True, recurrent_activation="hard_sigmoid")(x)
    x = L.TimeDistributed(L.Dense(2))(x)
    return Model(i, L.SimpleRNN(3)(x))


def attention():
    i = Input((7, 8))
    x = L.MultiHeadAttention(2, 4)(i, i)
    x = L.LayerNormalization()(x + i)
    return Model(i, L.Conv1D(3, 3, padding="causal")(L.Attention()([x, x])))


def wrapped_model():
    i = Input((6,))
    inner = Model(i, L.BatchNormalization()(L.Dense(4, activation="swish")(i)))
    j = Input((5, 6))
    return Model(j, L.TimeDistributed(inner)(j))


def transfer():
    backbone = tf_keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, include_top=False, weights=None
    )
    backbone.trainable = False
    i = Input((32, 32, 3))
    x = tf_keras.applications.mobilenet_v2.preprocess_input(i)
    x = L.GlobalAveragePooling2D()(backbone(x, training=False))
    return Model(i, L.Dense(3)(x))


def mobilenet():
    return tf_keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None)


def mobilenet_v3():
    return tf_keras.applications.MobileNetV3Small(
        (32, 32, 3), alpha=0.35, weights=None, classes=10
    )


def efficientnet():
    """As wide and half as deep as the smallest of its authors."""
    return tf_keras.src.applications.efficientnet.EfficientNet(
        1.0, 0.5, 32, weights=None, input_shape=(32, 32, 3), classes=10
    )


def convnext():
    return tf_keras.src.applications.convnext.ConvNeXt(
        (1, 1, 3, 1),
        (16, 32, 64, 96),
        weights=None,
        input_shape=(32, 32, 3),
        classes=10,
    )


SMALL = (
    attention,
    augmented,
    branches,
    chain,
    dicts,
    named_as_an_operation,
    nested,
    nested_in_sequential,
    operations,
    partly_frozen,
    recurrent,
    sequential,
    several_axes,
    shared,
    wrapped_model,
)
LARGE = (convnext, efficientnet, mobilenet, mobilenet_v3, transfer)
