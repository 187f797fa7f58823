"""Opening classes: what comes out is the same network, made of ordinary layers."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops

import hh_keras as hh
from hh_keras.errors import HHError, ModelError
from hh_keras.graph.closed import all_closed
from hh_keras.graph.opening.inline import inline, opening
from tests import class_zoo
from tests.class_zoo import CLASS_ZOO
from tests.graph.tensorflow_calls import CALLS
from tests.surgery.test_invariants import assert_same, random_plan
from tests.zoo import ZOO, example, randomize

pytestmark = [
    pytest.mark.filterwarnings("ignore:no rule for"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def build(name):
    if name.startswith("keras_hub"):
        pytest.importorskip("keras_hub")
    keras.utils.set_random_seed(0)
    return randomize(CLASS_ZOO[name]())


@pytest.fixture(params=sorted(CLASS_ZOO))
def name(request):
    return request.param


def values(outputs):
    outputs = [ops.convert_to_numpy(y) for y in keras.tree.flatten(outputs)]
    return [y.astype("float32") if y.dtype.kind == "V" else y for y in outputs]


def run(model, x, training):
    """Outputs and the sum of losses; the model's variables are as before."""
    before = [(v, np.asarray(v)) for v in model.variables]
    outputs = values(model(x, training=training))
    losses = float(sum(ops.sum(x) for x in model.losses))
    for variable, value in before:
        variable.assign(value)
    return outputs, losses


def assert_equal(model, opened, x):
    for training in (False, True):
        (a, loss), (b, same) = run(model, x, training), run(opened, x, training)
        for y, z in zip(a, b, strict=True):
            np.testing.assert_array_equal(y, z)
        assert loss == pytest.approx(same, rel=1e-5)


def test_opened_networks_give_the_same_numbers(name):
    model = build(name)
    before = [np.asarray(v) for v in model.variables]
    nodes = [len(x._inbound_nodes) for x in model._flatten_layers()]
    found = opening(model)
    assert found.model is not model and found.opened and not found.closed
    assert_equal(model, found.model, example(found.model))
    assert not found.unused
    assert found.model.count_params() == model.count_params()
    assert len(found.model.trainable_weights) == len(model.trainable_weights)
    kinds = {kind for _, kind in found.opened}
    left = {type(op).__name__ for op in found.model.operations}
    assert not left & kinds
    for a, b in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(a, np.asarray(b))
    assert nodes == [len(x._inbound_nodes) for x in model._flatten_layers()]


def _tuples(value):
    """Lists become tuples, which tf.data does not stack."""
    return tuple(value) if isinstance(value, list) else value


def test_opened_networks_train_as_before(name):
    """Two steps with the same seeds, data and optimiser, from the same weights."""
    model = build(name)
    opened = inline(model)
    x = example(opened, batch=4)
    y = keras.tree.map_structure(
        lambda t: np.ones((4, *t.shape[1:]), "float32"), opened._outputs_struct
    )
    pair = (tuple(x),) if name == "siamese" else (_tuples(x), _tuples(y))
    data = tf.data.Dataset.from_tensors(pair).repeat(2)
    # Without `training` in its call, Keras trains a class as outside training.
    opened._call_has_training_arg = model._call_has_training_arg
    histories = []
    for each in (model, opened):
        keras.utils.set_random_seed(1)
        loss = keras.tree.map_structure(lambda t: "mse", _tuples(y))
        each.compile(keras.optimizers.SGD(1e-3), loss=loss)
        history = each.fit(data, epochs=1, verbose=0).history
        histories.append(history["loss"][-1])
    assert np.isfinite(histories[0])
    assert histories[0] == pytest.approx(histories[1], rel=1e-4)


def test_names_say_where_a_layer_was():
    names = [op.name for op in inline(build("subclassed_resnet")).layers]
    assert {"stem.conv2d", "blocks_0.conv1", "blocks_1.shortcut", "head"} <= set(names)
    outer = inline(build("residual_blocks_in_a_functional_model"))
    names = {op.name for op in outer.layers}
    assert {"stem", "block_1.conv1", "block_2.bn2"} <= names


def test_what_is_shared_stays_shared():
    model = inline(build("blocks_called_twice"))
    names = [op.name for op in model.layers]
    assert sum(n.endswith("block.conv1") for n in names) == 1
    (conv,) = (op for op in model.layers if op.name.endswith("block.conv1"))
    assert len(conv._inbound_nodes) == 4


@pytest.mark.parametrize("pattern", ["chain", "nested_backbone", "unknown_layers"])
def test_what_has_nothing_to_open_is_left_alone(pattern):
    model = ZOO[pattern]()
    assert inline(model) is model


def test_a_class_can_be_kept_closed():
    model = build("residual_blocks_in_a_functional_model")
    with all_closed():
        assert inline(model) is model
    hh.keep_closed(model.get_layer("block_1"))
    found = opening(model)
    assert [n for n, _ in found.opened if n.startswith("block")] == ["block_2"]
    assert [(n, k) for n, k, _ in found.closed] == [("block_1", "ResidualBlock")]
    # So does all that is made of it.
    small = hh.rebuild(model, random_plan(model, share=0.5))
    assert [(n, k) for n, k, _ in opening(small).closed] == [
        ("block_1", "ResidualBlock")
    ]
    assert hh.trace(model).group("block_2.conv1").frozen is None
    assert "is to stay closed" in str(hh.trace(model).group("stem").frozen)


def test_a_class_can_be_kept_closed_for_good():
    @hh.keep_closed
    class Closed(class_zoo.ResidualBlock):
        pass

    i = keras.Input((8, 8, 4))
    model = keras.Model(i, L.Conv2D(3, 1)(Closed(4)(L.Conv2D(4, 3)(i))))
    found = opening(model)
    assert found.model is model and not found.opened
    ((_, kind, why),) = found.closed
    assert kind == "Closed" and why == "is to stay closed"
    with pytest.warns(UserWarning, match="not opened: is to stay closed"):
        assert hh.trace(model).removable_share == 0
    with pytest.raises(HHError, match="takes a class of layers or a layer"):
        hh.keep_closed(3)


def test_raw_weights_become_layers_and_are_named():
    found = opening(build("layer_scales_among_layers"))
    assert [layer.split(".")[-1] for _, layer in found.weights] == ["gamma", "gamma"]
    gated = opening(build("gated_units"))
    products = [x for x in gated.model.layers if x.name.endswith(".kernel")]
    assert [type(x) for x in products] == [L.Dense, L.Dense]
    assert all(x.kernel_regularizer is not None for x in products)
    assert len(gated.weights) == 4


def test_weights_that_no_call_uses_are_named():
    class Half(keras.Model):
        def __init__(self):
            super().__init__()
            self.used, self.unused = L.Dense(3), L.Dense(4)
            self.unused.build((None, 2))

        def call(self, x):
            return self.used(x)

    model = Half()
    model(np.zeros((1, 2)))
    assert opening(model).unused == tuple(v.path for v in model.unused.weights)


def test_numbers_that_grow_with_the_batch_are_the_batch():
    model = inline(build("subclassed_vision_transformer"))
    for batch in (1, 3, 8):
        assert model(np.zeros((batch, 8, 8, 3), "float32")).shape == (batch, 5)


def test_inputs_that_are_looked_up_are_integers():
    model = inline(build("tied_language_model"))
    assert {k: t.dtype for k, t in model.input.items()} == {
        "tokens": "int32",
        "weights": "float32",
    }


def test_masks_reach_the_loss():
    i = keras.Input((6,), dtype="int32")
    x = L.Embedding(20, 8, mask_zero=True)(i)
    x = class_zoo.TransformerBlock(8, 2, 12)(x)
    model = keras.Model(i, L.Dense(2)(x))
    opened, ids = inline(model), np.array([[3, 1, 4, 0, 0, 0], [2, 0, 2, 1, 0, 0]])
    expected = keras.src.backend.get_keras_mask(model(ids))
    mask = keras.src.backend.get_keras_mask(opened(ids))
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(mask, ids != 0)


class Growing(L.Layer):
    """Keeps features in a list, and in a dict, to which it adds as it goes."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = L.Conv2D(4, 3, padding="same")
        i = {k: keras.Input((8, 8, 4)) for k in "ab"}
        self.pair = keras.Model(i, L.Add()([i["a"], i["b"]]))

    def call(self, x):
        features, pair = [x], {"a": self.conv(x), "b": x}
        for _ in range(2):
            x = ops.relu(L.Concatenate()(features))
            features.append(x)
            pair["a"] = self.pair(pair)
        return L.Concatenate()([x, pair["a"]])


def test_lists_that_grow_are_taken_as_they_were():
    i = keras.Input((8, 8, 4))
    model = keras.Model(i, L.Dense(2)(Growing()(L.Conv2D(4, 1)(i))))
    found = opening(model)
    assert found.opened and not found.closed
    assert_equal(model, found.model, example(model))


def test_layers_that_hold_functions_have_names():
    i = keras.Input((8, 8, 3))
    x = L.Lambda(lambda x: x * 2.0, name="twice")(class_zoo.ResidualBlock(3)(i))
    found = opening(keras.Model(i, x))
    assert found.opened and found.model.get_layer("twice")


def test_files_hold_the_gelu_that_was_used(tmp_path):
    class Block(L.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            i = keras.Input((6,))
            self.inner = keras.Model(i, L.Dense(6, activation=ops.gelu)(i))
            self.outer = L.Dense(6, activation=ops.gelu)

        def call(self, x):
            return self.inner(self.outer(x))

    i = keras.Input((6,))
    model = randomize(keras.Model(i, Block()(i)))
    opened, x = inline(model), example(model)
    assert_equal(model, opened, x)
    for each in (opened, hh.rebuild(opened, random_plan(opened, 2.0))):
        each.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(model(x), loaded(x))


# What cannot be followed --------------------------------------------------------------


class Branch(L.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = L.Conv2D(4, 1)

    def call(self, x):
        return ops.cond(ops.mean(x) > 0, lambda: self.conv(x), lambda: self.conv(-x))


class Numpy(Branch):
    def call(self, x):
        if isinstance(x, tf.Tensor) and not tf.executing_eagerly():
            return self.conv(x)
        return self.conv(x) * float(np.mean(x))


class Draws(Branch):
    def call(self, x):
        return self.conv(x) + tf.random.normal((4,))


class SmallerInTraining(Branch):
    def call(self, x, training=None):
        return self.conv(x)[:, ::2] if training else self.conv(x)


class Counts(Branch):
    def call(self, x):
        return self.conv(x) / float(x.shape[0] or 1)


@pytest.mark.parametrize("kind", [Branch, Numpy, Draws, SmallerInTraining, Counts])
def test_what_cannot_be_followed_stays_closed(kind):
    i = keras.Input((8, 8, 3))
    x = class_zoo.ResidualBlock(4)(kind(name="odd")(L.Conv2D(6, 3)(i)))
    model = keras.Model(i, L.GlobalAveragePooling2D()(x))
    found = opening(model)
    ((name, class_name, why),) = found.closed
    assert (name, class_name) == ("odd", kind.__name__)
    assert kind.__name__ in why
    assert "residual_block" in "".join(n for n, _ in found.opened)
    assert found.model.get_layer("odd") is not model.get_layer("odd")
    if kind is not Draws:
        assert_equal(model, found.model, example(model))


def test_a_model_that_cannot_be_followed_is_refused_by_class_and_line():
    class Odd(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(3)

        def call(self, x):
            if ops.sum(x) > 0:
                x = -x
            return self.dense(x)

    model, x = Odd(), np.zeros((2, 4), "float32")
    model(x)
    with pytest.raises(ModelError, match=r"Odd.call in test_inline.py:\d+: .* values"):
        inline(model, inputs=x)


def test_a_model_that_is_not_built_is_refused():
    with pytest.raises(ModelError, match="call it once"):
        inline(class_zoo.ResNet())


def test_keras_is_as_before_afterwards():
    call, node = keras.Layer.__call__, keras.src.layers.layer.Node
    model = build("subclassed_resnet")
    inline(model)
    assert keras.Layer.__call__ is call and keras.src.layers.layer.Node is node
    assert type(keras.Input((3,)).shape) is tuple
    with pytest.raises(ValueError, match="KerasTensor"):
        tf.nn.relu(keras.Input((3,)))


# TensorFlow's functions ---------------------------------------------------------------


class Calls(keras.Model):
    def __init__(self, text):
        super().__init__()
        self.code = compile(text, text, "eval")

    def call(self, x):
        return eval(self.code, {"tf": tf, "x": x, "v": x[..., 0]})


@pytest.mark.parametrize("text", CALLS)
def test_functions_of_tensorflow(text):
    model = Calls(text)
    x = np.random.default_rng(0).uniform(0.1, 0.9, (2, 8, 8, 4)).astype("float32")
    expected = values(model(x))
    for a, b in zip(expected, values(inline(model)(x)), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


class ReadsOne(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4)

    def call(self, x):
        return self.dense(x["read"])


def test_an_input_that_nothing_reads_is_named_where_keras_refuses_it():
    model = ReadsOne()
    x = {"read": np.ones((2, 3), "float32"), "other": np.ones((2, 5), "float32")}
    expected = model(x)
    if keras.__version__.startswith("3.12."):
        with pytest.raises(ModelError, match="nothing reads its input 'other'.*3.15"):
            inline(model)
    else:
        np.testing.assert_array_equal(inline(model)(x), expected)


@pytest.mark.parametrize("name", ["depth_to_space", "space_to_depth"])
def test_pixels_are_shuffled_without_an_operation_for_it(name, monkeypatch):
    monkeypatch.delattr(ops, name, raising=False)  # as Keras 3.12
    model = Calls(f"tf.nn.{name}(x, 2)")
    x = np.random.default_rng(0).normal(size=(2, 6, 4, 8)).astype("float32")
    expected = model(x)
    graph = inline(model)
    kinds = {type(op).__name__ for op in graph.operations}
    assert kinds == {"InputLayer", "Reshape", "Transpose"}
    np.testing.assert_array_equal(graph(x), expected)


def test_most_functions_of_tensorflow_are_those_of_keras():
    """Then a file needs neither the class nor this package."""
    own = 0
    for text in CALLS:
        model = Calls(text)
        model(np.full((2, 8, 8, 4), 0.5, "float32"))
        kinds = {type(op).__name__ for op in inline(model).operations}
        own += "TensorFlowFunction" in kinds
    assert own < 0.25 * len(CALLS)


# Training of its own ------------------------------------------------------------------


def test_a_model_keeps_its_own_way_of_training(tmp_path):
    model = build("super_resolution")
    opened = inline(model)
    assert type(opened).train_step is type(model).train_step
    opened.save(tmp_path / "sr.keras")
    loaded = keras.models.load_model(tmp_path / "sr.keras")
    assert type(loaded) is type(keras.Model(opened.inputs, opened.outputs))
    hh.trace(opened)


def test_what_is_lost_of_a_way_of_training_is_said():
    class Own(class_zoo.VariationalAutoEncoder):
        def train_step(self, data):
            return {"loss": ops.mean(self.decoder(self.encoder(data)[2]))}

    model = Own()
    model(np.zeros((2, 8, 8, 3), "float32"))
    found = opening(model)
    assert any("Own.train_step uses self." in note for note in found.notes)
    assert type(found.model).train_step is keras.Model.train_step


# Layers that hold no layers -----------------------------------------------------------


class GatedHalves(L.Layer):
    def call(self, x):
        a, b = ops.split(x, 2, axis=-1)
        return a * b


class Shuffled(L.Layer):
    def call(self, x):
        n = x.shape[-1]
        x = ops.reshape(x, (-1, *x.shape[1:-1], 2, n // 2))
        return ops.reshape(ops.swapaxes(x, -1, -2), (-1, *x.shape[1:-2], n))


class Softened(L.Layer):
    def call(self, x):
        return ops.softmax(x - ops.max(x, -1, keepdims=True))


@pytest.mark.parametrize("kind", [GatedHalves, Shuffled, Softened])
def test_what_no_trial_takes_is_opened(kind):
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(6, 3, name="after")(kind(name="own")(L.Conv2D(8, 3, name="conv")(i)))
    model = keras.Model(i, L.Dense(2)(L.GlobalAveragePooling2D()(x)))
    channels = hh.trace(model)
    assert channels.group("conv").frozen is None
    assert any(name.startswith("own.") for name in channels.sites)
    plan, x = random_plan(model), example(model)
    assert_same(hh.mask(model, plan)(x), hh.rebuild(model, plan)(x))


class Doubled(L.Layer):
    def call(self, x):
        return 2.0 * x


def test_what_a_trial_takes_stays_what_it_is():
    i = keras.Input((8, 8, 3))
    model = keras.Model(i, L.Conv2D(3, 1)(Doubled(name="own")(L.Conv2D(4, 1)(i))))
    assert "own" in hh.trace(model).sites
    assert opening(model, leaves=False).model is model


class Flips(L.Layer):
    def call(self, x):
        return -x if ops.max(x) > 1 else x


class FlipsItsShape(Flips):
    def compute_output_shape(self, shape):
        return shape


class Outer(L.Layer):
    def __init__(self, inner):
        super().__init__()
        self.dense, self.inner = L.Dense(4), inner

    def call(self, x):
        return self.inner(self.dense(x))


class AroundClosed(keras.Model):
    def __init__(self, inner):
        super().__init__()
        self.outer, self.head = Outer(inner), L.Dense(2)

    def call(self, x):
        return self.head(self.outer(x))


def test_a_closed_layer_must_say_its_shape():
    x = np.ones((2, 3), "float32")
    model = AroundClosed(FlipsItsShape(name="flips"))
    model(x)
    found = opening(randomize(model), x)
    assert [n for n, *_ in found.closed] == ["flips"]
    assert_equal(model, found.model, x)
    model = AroundClosed(Flips(name="flips"))
    model(x)
    with pytest.raises(ModelError) as error:
        opening(model, x)
    said = (
        r"'flips' has to stay closed \(Flips.call in test_inline.py:\d+: Python needs"
    )
    assert re.search(said, str(error.value))
    assert "compute_output_shape" in str(error.value)


class Picky(keras.Model):
    """Takes positive numbers only."""

    def __init__(self):
        super().__init__()
        self.dense = L.Dense(3)

    def call(self, x):
        if hasattr(x, "numpy") and np.min(x) <= 0:
            raise ValueError("positive numbers only")
        return self.dense(ops.log(x))


class Noisy(L.Layer):
    def call(self, x):
        return x + tf.random.normal((4,))

    def compute_output_shape(self, shape):
        return shape


def test_what_could_not_be_compared_is_said():
    model, x = Picky(), np.ones((2, 4), "float32")
    model(x)
    (note,) = (n for n in opening(model, x).notes if "compared" in n)
    assert "Picky" in note and "raises ValueError" in note
    model = AroundClosed(Noisy())
    model(x)
    (note,) = (n for n in opening(model, x).notes if "compared" in n)
    assert "outside training and in training: it gives others every time" in note
    model = AroundClosed(FlipsItsShape())
    model(x)
    assert not opening(model, x).notes
