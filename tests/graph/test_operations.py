"""All of `keras.ops` and `keras.layers`, in a network each: none is forgotten."""

import inspect
import warnings

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import hh_keras as hh
from hh_keras.graph.opening.tensorflow_functions import TensorFlowFunction
from tests.surgery.test_invariants import assert_same, random_plan
from tests.zoo import example, randomize

PASSES = """
    abs absolute add angle arange arccos arcsin arcsinh arctan arctan2 arctanh array
    cbrt ceil celu clip conj convert_to_tensor copy cos cosh cumsum deg2rad divide
    elu equal erf exp exp2 expand_dims expm1 flip floor fmax fmin gelu greater
    hard_sigmoid hard_silu hard_swish hard_tanh heaviside hypot isfinite isnan
    leaky_relu less log log10 log1p log2 log_sigmoid logaddexp logical_and
    logical_not logical_or logical_xor logsumexp max maximum mean median min minimum
    mod multiply nan_to_num negative not_equal ones_like positive power prod
    quantile reciprocal relu relu6 roll round rsqrt selu sigmoid sign signbit silu
    sin sinc sinh soft_shrink softplus softsign sqrt square squareplus stack std
    stop_gradient subtract swapaxes swish tan tanh tanh_shrink threshold transpose
    true_divide trunc var where zeros_like image.extract_patches image.gaussian_blur
    image.resize image.pad_images max_pool average_pool
""".split()
MIXES = """
    argsort diff glu sort sparsemax top_k tril
""".split()
COUNTS = """
    layer_normalization log_softmax normalize rms_normalization softmax
""".split()  # over the channels that stay
ARGUMENTS = {
    "add": ("x",), "arctan2": ("x",), "clip": (-1.0, 1.0), "cumsum": (1,),
    "divide": (2.0,), "equal": ("x",), "expand_dims": (1,), "flip": (1,),
    "fmax": ("x",), "fmin": ("x",), "greater": (0.0,), "heaviside": (0.5,),
    "hypot": ("x",), "image.extract_patches": (2,), "image.resize": ((3, 3),),
    "image.pad_images": (1, 1, 1, 1), "less": (0.0,), "logaddexp": ("x",),
    "logical_and": ("x",), "logical_or": ("x",), "logical_xor": ("x",),
    "logsumexp": ((1, 2),), "max": ((1, 2),), "maximum": (0.0,), "mean": ((1, 2),),
    "median": ((1, 2),), "min": ((1, 2),), "minimum": ("x",), "mod": (2.0,),
    "multiply": (2.0,), "not_equal": (0.0,), "power": (2.0,), "prod": ((1, 2),),
    "quantile": (0.5, 1), "roll": (1, 1), "std": ((1, 2),), "subtract": ("x",),
    "swapaxes": (1, 2), "threshold": (0.0, 0.0), "transpose": ((0, 2, 1, 3),),
    "true_divide": (2.0,), "var": ((1, 2),), "max_pool": (2,), "average_pool": (2,),
    "top_k": (2,), "moveaxis": (1, 2), "repeat": (2, 1), "tile": ((1, 2, 1, 1),),
    "take": ([0, 1], 1), "einsum": None, "arange": None, "stack": None,
}  # fmt: skip


def names():
    every = [n for n in dir(ops) if n[0] != "_" and inspect.isfunction(getattr(ops, n))]
    image = [n for n in dir(ops.image) if inspect.isfunction(getattr(ops.image, n))]
    return [*every, *(f"image.{n}" for n in image if n[0] != "_")]


def result(name):
    """Why the channels in front of a function stay, None if they can leave.

    Returns `skip` for functions that take something else than one tensor of channels.
    """
    function = ops
    for part in name.split("."):
        function = getattr(function, part, None)
    given = ARGUMENTS.get(name, ())
    if function is None or given is None:
        return "skip"
    i = keras.Input((4, 4, 3))
    x = L.Conv2D(6, 1, name="conv")(i)
    try:
        y = function(x, *(x if a == "x" else a for a in given))
        (y, *_) = [t for t in keras.tree.flatten(y) if isinstance(t, keras.KerasTensor)]
        y = ops.cast(y, "float32")
        while len(y.shape) > 2:
            y = ops.mean(y, axis=1)
        model = keras.Model(i, L.Dense(2)(y))
    except Exception:  # Keras does not build it with these arguments
        return "skip"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*are frozen")
        return hh.trace(model).group("conv").frozen


@pytest.mark.parametrize("name", [*PASSES, *COUNTS])
def test_operations_that_work_channel_by_channel_pass_channels_on(name):
    frozen = result(name)
    if frozen == "skip":
        pytest.skip("not in this Keras, or not with these arguments")
    assert frozen is None


@pytest.mark.parametrize("name", MIXES)
def test_operations_over_channels_freeze_them(name):
    assert result(name)


@pytest.mark.slow
def test_no_operation_ends_in_an_error_of_somebody_else():
    found = [name for name in names() if result(name) != "skip"]
    assert len(found) > 150


LAYERS = {
    "ActivityRegularization", "Add", "AlphaDropout", "BatchNormalization", "Dropout",
    "ELU", "GaussianDropout", "GaussianNoise", "Identity", "LeakyReLU", "PReLU", "ReLU",
    "Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D", "Dense",
    "AveragePooling2D", "MaxPooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D",
    "Cropping2D", "ZeroPadding2D", "UpSampling2D", "Flatten", "SpatialDropout2D",
    "AdaptiveAveragePooling2D", "AdaptiveMaxPooling2D", "SpectralNormalization",
    "LayerNormalization", "GroupNormalization", "UnitNormalization", "Softmax",
    "Resizing", "CenterCrop", "RandomCrop", "Permute", "Reshape", "Rescaling",
}  # fmt: skip
BUILD = {
    "ActivityRegularization": (), "Conv2D": (4, 1), "Conv2DTranspose": (4, 1),
    "DepthwiseConv2D": (1,), "SeparableConv2D": (4, 1), "Dense": (4,),
    "Dropout": (0.1,), "AlphaDropout": (0.1,), "GaussianDropout": (0.1,),
    "GaussianNoise": (0.1,), "SpatialDropout2D": (0.1,), "Resizing": (3, 3),
    "CenterCrop": (2, 2), "RandomCrop": (2, 2), "Permute": ((2, 1, 3),),
    "Reshape": ((16, 6),), "Rescaling": (0.5,), "GroupNormalization": (3,),
    "AdaptiveAveragePooling2D": (2,), "AdaptiveMaxPooling2D": (2,),
    "AveragePooling2D": (2,),
}  # fmt: skip
STAY = {"SpectralNormalization"}


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_layers_of_keras_let_channels_leave_or_say_why_not(name):
    kind = getattr(L, name, None)
    if kind is None:
        pytest.skip("not in this Keras")
    i = keras.Input((4, 4, 3))
    x = L.Conv2D(6, 1, name="conv")(i)
    if name == "SpectralNormalization":
        y = kind(L.Conv2D(4, 1))(x)
    else:
        layer = kind(*BUILD.get(name, ()))
        y = layer([x, x]) if name == "Add" else layer(x)
    model = keras.Model(i, L.Dense(2)(L.Flatten()(L.Dense(3)(y))))
    group = hh.trace(model).group("conv")
    assert bool(group.frozen) == (name in STAY)


def built(i, *layers):
    x = i
    for each in layers:
        x = each(x)
    return randomize(keras.Model(i, x))


def rebuilt_like_masked(model):
    plan, x = random_plan(model, 0.5), example(model)
    assert_same(hh.mask(model, plan)(x), hh.rebuild(model, plan)(x))
    same = hh.rebuild(model, random_plan(model, 2.0))
    np.testing.assert_array_equal(model(x), same(x))


@pytest.mark.parametrize("channels", [(0, 8), (3, 4)])
def test_blocks_of_channels_are_taken_out(channels):
    def block(x):
        return ops.slice(x, (0, 1, channels[0]), (2, 3, channels[1]))

    i = keras.Input(batch_shape=(2, 6, 5))
    model = built(i, L.Dense(8, name="dense"), block, L.Dense(2))
    assert hh.trace(model).group("dense").frozen is None
    rebuilt_like_masked(model)


def test_patches_of_tensorflow_pass_channels_on():
    def patches(x):
        return TensorFlowFunction("image.extract_patches")(
            x, [1, 2, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1], "VALID"
        )

    i = keras.Input((6, 6, 3))
    model = built(i, L.Conv2D(5, 3, name="conv"), patches, L.Conv2D(4, 1))
    assert hh.trace(model).group("conv").frozen is None
    rebuilt_like_masked(model)


def test_axes_of_size_one_that_nobody_names():
    """What Keras says of the shape of attention scores is not always so."""

    class Odd(L.Layer):
        def call(self, x):
            return ops.mean(x, axis=(1, 2), keepdims=True)[..., :1] * ops.ones((3,))

        def compute_output_shape(self, shape):
            return (shape[0], 1, 1, 1)

    i = keras.Input((6, 6, 3))
    rebuilt_like_masked(built(i, L.Conv2D(5, 3), Odd(), ops.squeeze))


class Paired(keras.regularizers.Regularizer):
    """Written for eight numbers."""

    def __call__(self, x):
        return ops.sum(ops.square(ops.reshape(x, (-1, 2, 8 // 2))))


class Any(Paired):
    def __call__(self, x):
        return ops.sum(ops.abs(x))


@pytest.mark.parametrize("argument", ["activity_regularizer", "kernel_regularizer"])
@pytest.mark.parametrize("kind, stays", [(Paired, True), (Any, False)])
def test_channels_that_a_regularizer_counts_stay(argument, kind, stays):
    dense = L.Dense(8, name="dense", **{argument: kind()})
    model = built(keras.Input((3,)), dense, L.Dense(2))
    frozen = hh.trace(model).group("dense").frozen
    assert (frozen is not None and "Paired" in frozen) == stays
    rebuilt_like_masked(model)
    hh.rebuild(model, random_plan(model, 0.5))(example(model), training=True)
