"""Functions of TensorFlow on images that mean the same as a `keras.ops`."""

import numpy as np
from keras import ops

from hh_keras.graph.opening.tensorflow_meanings import integers, means, symbolic


@means("depth_to_space")
def _depth_to_space(input, block_size, data_format="NHWC"):
    if data_format != "NHWC":
        return None
    if hasattr(ops, "depth_to_space"):
        return ops.depth_to_space(input, block_size)
    height, width, depth = input.shape[1:]  # Keras 3.12: of a known size
    new = (block_size, block_size, depth // block_size**2)
    x = ops.reshape(input, (-1, height, width, *new))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, height * block_size, width * block_size, new[-1]))


@means("space_to_depth")
def _space_to_depth(input, block_size, data_format="NHWC"):
    if data_format != "NHWC":
        return None
    if hasattr(ops, "space_to_depth"):
        return ops.space_to_depth(input, block_size)
    height, width, depth = input.shape[1:]
    small = height // block_size, width // block_size
    new = (small[0], block_size, small[1], block_size, depth)
    x = ops.transpose(ops.reshape(input, (-1, *new)), (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, *small, block_size**2 * depth))


@means("image.resize")
def _resize(
    images, size, method="bilinear", preserve_aspect_ratio=False, antialias=False
):
    if preserve_aspect_ratio or len(images.shape) != 4:
        return None
    return ops.image.resize(images, tuple(integers(size)), method, antialias)


def _windows(given):
    """`(size, stride, padding)` of a window over two dimensions."""

    def inner(value, rank=2):
        if isinstance(value, int):
            return (value,) * rank
        value = tuple(integers(value))
        return value[1:-1] if len(value) == rank + 2 else value

    if not isinstance(given["padding"], str):
        raise ValueError("padded side by side")
    if given.get("data_format") not in (None, "NHWC"):
        raise ValueError("channels first")
    return inner(given["ksize"]), inner(given["strides"]), given["padding"].lower()


@means("max_pool", "max_pool2d")
def _max_pool(input, **given):
    return ops.max_pool(input, *_windows(given))


@means("avg_pool", "avg_pool2d")
def _avg_pool(input, **given):
    return ops.average_pool(input, *_windows(given))


@means("conv2d")
def _conv2d(input, filters, strides, padding, data_format="NHWC", dilations=None):
    given = {"ksize": 1, "strides": strides, "padding": padding}
    given["data_format"] = data_format
    _, strides, padding = _windows(given)
    holes = 1 if dilations is None else _windows({**given, "strides": dilations})[1]
    return ops.conv(input, filters, strides, padding, dilation_rate=holes)


@means("conv1d")
def _conv1d(input, filters, stride, padding, data_format="NWC", dilations=None):
    if data_format != "NWC" or not np.all(np.asarray(dilations or 1) == 1):
        return None  # with holes Keras adds the numbers up in another order
    stride = stride if isinstance(stride, int) else max(integers(stride))
    return ops.conv(input, filters, stride, padding.lower())


@means("conv2d_transpose")
def _conv2d_transpose(
    input, filters, output_shape, strides, padding="SAME", data_format="NHWC"
):
    given = {"ksize": 1, "strides": strides, "padding": padding}
    given["data_format"] = data_format
    _, strides, padding = _windows(given)
    y = ops.conv_transpose(input, filters, strides, padding)
    wanted = integers(output_shape)
    return y if list(y.shape[1:]) == list(wanted[1:]) else None


@means("depthwise_conv2d")
def _depthwise_conv2d(
    input, filter, strides, padding, data_format=None, dilations=None
):
    given = {"ksize": 1, "strides": strides, "padding": padding}
    given["data_format"] = data_format
    _, strides, padding = _windows(given)
    holes = 1 if dilations is None else tuple(integers(dilations))
    return ops.depthwise_conv(input, filter, strides, padding, dilation_rate=holes)


@means("bias_add")
def _bias_add(value, bias, data_format=None):
    if data_format not in (None, "NHWC", "NWC", "N...C"):
        return None
    return ops.add(value, bias if symbolic(bias) else np.asarray(bias, value.dtype))


@means("image.flip_left_right")
def _flip_left_right(image):
    return ops.flip(image, -2)


@means("image.flip_up_down")
def _flip_up_down(image):
    return ops.flip(image, -3)
