"""What layers cost whose channels stay, and what cannot be counted."""

import keras
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops

import hh_keras as hh

pytestmark = pytest.mark.filterwarnings("ignore:.*are frozen")


def macs(layer, shape):
    i = keras.Input(shape)
    model = keras.Model(i, layer(i))
    return hh.cost(model).macs


@pytest.mark.parametrize(
    "layer, shape, expected",
    [
        (lambda: L.SpectralNormalization(L.Dense(7)), (5,), 35),
        (lambda: L.LSTM(4), (6, 3), 6 * (3 * 16 + 4 * 16)),
        (lambda: L.GRU(5, return_sequences=True), (6, 3), 6 * (3 * 15 + 5 * 15)),
        (lambda: L.Bidirectional(L.SimpleRNN(4)), (6, 3), 2 * 6 * (3 * 4 + 4 * 4)),
        (lambda: L.TimeDistributed(L.LSTM(4)), (2, 6, 3), 2 * 6 * (48 + 64)),
        (lambda: L.TimeDistributed(L.Dense(4)), (6, 3), 6 * 12),
        (lambda: L.Lambda(lambda t: ops.matmul(t, t)), (3, 3), 27),
        (lambda: L.Lambda(lambda t: tf.matmul(t, t, transpose_a=True)), (6, 3), 54),
        (lambda: L.Lambda(lambda t: tf.matmul(t, t, transpose_b=True)), (6, 3), 108),
    ],
)
def test_layers_that_keep_their_channels_are_counted(layer, shape, expected):
    assert macs(layer(), shape) == expected


@pytest.mark.parametrize(
    "layer, expected",
    [
        # Weights, and at how many positions of 6 x 5 or of the output they are met.
        (lambda: L.Conv2D(4, (3, 1), 2), 2 * 3 * (3 * 6 * 4)),
        (lambda: L.Conv2D(4, 3, groups=2), 4 * 3 * (9 * 3 * 4)),
        (lambda: L.Conv2DTranspose(4, 3, 2), 6 * 5 * (9 * 6 * 4)),
        (lambda: L.DepthwiseConv2D(3, 2, depth_multiplier=2), 2 * 2 * (9 * 12)),
        (lambda: L.SeparableConv2D(4, 3), 4 * 3 * (9 * 6 + 6 * 4)),
        (lambda: L.Dense(4), 6 * 5 * (6 * 4)),
    ],
)
def test_kernels_are_counted_where_they_are_met(layer, expected):
    assert macs(layer(), (6, 5, 6)) == expected


def test_attention_is_counted():
    i = keras.Input((10, 8))
    model = keras.Model(i, L.MultiHeadAttention(2, 4)(i, i))
    assert hh.cost(model).macs == 4 * 10 * 8 * 8 + 2 * 2 * 10 * 10 * 4


class Loop(L.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], shape[-1]), name="kernel")

    def call(self, x):
        body = lambda k, y: (k + 1, ops.matmul(y, self.kernel))  # noqa: E731
        return ops.while_loop(lambda k, y: k < 3, body, (0, x))[1]


def looped():
    i = keras.Input((6,))
    return keras.Model(i, L.Dense(2)(L.Dense(4)(Loop(name="loop")(L.Dense(6)(i)))))


def test_what_cannot_be_counted_is_named():
    cost = hh.cost(looped())
    assert cost.uncounted == ("loop",)
    assert cost.macs == 36 + 24 + 8
    assert "unknown" in str(cost) and "+ unknown" in str(cost)


def test_a_budget_says_what_it_does_not_cover():
    model = looped()
    channels = hh.trace(model)
    scores = hh.score_channels(model, criterion="uniform")
    with pytest.warns(UserWarning, match="'loop'.*not covered"):
        plan = hh.select_channels(channels, scores, hh.Budget(macs=60))
    assert plan.notes["uncounted"] == ["loop"]
    quiet = hh.select_channels(channels, scores, hh.Budget(params=90))
    assert "uncounted" not in quiet.notes


def test_a_batch_of_fixed_size_counts_one_example():
    i = keras.Input(batch_shape=(4, 8, 8, 3))
    x = ops.reshape(L.Conv2D(5, 3)(i), (4 * 36, 5))
    model = keras.Model(i, L.Dense(2)(x))
    assert hh.cost(model).macs == 36 * 27 * 5 + 36 * 10


def test_sizes_reach_nested_models():
    backbone = keras.applications.MobileNetV2(
        include_top=False, weights=None, alpha=0.35
    )
    nested = keras.Sequential([keras.Input((64, 64, 3)), backbone])
    whole = keras.applications.MobileNetV2(
        (64, 64, 3), include_top=False, weights=None, alpha=0.35
    )
    assert hh.cost(nested).macs == hh.cost(whole).macs


def test_a_batch_on_another_axis_is_still_the_batch():
    i = keras.Input((6, 4))
    x = ops.transpose(L.Dense(8)(i), (1, 0, 2))  # time first
    x = ops.concatenate([x[:1, :], x], axis=0)
    x = ops.transpose(L.Dense(3)(x), (1, 0, 2))
    model = keras.Model(i, L.GlobalMaxPooling1D()(x))
    assert hh.cost(model).macs == 6 * 4 * 8 + 7 * 8 * 3


def test_fused_queries_keys_and_values_are_taken_apart():
    i = keras.Input((6, 8))
    x = ops.reshape(L.Dense(36)(i), (-1, 6, 3, 12))
    q, k, v = ops.unstack(ops.transpose(x, (2, 0, 1, 3)), axis=0)
    a = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1))))
    model = keras.Model(i, L.Dense(2)(ops.matmul(a, v)))
    assert hh.cost(model).macs == 6 * 8 * 36 + 2 * 36 * 12 + 6 * 12 * 2


def test_examples_that_a_lambda_joins_are_counted_together():
    i = keras.Input((5,))
    x = L.Lambda(lambda t: ops.reshape(t, (-1, 4, 5)))(i)  # four examples are one
    model = keras.Model(i, L.Dense(3)(L.Dense(8)(x)))
    assert hh.cost(model).macs == 5 * 8 + 8 * 3


def test_products_of_a_batch_with_itself_are_named():
    i = keras.Input((6,))
    z = keras.layers.Dense(4)(i)
    likeness = keras.ops.matmul(z, keras.ops.transpose(z))
    model = keras.Model(i, likeness)
    with pytest.raises(hh.ModelError, match="'matmul.*the examples of a batch"):
        hh.cost(model)
