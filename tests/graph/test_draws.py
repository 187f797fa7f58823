"""Layers that draw random numbers by hand are opened like others."""

import pickle
import random as python_random
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops, random

import hh_keras as hh
from hh_keras.graph.opening.inline import inline, opening
from hh_keras.models.saving import check_can_be_saved
from tests.graph.test_inline import values
from tests.noisy_zoo import NOISY, Draws, DropPath, OwnNoise
from tests.surgery.test_invariants import assert_same, random_plan
from tests.zoo import example, randomize

pytestmark = [
    pytest.mark.filterwarnings("ignore:no rule for"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(params=sorted(NOISY))
def model(request):
    keras.utils.set_random_seed(0)
    return randomize(NOISY[request.param]())


def in_turn(model, x, modes=(False, True, True, False)):
    """Outputs of several calls, one after the other; Keras' generator starts anew."""
    keras.utils.set_random_seed(5)
    return [y for training in modes for y in values(model(x, training=training))]


def assert_equal(a, b, x, modes=(False, True, True, False)):
    for y, z in zip(in_turn(a, x, modes), in_turn(b, x, modes), strict=True):
        assert y.dtype == z.dtype
        np.testing.assert_array_equal(y, z)


@pytest.mark.parametrize("leaves", [True, False])
def test_they_give_the_same_numbers_call_by_call(model, leaves):
    found = opening(model, leaves=leaves)
    assert not found.closed
    if leaves:
        kinds = {kind for _, kind in found.opened}
        assert kinds and not kinds & {type(x).__name__ for x in found.model.operations}
    assert found.model.count_params() == model.count_params()
    assert len(found.model.weights) == len(model.weights)
    if found.model is not model:
        assert_equal(model, found.model, example(found.model))


def test_drawing_outside_training_is_nothing_but_what_the_class_draws(model):
    """Numbers that are needed in training only do not move the generator."""
    opened, x = inline(model), example(inline(model))
    assert_equal(model, opened, x, (False, False, False, True))
    tf_call = tf.function(lambda x: opened(x, training=True))
    keras.utils.set_random_seed(5)
    a = values(model(x, training=True))
    keras.utils.set_random_seed(5)
    for y, z in zip(a, values(tf_call(x)), strict=True):
        np.testing.assert_allclose(y, z, rtol=1e-3, atol=1e-3)


def test_they_shrink(model):
    model = inline(model)
    x, plan = example(model), random_plan(model, share=0.5)
    assert_equal(model, hh.rebuild(model, random_plan(model, share=2.0)), x)
    masked, small = (
        in_turn(make(model, plan), x, [False]) for make in (hh.mask, hh.rebuild)
    )
    assert_same(masked, small, 5e-3 if "half" in model.name else 1e-5)
    shapes = [y.shape for y in in_turn(hh.rebuild(model, plan), x)]
    assert shapes == [y.shape for y in in_turn(model, x)]


def test_files_tell_all_of_them(model, tmp_path):
    """What is loaded has the channels of what was saved."""
    model = inline(model)
    check_can_be_saved(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    groups = [
        [(g.name, len(g), g.frozen) for g in hh.trace(each).groups]
        for each in (model, loaded)
    ]
    assert groups[0] == groups[1]


def test_they_train_as_before(model):
    opened = inline(model)
    x = example(opened, batch=4)
    y = np.ones((4, *opened.outputs[0].shape[1:]), "float32")
    weights = []
    for each in (model, opened):
        keras.utils.set_random_seed(1)
        each.compile(keras.optimizers.SGD(1e-2), loss="mse")
        losses = [each.train_on_batch(x, y) for _ in range(2)]
        weights.append([*losses, *sorted(np.sum(w) for w in each.get_weights())])
    np.testing.assert_allclose(*weights, rtol=1e-3, atol=1e-4)


LOAD = """
import pickle, sys
import keras, numpy as np
import hh_keras
for name in sys.argv[2:]:
    model = keras.models.load_model(f"{sys.argv[1]}/{name}.keras", compile=False)
    x, expected = pickle.load(open(f"{sys.argv[1]}/{name}.pickle", "rb"))
    keras.utils.set_random_seed(5)
    given = [model(x, training=t) for t in (False, True, True, False)]
    for a, b in zip(given, expected, strict=True):
        assert np.array_equal(np.asarray(a, "float32"), b), name
assert "tests.noisy_zoo" not in sys.modules
"""


@pytest.mark.slow
def test_files_go_on_where_the_generator_was(tmp_path):
    # The noise of Keras' own layers starts anew in a file.
    names = [name for name in NOISY if name != "a_second_head_in_training"]
    for name in names:
        model = randomize(inline(NOISY[name]()))
        x = np.asarray(example(model))
        in_turn(model, x)
        model.save(tmp_path / f"{name}.keras")
        expected = [y.astype("float32") for y in in_turn(model, x)]
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps((x, expected)))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path), *names],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", ["dropped_paths", "other_seeds_in_training"])
def test_they_are_served(name, tmp_path):
    model = inline(randomize(NOISY[name]()))
    x = example(model)
    model.export(str(tmp_path / "saved"), format="tf_saved_model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(served.serve(x), model(x), rtol=1e-4, atol=1e-5)


def test_phones_know_nothing_of_what_is_drawn_in_training(tmp_path):
    model = inline(randomize(NOISY["dropped_paths"]()))
    path = tmp_path / "model.tflite"
    model.export(str(path), format="litert", verbose=False)
    interpreter = tf.lite.Interpreter(str(path))
    kinds = {op["op_name"] for op in interpreter._get_ops_details()}
    assert not any("RANDOM" in k.upper() or "VAR" in k for k in kinds)


class Function(Draws):
    """One function of `keras.random`."""

    def __init__(self, text, **kwargs):
        super().__init__(**kwargs)
        self.code = compile(text, text, "eval")

    def call(self, x):
        known = {"random": random, "ops": ops, "x": x, "seed": self.seed_generator}
        y = eval(self.code, {**known, "backend": keras.src.backend})
        return y if y.dtype == x.dtype else ops.cast(y, x.dtype)


FUNCTIONS = """
    random.normal((3,), seed=seed)
    random.normal(ops.shape(x), x, 2.0, seed=seed)
    random.normal([2 * ops.shape(x)[0], 4], dtype="float16", seed=seed)
    random.normal((4, ops.shape(x)[0]), seed=seed)
    random.normal((4,), seed=seed) * x - random.normal((1, 1), seed=seed)
    random.uniform((ops.shape(x)[0], 1), -1, 2, seed=seed)
    random.truncated_normal(ops.shape(x), 1.0, 0.2, seed=seed)
    random.randint((ops.shape(x)[0],), 0, 9, seed=seed)
    random.gamma((ops.shape(x)[0], 4), ops.abs(x) + 1, seed=seed)
    random.beta((ops.shape(x)[0], 4), 1.5, ops.abs(x) + 1, seed=seed)
    random.binomial(ops.shape(x), 4.0, 0.3, seed=seed)
    random.categorical(x, 5, seed=seed)
    random.categorical(x, 5, dtype="int64", seed=seed)
    random.dropout(x, 0.4, seed=seed)
    random.dropout(x, 0.4, (ops.shape(x)[0], 1), seed=seed)
    random.dropout(x, 0.0, seed=seed)
    random.shuffle(x, seed=seed)
    random.shuffle(x, axis=-1, seed=seed)
    backend.random.normal(ops.shape(x), seed=seed)
    random.normal(ops.shape(x), seed=3)
    random.randint((4,), 0, 9, seed=-3)
    random.uniform(ops.shape(x))
    random.shuffle(x, seed=2**31 + 5)
"""


@pytest.mark.parametrize("text", [t.strip() for t in FUNCTIONS.strip().splitlines()])
def test_functions_that_draw(text):
    i = keras.Input((4,))
    model = keras.Model(i, Function(text)(L.Dense(4)(i)))
    found = opening(model)
    assert found.opened and not found.closed
    assert_equal(model, found.model, example(model, batch=3))
    plan = random_plan(found.model, share=0.5)
    masked, small = (
        in_turn(make(found.model, plan), example(model), [False])
        for make in (hh.mask, hh.rebuild)
    )
    assert_same(masked, small)


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        ("noise_in_training", ()),
        ("noise_whose_sizes_are_numbers", ()),
        ("dropped_paths_of_one_generator", ()),
        ("dropout_by_hand", ()),
        ("shuffled_rows", ()),
        ("numbers_for_every_channel", ("others if there are fewer",)),
    ],
)
def test_channels_that_meet_random_numbers(name, frozen):
    """Noise of training follows them; noise of any time has the size that it has."""
    channels = hh.trace(inline(NOISY[name]()))
    reasons = {
        g.frozen for g in channels.groups if g.frozen and "model " not in g.frozen
    }
    assert len(reasons) == len(frozen)
    for reason, text in zip(sorted(reasons), frozen):
        assert text in reason


# What stays closed --------------------------------------------------------------------


class OtherSize(Draws):
    """Tokens are left out in training, so what follows has another size."""

    def call(self, x, training=None):
        if training:
            x = random.shuffle(x, axis=1, seed=self.seed_generator)[:, :4]
        return x


class Unordered(Draws):
    def call(self, x):
        seed = self.seed_generator.next(ordered=False)
        return x + tf.random.stateless_normal((6,), ops.cast(seed, "int32"))


class OfTensorFlow(L.Layer):
    """Numbers that are the same at nearly every call."""

    def call(self, x):
        shape = (tf.shape(x)[0], 1, 1, 1)
        return x * tf.floor(0.999 + tf.random.uniform(shape))


class OfSymbols(L.Layer):
    def call(self, x, training=None):
        return tf.nn.dropout(x, 0.3) - x if training else x


class OfTensorFlowsGenerator(L.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.generator = tf.random.Generator.from_seed(1)

    def call(self, x):
        return x * tf.floor(0.999 + self.generator.uniform(()))


class OfPython(L.Layer):
    def call(self, x, training=None):
        return x * 2.0 if training and python_random.random() < 0.999 else x


class OfNumpy(L.Layer):
    def call(self, x):
        return x * float(np.random.rand() < 0.999)


class UnknownSize(Draws):
    def call(self, x):
        shape = (ops.shape(x)[0], ops.shape(x)[1], 1, 1)
        return x * random.uniform(shape, seed=self.seed_generator)


class StatisticsInOneMode(L.Layer):
    """Batch statistics that move outside training only."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.norm = L.BatchNormalization()

    def call(self, x, training=None):
        return x * 2.0 if training else self.norm(x)


@pytest.mark.parametrize(
    ("layer", "size", "why"),
    [
        (OtherSize, 8, "does something else in training that no graph can"),
        (Unordered, 8, "takes seeds of .* out of their order"),
        (OfTensorFlow, 8, "whose state only TensorFlow knows"),
        (OfSymbols, 8, "whose state only TensorFlow knows"),
        (OfTensorFlowsGenerator, 8, "whose state only TensorFlow knows"),
        (OfPython, 8, "draws numbers with Python's random"),
        (OfNumpy, 8, "draws numbers with numpy"),
        (UnknownSize, None, "draws numbers of a shape that is not known"),
        (StatisticsInOneMode, 8, "calls 'batch_normalization.*' outside training only"),
    ],
)
def test_what_cannot_be_a_graph_stays_closed(layer, size, why):
    i = keras.Input((size, size, 3))
    x = OwnNoise(name="noise")(L.Conv2D(6, 3, padding="same")(i))
    x = layer(name="odd")(x)
    model = keras.Model(i, L.GlobalAveragePooling2D()(x))
    found = opening(model)
    assert [kind for _, kind in found.opened] == ["OwnNoise"]
    assert [name for name, *_ in found.closed] == ["odd"]
    assert re.search(why, found.closed[0][2])


def test_a_generator_that_a_closed_layer_draws_from_too():
    generator = random.SeedGenerator(2)
    i = keras.Input((8, 8, 6))
    x = DropPath(generator)(i)
    x = hh.keep_closed(DropPath(generator, name="shut"))(x)
    found = opening(keras.Model(i, x))
    assert not found.opened
    assert "draws from the generator of 'shut'" in found.closed[-1][2]
