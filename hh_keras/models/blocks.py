"""The two pieces that every network of the registry shares: entry and exit."""

from keras import layers


def pixels(image_shape):
    """Opens a network: an input of raw pixels, scaled to -1..1 inside the graph.

    Args:
        image_shape: `(height, width, channels)`.

    Returns:
        The input tensor and the scaled tensor.
    """
    inputs = layers.Input(shape=image_shape, name="image")
    return inputs, layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(inputs)


def conv_bn(x, filters, kernel_size, name, bn_name=None, strides=1, activation="relu"):
    """Convolution without bias, batch normalisation, and an optional activation.

    Args:
        x: tensor of shape `(batch, height, width, channels)`.
        filters: output channels.
        kernel_size: side of the square kernel.
        name: name of the convolution.
        bn_name: name of the normalisation; by default `name` with `_bn` added.
        strides: the same in both directions.
        activation: name of a Keras activation, or None.

    Returns:
        A tensor of shape `(batch, height / strides, width / strides, filters)`.
    """
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    x = layers.BatchNormalization(name=bn_name or f"{name}_bn")(x)
    if activation is None:
        return x
    return layers.Activation(activation, name=f"{name}_{activation}")(x)


def classifier(x, num_classes):
    """Closes a network: global average pooling and a float32 layer of logits.

    Args:
        x: tensor of shape `(batch, height, width, channels)`.
        num_classes: units of the last layer.

    Returns:
        Logits of shape `(batch, num_classes)`, float32 under any dtype policy.
    """
    x = layers.GlobalAveragePooling2D(name="average_pool")(x)
    return layers.Dense(
        num_classes, kernel_initializer="he_normal", dtype="float32", name="logits"
    )(x)
