"""Multiply-accumulates of one call, read off the graph that TensorFlow makes of it.

For layers whose rule cannot say: those of a user's own, wrappers, and those whose
channels stay. Loops are not followed.
"""

import math
from fractions import Fraction
from typing import Any

import keras
import tensorflow as tf

from hh_keras.graph.ids import IdTensor

_LOOPS = {"While", "StatelessWhile", "If", "StatelessIf", "Case", "PyFunc", "MapDefun"}
_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}


class Uncountable(Exception):
    """What the graph computes depends on more than sizes."""


def count_macs(op: Any, args: Any, kwargs: dict) -> Any:
    """Counts the multiply-accumulates of one call for one example.

    Args:
        op: a built layer or an operation; it is called symbolically, in inference.
        args, kwargs: of the call, with `IdTensor` for tensors.

    Returns:
        An int, NaN if sizes are unknown, or None if it cannot be counted: it loops,
        or does not run by itself.
    """
    tensors = [x for x in keras.tree.flatten((args, kwargs)) if _is_tensor(x)]
    if not tensors or any(_example_shape(x) is None for x in tensors):
        return math.nan
    specs = [tf.TensorSpec(_example_shape(x), x.dtype) for x in tensors]
    share = min((_share(x) for x in tensors if x.shape), default=1)
    if getattr(op, "_call_has_training_arg", False):
        kwargs = {**kwargs, "training": False}

    def run(*values):
        left = iter(values)
        fill = lambda x: next(left) if _is_tensor(x) else x  # noqa: E731
        filled, named = keras.tree.map_structure(fill, (args, kwargs))
        return op(*filled, **named)

    try:
        graph = tf.function(run, autograph=False).get_concrete_function(*specs).graph
        macs = _macs_of(graph) * share
    except Exception:  # it may raise anything, by itself on these sizes
        return None
    return int(macs) if Fraction(macs).denominator == 1 else float(macs)


def _is_tensor(x):
    return isinstance(x, IdTensor)


def _share(x):
    """The share of the graph's work that is one example's."""
    return Fraction(x.rows) / (math.ceil(x.rows) if None in x.shape else 1)


def _example_shape(x):
    """The tensor's shape with the rows of one example in place of the batch."""
    if x.rows is None or x.shape.count(None) > 1:
        return None
    return tuple(math.ceil(x.rows) if n is None else n for n in x.shape)


def _macs_of(graph):
    total = 0
    for node in graph.get_operations():
        if node.type in _LOOPS:
            raise Uncountable(node.type)
        if node.type in _CALLS:
            name = node.get_attr("f").name
            total += _macs_of(graph._get_function(name).graph)
        elif node.type in _COUNTS:
            total += _COUNTS[node.type](node)
    return total


def _size(tensor):
    if not tensor.shape.is_fully_defined():
        raise Uncountable("unknown sizes")
    return tensor.shape.num_elements()


def _convolution(node):
    """Every output value takes the kernel's positions and the channels it reads."""
    kernel = node.inputs[1]
    return _size(node.outputs[0]) * _size(kernel) // kernel.shape[-1]


def _depthwise(node):
    kernel = node.inputs[1].shape
    return _size(node.outputs[0]) * math.prod(kernel[:-2])


def _transposed_convolution(node):
    """Inputs are sizes, kernel, values: every value meets one filter's kernel."""
    kernel = node.inputs[1]
    return _size(node.inputs[2]) * _size(kernel) // kernel.shape[-1]


def _product(node):
    transposed = node.get_attr("transpose_a" if node.type == "MatMul" else "adj_x")
    a = node.inputs[0].shape
    return _size(node.outputs[0]) * a[-2 if transposed else -1]


def _einsum(node):
    left = node.get_attr("equation").decode().split("->")[0].split(",")
    if len(left) < 2:
        return 0
    sizes = {}
    for term, tensor in zip(left, node.inputs):
        _size(tensor)
        if "." in term:
            raise Uncountable("an ellipsis")
        sizes.update(zip(term, tensor.shape))
    return math.prod(sizes.values())


_COUNTS = {
    "Conv2D": _convolution,
    "Conv3D": _convolution,
    "_FusedConv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "Conv2DBackpropInput": _transposed_convolution,
    "Conv3DBackpropInputV2": _transposed_convolution,
    "MatMul": _product,
    "BatchMatMul": _product,
    "BatchMatMulV2": _product,
    "Einsum": _einsum,
}
