"""Weights that classes multiply with by themselves become the kernels of layers."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import hh_keras as hh
from hh_keras.graph.opening.extra_layers import ScaledConv2D, ScaledDense
from hh_keras.graph.opening.inline import opening
from tests.graph.test_inline import assert_equal
from tests.surgery.test_invariants import assert_same, random_plan
from tests.zoo import example, randomize


class Own(L.Layer):
    """A layer with a kernel of its own; the subclasses say how it is used."""

    def __init__(self, units=8, size=3, **kwargs):
        super().__init__(**kwargs)
        self.units, self.size = units, size

    def build(self, shape):
        self.scale = 0.5
        shape = self.kernel_shape(shape[-1])
        self.w = self.add_weight(shape=shape, regularizer=self.regularizer)
        self.b = self.add_weight(shape=(self.units,))

    regularizer = "l2"

    def kernel_shape(self, inputs):
        return (self.size, self.size, inputs, self.units)


class Conv(Own):
    def call(self, x):
        return ops.conv(x, self.w, strides=2, padding="same") + self.b


class Scaled(Own):
    def call(self, x):
        return ops.conv(ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 0.3 * self.w)


class Depthwise(Own):
    def kernel_shape(self, inputs):
        return (3, 3, inputs, 2)

    def call(self, x):
        return ops.depthwise_conv(x, self.w)


class Turned(Own):
    regularizer = None

    def kernel_shape(self, inputs):
        return (self.units, inputs)

    def call(self, x):
        return ops.matmul(x, ops.transpose(self.w)) + self.b


class Product(Own):
    def kernel_shape(self, inputs):
        return (inputs, self.units)

    def call(self, x):
        return ops.tensordot(x, self.w, axes=1) + self.b


class ScaledProduct(Product):
    def call(self, x):
        return ops.matmul(x, self.w * self.scale) + self.b


CASES = {
    Conv: L.Conv2D,
    Scaled: ScaledConv2D,
    Depthwise: L.DepthwiseConv2D,
    Turned: L.Dense,
    Product: L.Dense,
    ScaledProduct: ScaledDense,
}


def network(layer, calls=1):
    i = keras.Input((10, 10, 3))
    x = L.Conv2D(8, 3, name="before")(i)
    for _ in range(calls):
        x = layer(x)
    return randomize(keras.Model(i, L.Dense(4)(L.Flatten()(ops.relu(x)))))


@pytest.mark.parametrize("kind", CASES)
def test_a_product_with_a_weight_is_a_layer(kind, tmp_path):
    model = network(kind(name="own"))
    opened = opening(model, leaves=True).model
    (layer,) = (x for x in opened.layers if x.name.endswith("own.w"))
    assert type(layer) is CASES[kind]
    assert (layer.losses != []) == (kind.regularizer is not None)
    assert_equal(model, opened, example(opened))
    assert hh.trace(opened).removable_share > 0.6
    plan, x = random_plan(opened, 0.5), example(opened)
    small = hh.rebuild(opened, plan)
    assert_same(hh.mask(opened, plan)(x), small(x))
    np.testing.assert_array_equal(
        opened(x), hh.rebuild(opened, random_plan(opened, 2.0))(x)
    )
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    assert_same(small(x), loaded(x), 1e-7)


@pytest.mark.parametrize("kind", [Scaled, Turned])
def test_a_weight_that_is_used_twice_is_one_layer(kind):
    model = network(kind(name="own"), calls=2)
    opened = opening(model, leaves=True).model
    assert_equal(model, opened, example(opened))
    (layer,) = (x for x in opened.layers if x.name.endswith("own.w"))
    assert type(layer) is CASES[kind] and len(layer._inbound_nodes) == 2


def test_a_weight_that_is_used_otherwise_too_stays_a_weight():
    class Both(Product):
        def call(self, x):
            return ops.matmul(x, self.w) + ops.mean(self.w)

    model = network(Both(name="own"))
    opened = opening(model, leaves=True).model
    assert_equal(model, opened, example(opened))
    assert not any(isinstance(x, L.Dense) and "own" in x.name for x in opened.layers)
