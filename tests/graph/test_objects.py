"""What hangs on the objects of a model, and not on its configs."""

import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops

import hh_keras as hh
from hh_keras.graph.closed import all_closed


def keep_all(model, **settings):
    channels = hh.trace(model)
    return hh.rebuild(
        model, hh.Plan.of(channels, np.ones(channels.size, bool)), **settings
    )


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_fresh_weights_leave_adapted_statistics_alone():
    norm = L.Normalization()
    norm.adapt(50 + 9 * numbers(200, 4))
    i = keras.Input((4,))
    model = keras.Model(i, L.Dense(2)(L.Dense(8, "relu")(norm(i))))
    wide = hh.widen(model, 2.0)
    found = hh.shrink(model, budget=hh.Budget(params=45))
    for each in (wide, found.model, keep_all(model, weights="fresh")):
        (layer,) = [x for x in each.layers if isinstance(x, L.Normalization)]
        np.testing.assert_array_equal(layer.mean, norm.mean)
        np.testing.assert_array_equal(layer.variance, norm.variance)


def test_fresh_weights_are_drawn_only_where_they_are_trained():
    i = keras.Input((8, 8, 3))
    frozen = L.Conv2D(8, 3, trainable=False, name="frozen")
    x = L.BatchNormalization(trainable=False, name="norm")(frozen(i))
    x = L.GlobalAveragePooling2D()(L.Conv2D(8, 3, name="free")(L.ReLU()(x)))
    model = keras.Model(i, L.Dense(3)(x))
    frozen.kernel.assign(numbers(3, 3, 3, 8))
    wide = hh.widen(model, 2.0, seed=3)
    np.testing.assert_array_equal(wide.get_layer("frozen").kernel, frozen.kernel)
    assert wide.get_layer("free").filters == 16
    small = hh.shrink(model, budget=hh.Budget(params=500), min_keep=0.0).model
    kept = np.asarray(small.get_layer("frozen").kernel)
    columns = np.asarray(frozen.kernel).reshape(27, 8).T.tolist()
    assert all(c in columns for c in kept.reshape(27, -1).T.tolist())


def test_a_plan_is_known_by_names_in_any_order():
    i = keras.Input((6,))
    x = L.Dense(8, name="zulu")(i)
    model = keras.Model(i, L.Dense(2, name="end")(L.Dense(8, name="alpha")(x)))
    channels = hh.trace(model)
    keep = np.ones(channels.size, bool)
    keep[list(channels.group("zulu").ids)[3:]] = False
    plan = hh.Plan.of(channels, keep)
    text = json.dumps(json.loads(plan.to_json()), sort_keys=True)
    again = hh.Plan.from_json(text)
    assert again == plan and again.channels(model) == plan.channels(model)
    x = numbers(3, 6)
    np.testing.assert_array_equal(
        hh.rebuild(model, again)(x), hh.rebuild(model, plan)(x)
    )
    np.testing.assert_array_equal(hh.mask(model, again)(x), hh.mask(model, plan)(x))


def test_a_method_that_was_replaced_on_the_object_is_refused_by_name():
    layer = L.Dense(6, name="hooked")
    i = keras.Input((5,))
    model = keras.Model(i, L.Dense(2)(layer(i)))
    before = layer.call
    layer.call = types.MethodType(lambda self, x: before(x) + 1.0, layer)
    with pytest.raises(hh.ModelError, match="'call' of layer 'hooked'.*subclass"):
        with pytest.warns(UserWarning, match="hooked"):
            keep_all(model)


class Chosen(L.Layer):
    """A constructor that replaces a method does so for every layer made."""

    def __init__(self, twice=False, **kwargs):
        super().__init__(**kwargs)
        self.twice = twice
        if twice:
            self.call = lambda x: 2.0 * x

    def call(self, x):
        return x


def test_a_constructor_may_replace_methods():
    i = keras.Input((5,))
    model = keras.Model(i, L.Dense(2)(Chosen(twice=True)(L.Dense(6)(i))))
    x = numbers(2, 5)
    np.testing.assert_array_equal(model(x), keep_all(model)(x))
    assert hh.trace(model).removable_share > 0


def test_activations_that_are_layers_keep_their_weights():
    slope = L.PReLU(alpha_initializer="ones", shared_axes=[1, 2])
    i = keras.Input((6, 6, 3))
    x = L.Conv2D(4, 3, activation=slope, name="a")(i)
    model = keras.Model(i, L.Conv2D(4, 1, activation=slope, name="b")(x))
    hh.trace(model)  # leaves the layers unbuilt that it finds unbuilt
    x = numbers(2, 6, 6, 3)
    wanted = model(x)
    slope.alpha.assign(numbers(1, 1, 4))
    wanted, copy = model(x), keep_all(model)
    np.testing.assert_array_equal(wanted, copy(x))
    assert copy.get_layer("a").activation is copy.get_layer("b").activation
    assert copy.count_params() == model.count_params()


class Decoder(L.Layer):
    """Tied embeddings: answers by the vectors that its words are read with."""

    def __init__(self, embedding, **kwargs):
        super().__init__(**kwargs)
        self.embedding = embedding

    def call(self, x):
        return ops.matmul(x, ops.transpose(self.embedding.embeddings))


@pytest.mark.filterwarnings("ignore:.*are frozen")
def test_tied_embeddings_stay_tied_and_whole():
    embedding = L.Embedding(20, 8, name="words")
    i = keras.Input((7,), dtype="int32")
    x = L.Dense(8)(L.Dense(16, "relu", name="free")(embedding(i)))
    decoder = hh.keep_closed(Decoder(embedding, name="decoder"))
    model = keras.Model(i, decoder(x))
    channels = hh.trace(model)
    assert "shares 'embeddings'" in channels.group("words").frozen
    scores = np.arange(channels.size, dtype=float)
    small = hh.rebuild(
        model, hh.select_channels(channels, scores, hh.Budget(params=330))
    )
    assert small.get_layer("decoder").embedding is small.get_layer("words")
    assert small.count_params() < model.count_params()
    assert hh.cost(small).params == small.count_params()


def test_one_variable_in_two_layers_is_refused():
    class Scale(L.Layer):
        def __init__(self, weight, **kwargs):
            super().__init__(**kwargs)
            self.weight = weight

        def call(self, x):
            return x * self.weight

    weight = keras.Variable(np.ones(6, "float32"), name="common")
    i = keras.Input((6,))
    x = L.Dense(6)(Scale(weight, name="first")(i))
    model = keras.Model(i, L.Dense(2)(Scale(weight, name="second")(x)))
    refused = pytest.raises(hh.ModelError, match="'first' and 'second' share.*'common'")
    with all_closed(), refused:
        hh.trace(model)


def test_regularisers_of_weights_are_kept_as_they_act():
    i = keras.Input((5,))
    acts, not_yet = L.Dense(6), L.Dense(4)
    model = keras.Model(i, not_yet(acts(i)))
    acts.kernel.regularizer = keras.regularizers.L1(0.1)
    not_yet.kernel_regularizer = keras.regularizers.L2(0.1)
    copy = keep_all(model)
    assert [float(x) for x in copy.losses] == [float(x) for x in model.losses]
    assert len(copy.losses) == 1


def test_autocast_is_kept():
    i = keras.Input((5,))
    model = keras.Model(i, L.Dense(4, dtype="mixed_float16", autocast=False)(i))
    x = numbers(4, 5)
    np.testing.assert_array_equal(model(x), keep_all(model)(x))


def test_tables_of_words_are_kept():
    table = L.StringLookup()
    table.adapt(["red", "green", "blue"])
    i = keras.Input((3,), dtype="string")
    x = L.Flatten()(L.Embedding(4, 6)(table(i)))
    model = keras.Model(i, L.Dense(2)(L.Dense(8, "relu")(x)))
    words = ops.convert_to_tensor([["red", "blue", "grey"]])
    np.testing.assert_array_equal(model(words), keep_all(model)(words))
    small = hh.shrink(model, budget=hh.Budget(params=90), width=1).model
    assert small(words).shape == (1, 2)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_scales_are_as_precise_as_what_they_multiply(policy):
    i = keras.Input((8,))
    model = keras.Model(i, L.Dense(3)(L.Dense(9)(L.Dense(8, "tanh")(i))))
    channels, x = hh.trace(model), numbers(4, 8)
    plan = hh.Plan.of(
        channels, [k % 3 > 0 or k > 20 or k < 8 for k in range(channels.size)]
    )
    keras.config.set_dtype_policy(policy)
    try:
        masked, small = hh.mask(model, plan), hh.rebuild(model, plan)
        np.testing.assert_allclose(masked(x), small(x), atol=2e-6)
    finally:
        keras.config.set_dtype_policy("float32")


def test_scales_of_many_repeated_channels_are_written_once():
    i = keras.Input((32, 32, 3))
    model = keras.Model(i, L.Dense(4)(L.Flatten()(L.Conv2D(8, 1)(i))))
    scaled = hh.add_scales(model)
    layer = next(x for x in scaled.layers if isinstance(x, hh.ChannelScale))
    arguments = [node.arguments.kwargs for node in layer._inbound_nodes]
    assert any(len(a["ids"]) == 8 and a["times"] == 1024 for a in arguments)
    x = numbers(2, 32, 32, 3)
    np.testing.assert_allclose(model(x), scaled(x), atol=1e-5)


def test_a_loss_that_fails_names_the_batch():
    i = keras.Input((5,))
    model = keras.Model(i, {"only": L.Dense(3)(L.Dense(6)(i))})
    x = numbers(2, 5)
    ones = {"only": np.ones((2, 3), "float32")}
    assert hh.score_channels(model, [(x, ones)], "mse", "fisher").max() > 0
    with pytest.raises(hh.SearchError, match="search batch 2 cannot be computed"):
        hh.score_channels(model, [(x, ones), (x, np.ones((2, 7)))], "mse", "fisher")


class CentredGamma(L.BatchNormalization):
    """A property in place of a weight, and nothing else."""

    @property
    def gamma(self):
        held = self.__dict__.get("_gamma")
        return None if held is None else held - ops.mean(held)

    @gamma.setter
    def gamma(self, value):
        L.Layer.__setattr__(self, "_gamma", value)


@pytest.mark.filterwarnings("ignore:.*are frozen")
def test_a_property_in_place_of_a_weight_is_not_the_rule_of_its_class():
    i = keras.Input((5, 6))
    x = L.Conv1D(8, 3, name="before")(i)
    model = keras.Model(i, L.Dense(2)(L.GlobalMaxPooling1D()(CentredGamma()(x))))
    assert hh.trace(model).group("before").frozen


class Doubled(keras.Sequential):
    def call(self, x, **kwargs):
        return 2.0 * super().call(x, **kwargs)


def test_a_sequence_with_a_call_of_its_own_is_not_read_as_if_it_had_none():
    model = Doubled([keras.Input((4,)), L.Dense(6), L.Dense(2)])
    x = numbers(3, 4)
    try:
        copy = keep_all(model)
    except hh.ModelError as error:
        assert "Doubled" in str(error)
    else:
        np.testing.assert_array_equal(model(x), copy(x))


def test_a_layer_in_a_wrapper_and_outside_stays_one():
    shared = L.Conv2D(5, 3, name="shared")
    i, j = keras.Input((3, 8, 8, 2)), keras.Input((8, 8, 2))
    a = L.GlobalMaxPooling3D()(L.TimeDistributed(shared)(i))
    b = L.GlobalMaxPooling2D()(shared(j))
    model = keras.Model([i, j], L.Dense(2)(L.Concatenate()([a, b])))
    copy = keep_all(model)
    assert copy.count_params() == model.count_params() == hh.cost(model).params
    x = [numbers(2, 3, 8, 8, 2), numbers(2, 8, 8, 2)]
    np.testing.assert_array_equal(model(x), copy(x))


@pytest.mark.parametrize("how", ["lora", "int8"])
def test_adapters_inside_layers_are_refused_too(how):
    i = keras.Input((4, 6))
    inner = L.Dense(5)
    model = keras.Model(i, L.Dense(2)(L.TimeDistributed(inner, name="each")(i)))
    if how == "lora":
        inner.enable_lora(2)
    else:
        inner.quantize("int8")
    with pytest.raises(hh.ModelError, match="'each'"):
        hh.trace(model)


class Power(L.Layer):
    """What it does hangs on attributes that its config does not tell."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.exponent, self.hook = 1.0, None

    def call(self, x):
        y = ops.abs(x) ** self.exponent
        return y if self.hook is None else self.hook(y)

    def get_config(self):
        return super().get_config()


def test_attributes_that_no_config_tells_are_handed_on():
    i = keras.Input((5,))
    first, second = Power(), Power()
    first.exponent = 3.0
    second.hook = lambda y: y + 1.0
    x = L.Dense(6, name="free")(i)
    model = keras.Model(i, L.Dense(2)(second(L.Dense(6)(first(x)))))
    x = numbers(3, 5)
    np.testing.assert_array_equal(model(x), keep_all(model)(x))
    assert hh.trace(model).group("free").frozen is None


def test_a_model_over_the_same_layers_is_made_anew_with_them():
    class Coder(keras.Model):
        def train_step(self, data):
            return {"code": ops.mean(self.encoder(data))}

    i = keras.Input((5,))
    hidden = L.Dense(8, name="hidden")(i)
    model = Coder(i, L.Dense(5)(hidden))
    model.encoder = keras.Model(i, hidden)
    channels = hh.trace(model)
    keep = np.ones(channels.size, bool)
    keep[list(channels.group("hidden").ids)[:5]] = False
    small = hh.rebuild(model, hh.Plan.of(channels, keep))
    assert small.encoder is not model.encoder
    assert small.encoder.layers[-1] is small.get_layer("hidden")
    assert small.encoder(numbers(2, 5)).shape == (2, 3)


def test_nested_structures_are_matched_leaf_by_leaf():
    a, b, c = (keras.Input((n,), name=s) for n, s in ((4, "a"), (5, "b"), (6, "c")))
    x = L.Concatenate()([L.Dense(3)(a), L.Dense(3)(b), L.Dense(3)(c)])
    inner = keras.Model({"two": [a, b], "one": c}, L.Dense(4)(x))
    i = keras.Input((7,))
    parts = [L.Dense(n, name=f"d{n}")(i) for n in (4, 5, 6)]
    outputs = inner({"two": parts[:2], "one": parts[2]})
    model = keras.Model(i, L.Dense(2)(outputs))
    assert hh.trace(model).group("d6").frozen is None
    np.testing.assert_array_equal(model(numbers(2, 7)), keep_all(model)(numbers(2, 7)))


class Started(L.DepthwiseConv1D):
    """Gives its weights their start by itself."""

    def build(self, shape):
        super().build(shape)
        self.kernel.assign(keras.ops.ones_like(self.kernel))


class Counted(L.Layer):
    """Holds a variable that Keras does not know."""

    def build(self, shape):
        self.factor = tf.Variable(np.ones(shape[-1], "float32"))

    def call(self, x):
        return x * tf.convert_to_tensor(self.factor)


class Odd(keras.regularizers.Regularizer):
    def __call__(self, x):
        return 1e-2 * keras.ops.sum(keras.ops.square(x))


@pytest.mark.filterwarnings("ignore:.*are frozen")
@pytest.mark.parametrize("own", [lambda: Started(3), Counted], ids=["build", "tf"])
def test_what_a_layer_learnt_goes_along_however_it_began(own):
    i = keras.Input((9, 4))
    layer = own()
    model = keras.Model(i, L.Dense(2)(layer(L.Dense(6)(i))))
    for variable in [*model.weights, *vars(layer).values()]:
        if isinstance(variable, (keras.Variable, tf.Variable)):
            variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    x = np.random.default_rng(0).normal(size=(3, 9, 4)).astype("float32")
    for copy in (keep_all(model), hh.widen(model, 1, "preserve")):
        np.testing.assert_array_equal(model(x), copy(x))


def test_activity_regularisers_without_a_config_stay():
    i = keras.Input((4,))
    x = L.Dense(6, activity_regularizer=Odd(), name="own")(i)
    model = keras.Model(i, L.Dense(2)(x))
    copy, x = keep_all(model), np.ones((2, 4), "float32")
    model(x), copy(x)
    assert len(copy.losses) == 1
    assert float(copy.losses[0]) == pytest.approx(float(model.losses[0]))


class Plain(L.Layer):
    """Keras notes no name down where a constructor's other arguments are called so."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.options = {"times": 2.0}

    def call(self, x):
        return x * self.options["times"]


def test_names_stay_whatever_a_constructor_calls_its_other_arguments():
    i = keras.Input((8, 8, 3))
    x = Plain(name="given", trainable=False)(L.Conv2D(9, 3)(i))
    model = keras.Model(i, L.Dense(3)(L.GlobalAveragePooling2D()(x)))
    with all_closed():
        small = keep_all(model)
        assert [x.name for x in small.layers] == [x.name for x in model.layers]
        assert not small.get_layer("given").trainable
        found = hh.shrink(
            model, budget=hh.Budget(macs=0.6 * hh.cost(model).macs), weights="inherit",
            calibration=numbers(96, 8, 8, 3),
        )  # fmt: skip
    assert found.kept.share > 0


def test_a_layers_dicts_are_handed_on_and_tried_as_they_are():
    i = keras.Input((5,))
    layer = Plain()
    model = keras.Model(i, L.Dense(2)(layer(L.Dense(6)(i))))
    with all_closed():
        hh.trace(model)
        layer.options["times"] = -3.0
        small = keep_all(model)
    x = numbers(4, 5)
    np.testing.assert_array_equal(small(x), model(x))
    (other,) = [x for x in small.layers if isinstance(x, Plain)]
    layer.options["times"] = 0.0
    assert other.options == {"times": -3.0}
