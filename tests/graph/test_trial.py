"""What trials find out about layers that have no rule."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops

import hh_keras as hh
from hh_keras.graph.closed import all_closed


def traced(layer, shape=(8, 8, 3)):
    """The group of a convolution's channels that a layer reads, and warnings."""
    i = keras.Input(shape)
    x = L.Dense(8, name="before")(i)
    x = L.Dense(3)(layer(x))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with all_closed():
            group = hh.trace(keras.Model(i, x)).group("before")
    return group, [str(w.message) for w in seen if "frozen" in str(w.message)]


def layer(call, **methods):
    """An instance of a layer class that holds no config of its own."""
    return type("Own", (L.Layer,), {"call": call, **methods})()


PASSES = {
    "scale": lambda s, x: x * 3.0,
    "gain by position": lambda s, x: x * ops.reshape(ops.arange(8.0), (8, 1, 1)),
    "instance normalisation": lambda s, x: (
        (x - ops.mean(x, (1, 2), True)) / (ops.std(x, (1, 2), True) + 1e-3)
    ),
    "blur": lambda s, x: (x + ops.roll(x, 1, 1) + ops.roll(x, 1, 2)) / 3.0,
    "of tensorflow": lambda s, x: tf.nn.leaky_relu(tf.reverse(x, [1])),
}
MIXES = {
    "softmax": lambda s, x: ops.softmax(x),
    "mean": lambda s, x: x - ops.mean(x, -1, keepdims=True),
    "shuffle": lambda s, x: ops.take(x, np.arange(8)[::-1].copy(), axis=-1),
    "neighbours": lambda s, x: x + ops.roll(x, 1, -1),
    "count": lambda s, x: x / x.shape[-1],
    "first half": lambda s, x: ops.where(ops.arange(x.shape[-1]) < 4, x, -x),
    "rows with a zero": lambda s, x: (
        x + ops.cast(ops.any(x == 0, -1, keepdims=True), x.dtype)
    ),
    "empty rows": lambda s, x: ops.where(ops.all(x == 0, -1, keepdims=True), 1.0, x),
    "maximum": lambda s, x: ops.where(x == ops.max(x, -1, keepdims=True), x, 0.0),
}


@pytest.mark.parametrize("name", PASSES)
def test_layers_that_work_channel_by_channel_let_channels_leave(name):
    group, seen = traced(layer(PASSES[name]))
    assert group.frozen is None and not seen


@pytest.mark.parametrize("name", MIXES)
def test_layers_that_mix_channels_are_frozen_with_what_was_seen(name):
    group, (message,) = traced(layer(MIXES[name]))
    assert group.frozen and "(Own)" in message
    assert "channels" in message and "register_rule" in message


class Table(L.Layer):
    """Looks integers up: as many channels as it is told."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width

    def build(self, shape):
        self.table = self.add_weight((9, self.width), name="table")

    def call(self, x):
        return ops.take(self.table, x, axis=0)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def test_what_looks_integers_up_makes_channels():
    i = keras.Input((5,), dtype="int32")
    x = L.Dense(3)(Table(8, name="table")(i))
    with all_closed():
        group = hh.trace(keras.Model(i, x)).group("table")
    assert group.frozen is None and len(group) == 8


def test_random_layers_are_noticed():
    noisy = layer(lambda s, x: x + keras.random.normal(ops.shape(x)))
    assert "other numbers at every call" in traced(noisy)[0].frozen


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.02])
def test_layers_that_drop_now_and_then_in_training_pass_channels(rate):
    def call(self, x, training=False):
        if not training:
            return x
        shape = (ops.shape(x)[0], 1, 1, 1)
        return x * ops.floor(1 - rate + keras.random.uniform(shape)) / (1 - rate)

    for _ in range(5):
        group, seen = traced(layer(call))
        assert group.frozen is None and not seen


def test_what_mixes_channels_in_training_alone_is_frozen():
    def call(self, x, training=False):
        return x - ops.mean(x, -1, keepdims=True) if training else x

    assert "not their own" in traced(layer(call))[0].frozen


def test_a_trial_leaves_the_layer_as_it_is():
    class Counted(L.Layer):
        ran = 0

        def build(self, shape):
            self.gain = self.add_weight(shape=(shape[-1],), name="gain")
            self.steps = self.add_weight((), "zeros", name="steps", trainable=False)

        def call(self, x):
            self.steps.assign(self.steps + 1.0)
            return x * self.gain

    counted = Counted()
    group, _ = traced(counted)
    assert "state that changes" in group.frozen
    assert float(counted.steps) == 0.0


def test_what_a_trial_prints_is_not_shown(capsys):
    group, _ = traced(layer(lambda s, x: print("hello") or x * 2.0))
    capsys.readouterr()  # building the model prints; tracing it again does not
    traced_again = traced(layer(lambda s, x: x * 2.0))[0]
    assert group.frozen is None and traced_again.frozen is None


def test_numbers_that_overflow_prove_nothing():
    group, _ = traced(layer(lambda s, x: x / (x - x)))
    assert "NaN" in group.frozen


def test_layers_of_many_numbers_are_not_tried():
    huge = layer(lambda s, x: x + 0.5)
    group, _ = traced(huge, (2000, 400, 2))
    assert "too large to be tried" in group.frozen


def test_a_layer_of_two_tensors_ties_their_channels():
    class Mixed(L.Layer):
        def call(self, a, b):
            return ops.maximum(a, b) - 0.5 * ops.minimum(a, b)

    i = keras.Input((8,))
    x, y = L.Dense(6, name="x")(i), L.Dense(6, name="y")(i)
    channels = hh.trace(keras.Model(i, L.Dense(2)(Mixed()(x, y))))
    assert channels.group("x").producers == ("x", "y")
    assert channels.group("x").frozen is None


def test_a_function_that_is_not_known_is_tried_too():
    i = keras.Input((8,))
    x = L.Dense(6, activation=lambda t: t / (1 + ops.abs(t)), name="own")(i)
    x = L.Dense(5, activation=lambda t: t / ops.sum(t, -1, True), name="mixed")(x)
    channels = hh.trace(keras.Model(i, L.Dense(2)(x)))
    assert channels.group("own").frozen is None
    assert "works across channels" in channels.group("mixed").frozen


class Soft(L.Layer):
    """Two of one class and one config may do different things."""

    mixes = False

    def call(self, x):
        return ops.softmax(x) if "soft" in self.name else ops.relu(x)


def test_a_trial_speaks_of_one_layer_only():
    assert traced(Soft(name="plain"))[0].frozen is None
    assert traced(Soft(name="soft"))[0].frozen


def clipped(s, x):
    norm = ops.sqrt(ops.sum(ops.square(x), -1, keepdims=True))
    return x * ops.minimum(1.0, 60.0 / norm)


SELDOM = {
    "clipped by a large norm": clipped,
    "another number of channels": lambda s, x: x * (2.0 if x.shape[-1] > 2 else 3.0),
    "the largest eight": lambda s, x: ops.where(
        x >= ops.min(ops.top_k(x, min(8, x.shape[-1]))[0], -1, keepdims=True), x, 0.0
    ),
}


@pytest.mark.parametrize("name", SELDOM)
def test_what_shows_at_other_sizes_and_scales_only_is_found(name):
    assert traced(layer(SELDOM[name]))[0].frozen


def test_mixing_in_training_only_is_found():
    class Trained(L.Layer):
        def call(self, x, training=False):
            return x - ops.mean(x, -1, keepdims=True) if training else x

    assert traced(Trained())[0].frozen


def test_a_gate_that_is_zero_is_opened_for_the_trial():
    class Gated(L.Layer):
        def build(self, shape):
            self.gate = self.add_weight((), "zeros", name="gate")

        def call(self, x):
            return x + self.gate * ops.mean(x, -1, keepdims=True)

    for policy in ("float32", "bfloat16"):
        assert traced(Gated(dtype=policy))[0].frozen


def test_outputs_leave_though_inputs_stay_and_that_is_said():
    class Standardised(L.Dense):
        def call(self, x):
            return super().call(x / (ops.std(x, -1, keepdims=True) + 1.0))

    i = keras.Input((6,))
    x = Standardised(7, name="made")(L.Dense(8, name="read")(i))
    model = keras.Model(i, L.Dense(2)(x))
    with pytest.warns(UserWarning, match="'made'.*input channels together"):
        channels = hh.trace(model)
    assert channels.group("made").frozen is None
    assert channels.group("read").frozen


def test_looking_up_classes_of_an_input_ends_in_no_error():
    i = keras.Input((6,), dtype="int32")
    x = L.GlobalAveragePooling1D()(ops.one_hot(i, 9))
    model = keras.Model(i, L.Dense(2)(L.Dense(5, name="free")(x)))
    assert hh.trace(model).group("free").frozen is None


def test_what_is_known_of_a_layer_is_explained():
    def explained(name):
        i = keras.Input((8, 8, 3))
        x = L.BatchNormalization(name="norm")(L.Conv2D(6, 3, name="conv")(i))
        own = layer(MIXES.get(name) or PASSES[name])
        own.name = "own"
        x = L.GlobalMaxPooling2D()(own(x))
        with warnings.catch_warnings(), all_closed():
            warnings.simplefilter("ignore")
            text = hh.trace(keras.Model(i, L.Dense(2)(x))).explain("[nco]*")
        lines = [line.split(None, 3) for line in text.splitlines()[2:]]
        return {path: (by, does) for path, _, by, does in lines}

    found = explained("scale")
    assert found["conv"] == ("rule", "makes 6; reads 3; kernel, bias follow")
    assert found["norm"][1].startswith("passes them on; gamma, beta")
    assert found["own"] == ("trial", "passes them on")
    found = explained("softmax")
    assert found["own"][0] == "trial" and found["own"][1].startswith(
        "keeps them: every"
    )
    assert found["conv"] == ("rule", "makes 6; reads 3")
    assert set(found) == {"conv", "norm", "own"}


def test_what_is_random_now_and_then_only_is_random():
    class Path(L.Layer):
        """Drops an example's channels, seldom."""

        def call(self, x, training=False):
            if not training:
                return x
            seed = keras.random.uniform((ops.shape(x)[0], *[1] * (len(x.shape) - 1)))
            return ops.where(seed > 0.05, x, 0.0)

    for _ in range(8):  # it shows, or not, by chance
        assert traced(Path())[0].frozen is None


def test_a_layer_that_was_changed_is_tried_again():
    own = layer(lambda s, x: x - s.share * ops.mean(x, -1, keepdims=True))
    own.share = 0.0
    i = keras.Input((8, 3))
    model = keras.Model(i, L.Dense(3)(own(L.Dense(8, name="before")(i))))
    assert hh.trace(model).group("before").frozen is None
    own.share = 1.0
    with all_closed(), pytest.warns(UserWarning, match="not their own"):
        assert hh.trace(model).group("before").frozen


class Averages(L.Layer):
    """A batch normalisation of one's own."""

    def build(self, shape):
        self.mean = self.add_weight(name="mean", shape=shape[-1:], trainable=False)

    def call(self, x, training=None):
        if training:
            mean = ops.mean(x, (0, 1, 2))
            self.mean.assign(0.9 * self.mean + 0.1 * mean)
            return x - mean
        return x - self.mean


def test_what_changes_in_training_only_is_taken_back():
    group, seen = traced(Averages())
    assert group.frozen is None and not seen


def test_mixing_far_out_is_seen():
    far = layer(lambda s, x: ops.where(x > 4000.0, ops.max(x, -1, keepdims=True), x))
    assert "not their own" in traced(far)[0].frozen


def test_layers_of_one_channel_are_no_news():
    i = keras.Input((6, 1))
    odd = layer(lambda s, x: x - ops.mean(x, -1, keepdims=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        hh.trace(keras.Model(i, odd(L.Dense(1)(i))))
