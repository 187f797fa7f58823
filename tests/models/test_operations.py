"""Each TensorFlow function that old models may call is the one of `keras.ops`."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras.models.legacy.operations import _FUNCTIONS, operation

_DRAW = np.random.default_rng(0)
X, Y = (_DRAW.uniform(0.1, 2, (2, 4, 4, 6)).astype("float32") for _ in range(2))
# What is called with more, or other, than one or two tensors.
ARGUMENTS = {
    "__operators__.getitem": (
        (X,),
        {"slice_spec": [{"start": None, "stop": 1, "step": None}, 2]},
    ),
    "cast": ((X,), {"dtype": "int32"}),
    "clip_by_value": ((X,), {"clip_value_min": 0.5, "clip_value_max": 1.0}),
    "concat": (([X, Y],), {"axis": -1}),
    "expand_dims": ((X,), {"axis": 1}),
    "image.resize": ((X,), {"size": [7, 3], "method": "bilinear"}),
    "linalg.matmul": ((X, np.swapaxes(Y, 2, 3)), {"transpose_a": False}),
    "math.reduce_max": ((X,), {"axis": [1, 2]}),
    "math.reduce_mean": ((X,), {"axis": -1, "keepdims": True}),
    "math.reduce_min": ((X,), {"axis": None}),
    "math.reduce_sum": ((X,), {"axis": 3}),
    "nn.gelu": ((X - 1,), {"approximate": True}),
    "nn.leaky_relu": ((X - 1,), {"alpha": 0.3}),
    "nn.silu": ((X - 1,), {"beta": 1.0}),
    "nn.softmax": ((X,), {"axis": 1}),
    "pad": ((X,), {"paddings": [[0, 0], [1, 2], [0, 1], [0, 0]], "mode": "REFLECT"}),
    "reshape": ((X,), {"shape": [-1, 8, 12]}),
    "split": ((X,), {"num_or_size_splits": [1, 2, 3], "axis": -1}),
    "squeeze": ((X[:, :1],), {"axis": [1]}),
    "stack": (([X, Y],), {"axis": 1}),
    "tile": ((X,), {"multiples": [1, 1, 2, 1]}),
    "transpose": ((X,), {"perm": [0, 3, 1, 2]}),
    "zeros_like": ((X,), {}),
}
TWO = (
    "__operators__.add add math.add math.divide math.maximum math.minimum maximum "
    "math.multiply math.pow math.subtract math.truediv minimum multiply subtract"
).split()


def of_tensorflow(name):
    if name == "__operators__.getitem":
        return lambda x, slice_spec: x[:1, 2]
    if name == "__operators__.add":
        return tf.add
    return functools.reduce(getattr, name.split("."), tf)


@pytest.mark.parametrize("name", sorted(_FUNCTIONS))
def test_it_is_the_same_function(name):
    given = (X - 1, Y) if name in TWO and "pow" not in name else (X, Y)
    one = (X if "log" in name or "sqrt" in name else X - 1,)
    args, kwargs = ARGUMENTS.get(name, (given if name in TWO else one, {}))
    wanted = tf.nest.flatten(of_tensorflow(name)(*args, **kwargs))

    called = operation({"function": name}, "the_layer")
    inputs = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:]), list(args))
    first, rest = inputs[0], dict(zip(["y", "b"], inputs[1:]))
    second = {"b" if "matmul" in name else "y": x for x in rest.values()}
    keras.layers.Identity()(first)  # Keras 3.12 wants every input read
    outputs = called(first, **second, **kwargs, name=None)
    model = keras.Model(keras.tree.flatten(inputs), outputs)
    found = tf.nest.flatten(model(keras.tree.flatten(list(args))))
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    assert "the_layer" in [op.name for op in model.operations]
