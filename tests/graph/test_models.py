"""Kinds of models, and what of them must survive."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import hh_keras as hh


def keep_all(model):
    channels = hh.trace(model)
    return hh.rebuild(model, hh.Plan.of(channels, np.ones(channels.size, bool)))


def small(seed=0):
    keras.utils.set_random_seed(seed)
    i = keras.Input((8,))
    return keras.Model(i, L.Dense(3)(L.Dense(6, "relu", name="hidden")(i)))


def test_each_variable_keeps_whether_it_is_trained():
    i = keras.Input((8, 8, 3))
    x = L.BatchNormalization(name="norm")(L.Conv2D(6, 3, name="first")(i))
    base = keras.Model(i, L.Conv2D(5, 3, name="last")(x), name="base")
    base.trainable = False
    base.get_layer("last").trainable = True
    base.get_layer("norm").trainable = True
    base.get_layer("norm").beta.trainable = False
    j = keras.Input((8, 8, 3))
    model = keras.Model(j, L.Dense(2)(L.GlobalAveragePooling2D()(base(j))))
    copy = keep_all(model)
    names = [v.path for v in model.trainable_variables]
    assert [v.path for v in copy.trainable_variables] == names
    assert not any("first" in n or "beta" in n for n in names)
    assert copy.get_layer("base").trainable is False


@pytest.mark.parametrize("width, places", [(15, 2), (16, 16)])
def test_groups_of_sixteen_lose_places_and_narrower_ones_leave_whole(width, places):
    image = keras.Input((4, 4, 3))
    x = L.Conv2D(2 * width, 1, name="first")(image)
    x = L.Conv2D(4 * width, 1, groups=2, name="grouped")(x)
    channels = hh.trace(keras.Model(image, L.Dense(2)(L.Flatten()(x))))
    assert len(channels.group("first")) == places


class Penalised(keras.Model):
    """Its own loss, a metric and a layer of the graph as attributes."""

    def compute_loss(self, x=None, y=None, y_pred=None, *args, **kwargs):
        self.seen.update_state(ops.mean(y_pred))
        return ops.mean(ops.square(y - y_pred)) + self.weight

    @property
    def metrics(self):
        return [self.seen]


def test_a_model_that_trains_in_its_own_way_keeps_its_class():
    i = keras.Input((8,))
    hidden = L.Dense(6, "relu")
    model = Penalised(i, L.Dense(3)(hidden(i)))
    model.weight, model.seen, model.hidden = 7.0, keras.metrics.Mean("seen"), hidden
    copy = keep_all(model)
    assert type(copy) is Penalised and copy.weight == 7.0
    assert copy.hidden is not hidden and copy.hidden is copy.layers[1]
    assert copy.seen is not model.seen
    copy.compile("sgd")
    x = np.zeros((4, 8), "float32")
    copy.fit(x, copy.predict(x, verbose=0), verbose=0)
    assert float(copy.compute_loss(None, copy(x), copy(x))) == 7.0
    assert float(copy.seen.count) > 0 and float(model.seen.count) == 0


class Sequence(keras.Sequential):
    def train_step(self, data):
        return {"own": ops.convert_to_tensor(1.0)}


def test_a_sequence_that_trains_in_its_own_way_keeps_its_class():
    model = Sequence([keras.Input((8,)), L.Dense(6), L.Dense(2)])
    copy = keep_all(model)
    assert type(copy) is Sequence
    copy.compile("sgd", "mse")
    history = copy.fit(np.zeros((4, 8)), np.zeros((4, 2)), verbose=0).history
    assert history == {"own": [1.0]}


class Fragile(keras.Model):
    def __setattr__(self, name, value):
        if name == "_self_setattr_tracking" or not getattr(self, "ready", True):
            raise RuntimeError("not like this")
        super().__setattr__(name, value)

    def __new__(cls, *args, **kwargs):
        if not args and not kwargs:
            raise RuntimeError("not like this")
        return super().__new__(cls)

    def test_step(self, data):
        return {}


def test_a_class_that_cannot_be_kept_is_named():
    i = keras.Input((8,))
    try:
        model = Fragile(i, L.Dense(3)(L.Dense(6)(i)))
    except RuntimeError:
        pytest.skip("Keras itself makes it without arguments")
    with pytest.warns(UserWarning, match="Fragile with its own test_step"):
        assert type(keep_all(model)) is not Fragile


def test_adapters_and_integers_are_refused_at_once():
    model = small()
    model.get_layer("hidden").enable_lora(2)
    with pytest.raises(hh.ModelError, match="'hidden' .*LoRA.* Merge"):
        hh.trace(model)
    model = small()
    model.get_layer("hidden").quantize("int8")
    with pytest.raises(hh.ModelError, match="'hidden' .*int8.* quantise afterwards"):
        hh.trace(model)


def test_a_layer_without_a_config_is_copied_as_it_is():
    class Table(L.Layer):
        def __init__(self, rows, inner):
            super().__init__(name="table")
            self.inner = inner
            self.rows = self.add_weight(shape=rows, name="rows")

        def call(self, x):
            return self.inner(x + self.rows)

    i = keras.Input((5, 8))
    table = hh.keep_closed(Table((5, 8), L.Dense(8, kernel_regularizer="l2")))
    x = L.Dense(8)(L.Dense(16, "relu", name="free")(table(i)))
    model = keras.Model(i, L.Dense(2)(L.GlobalMaxPooling1D()(x)))
    with pytest.warns(UserWarning, match="'table'"):
        channels = hh.trace(model)
        plan = hh.select_channels(
            channels, np.arange(channels.size, dtype=float), hh.Budget(params=350)
        )
        rebuilt, masked = hh.rebuild(model, plan), hh.mask(model, plan)
    data = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    np.testing.assert_allclose(masked(data), rebuilt(data), atol=1e-5)
    young = rebuilt.get_layer("table")
    assert young.rows is not table.rows and len(young.weights) == len(table.weights)
    young.rows.assign(young.rows + 1.0)
    assert np.abs(np.asarray(young.rows) - np.asarray(table.rows)).min() > 0.5
    rebuilt.compile("sgd", "mse")
    rebuilt.fit(data, np.zeros((2, 2), "f"), verbose=0)
    assert len(rebuilt.losses) == 1


def test_losses_of_several_outputs_add_up():
    keras.utils.set_random_seed(0)
    i = keras.Input((8,))
    x = L.Dense(6)(i)
    model = keras.Model(i, {"a": L.Dense(2)(x), "b": L.Dense(1)(x)})
    inputs = np.random.default_rng(0).normal(size=(2, 8)).astype("float32")
    data = [(inputs, {"a": np.ones((2, 2), "f"), "b": np.ones((2, 1), "f")})]

    def both(y, out):
        return sum(ops.mean(ops.square(y[k] - out[k]), -1) for k in out)

    expected = hh.score_channels(model, data, both, "gradient")
    assert expected.shape == (hh.trace(model).size,) and expected.max() > 0
    for loss in (
        {"a": "mse", "b": "mse"},
        ["mse", "mse"],
        keras.losses.MeanSquaredError(),
    ):
        found = hh.score_channels(model, data, loss, "gradient")
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(hh.HHError, match="output 'b' has no loss"):
        hh.score_channels(model, data, {"a": "mse"}, "gradient")
