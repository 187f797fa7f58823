"""The properties that every model must keep, over one model per pattern.

Each is made, traced and rebuilt once for all of its tests: none of them may change it.
"""

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import hh_keras as hh
from hh_keras.graph import calls
from hh_keras.graph.cost_model import cost_model
from tests.zoo import ZOO, example, randomize, size

pytestmark = pytest.mark.filterwarnings("ignore:.*are frozen")


class Made:
    """A model of the zoo, and what is made of it, if it is asked for."""

    def __init__(self, name, folder):
        keras.utils.set_random_seed(0)
        self.model, self.path = randomize(ZOO[name]()), folder / "original.keras"

    @functools.cached_property
    def channels(self):
        return hh.trace(self.model)

    @functools.cached_property
    def plan(self):
        return random_plan(self.channels)

    @functools.cached_property
    def small(self):
        return hh.rebuild(self.model, self.plan)

    @functools.cached_property
    def saved(self):
        """Whether Keras itself can write it down and read it back."""
        model = self.model
        try:
            model.save(self.path)
            again = keras.models.load_model(self.path, safe_mode=False)
            assert_same(model(example(model)), again(example(model)), 1e-7)
        except (AssertionError, TypeError, ValueError, NameError, NotImplementedError):
            return False
        return True


@pytest.fixture(params=sorted(ZOO), scope="module")
def made_once(request, tmp_path_factory):
    return Made(request.param, tmp_path_factory.mktemp("saved"))


@pytest.fixture
def made(made_once):
    before = [np.asarray(v).copy() for v in made_once.model.variables]
    keras.utils.set_random_seed(0)
    yield made_once
    for a, v in zip(before, made_once.model.variables, strict=True):
        np.testing.assert_array_equal(a, np.asarray(v))


@pytest.fixture
def model(made):
    return made.model


@pytest.fixture
def saved(made):
    if not made.saved:
        pytest.skip("Keras does not read back the original either")
    return made


def random_plan(model, share=0.6, seed=0):
    channels = model if isinstance(model, hh.ChannelMap) else hh.trace(model)
    rng = np.random.default_rng(seed)
    keep = np.ones(channels.size, bool)
    for group in channels.groups:
        if not group.frozen:
            keep[group.ids.start : group.ids.stop] = rng.random(len(group)) < share
            keep[rng.choice(group.ids)] = True
    return hh.Plan.of(channels, keep)


def flat(outputs):
    return [np.asarray(y, "float64") for y in keras.tree.flatten(outputs)]


def assert_same(a, b, tolerance=1e-5):
    for x, y in zip(flat(a), flat(b), strict=True):
        assert x.shape == y.shape
        assert np.abs(x - y).max() <= tolerance * max(np.ptp(x), 1e-12)


def half(model):
    return any(
        w.dtype == "float16" or "mixed" in str(layer.dtype_policy.name)
        for layer in model.layers
        for w in layer.weights
    )


def tolerance(model):
    return 5e-3 if half(model) else 1e-5


def test_scales_of_one_change_nothing(model):
    x = example(model)
    assert_same(model(x), hh.add_scales(model)(x), tolerance(model))


def test_masked_equals_rebuilt(made):
    model, small, x = made.model, made.small, example(made.model)
    assert small.count_params() <= model.count_params()
    assert_same(hh.mask(model, made.plan)(x), small(x), tolerance(model))


def test_keeping_all_is_an_exact_copy(model):
    plan = random_plan(model, share=2.0)
    copy, x = hh.rebuild(model, plan), example(model)
    model = hh.inline(model, leaves=False)  # what no trial takes is opened
    assert [v.path for v in copy.weights] == [v.path for v in model.weights]
    for a, b in zip(copy.weights, model.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    for a, b in zip(flat(model(x)), flat(copy(x)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert copy.name == model.name
    assert [la.name for la in copy.layers] == [la.name for la in model.layers]


def test_predicted_cost_is_the_rebuilt_cost(made):
    model, small = made.model, made.small
    channels = hh.trace(model, size(model))
    kept = [len(made.plan.kept[g.name]) for g in channels.groups]
    macs, params = cost_model(channels)(kept)
    counted = hh.cost(small, size(model))
    assert round(macs) == counted.macs
    assert round(params) == counted.params == small.count_params()
    assert sum(r.macs for r in counted.layers) == counted.macs


def profiler_macs(model):
    """What TensorFlow's own profiler counts for one example."""
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2_as_graph as freeze,
    )

    signature = keras.tree.map_structure(
        lambda t: tf.TensorSpec((1, *(n or 8 for n in t.shape[1:])), t.dtype),
        model.inputs,
    )
    struct = (
        signature[0]
        if isinstance(model, keras.Sequential)
        else keras.tree.pack_sequence_as(model._inputs_struct, signature)
    )
    function = tf.function(lambda x: model(x, training=False))
    _, graph_def = freeze(function.get_concrete_function(struct))
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
        options = (
            tf.compat.v1.profiler.ProfileOptionBuilder(
                tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
            )
            .with_empty_output()
            .build()
        )
        options["show_name_regexes"] = [".*"]
        options["account_type_regexes"] = [
            "Conv2D",
            "Conv3D",
            "DepthwiseConv2dNative",
            "MatMul",
            "BatchMatMulV2",
            "Conv2DBackpropInput",
        ]
        profile = tf.compat.v1.profiler.profile(graph, cmd="op", options=options)
    return profile.total_float_ops / 2


PROFILED = [
    "chain",
    "residual",
    "dense_concat",
    "depthwise",
    "squeeze_excite",
    "flatten_head",
    "channel_shuffle",
    "multi_output_dict",
    "shared_layer",
    "nested_backbone",
    "split_and_slice",
    "group_norm",
    "any_size_shuffle",
    "normalised_shuffle",
    "input_minus_noise",
    "overridden_computation",
    "features_of_a_backbone",
    "inside_and_outside",
    "lambda_of_a_module",
    "backbone_of_any_size",
    "pixels_as_examples",
    "windows",
    "frames",
    "two_views_in_one_batch",
    "given_values",
    "own_layers",
    "own_producers",
    "time_distributed",
    "folded_by_a_lambda",
    "convnext",
    "normalised_over_channels",
    "heads_by_hand",
]


def test_grouped_convolutions_cost_their_kernel_at_every_position():
    """The profiler does not see them: Keras compiles them into a nested function."""
    rows = {r.name: r for r in hh.cost(ZOO["grouped_wide"]()).layers}
    (grouped,) = [
        r for r in rows.values() if r.output_shape[-1:] == (34,) and r.type == "Conv2D"
    ]
    assert grouped.macs == 6 * 6 * 3 * 3 * 16 * 34


@pytest.mark.parametrize("name", [name for name in PROFILED if name in ZOO])
def test_cost_agrees_with_the_profiler(name):
    model = ZOO[name]()
    small = hh.rebuild(model, random_plan(model))
    assert hh.cost(small, size(model)).macs == profiler_macs(small)


def test_every_weight_of_the_rebuilt_model_gets_a_gradient(made):
    small = hh.rebuild(made.model, made.plan)  # one to train
    x = example(small, batch=4)
    with tf.GradientTape() as tape:
        outputs = [
            tf.cast(y, "float32") for y in keras.tree.flatten(small(x, training=True))
        ]
        # Weights of the outputs, or the sum of a softmax would have no gradient.
        loss = tf.add_n(
            [
                tf.reduce_sum(tf.random.stateless_normal(y.shape, (1, 2)) * y)
                for y in outputs
            ]
        )
    variables = [v.value for v in small.trainable_variables]
    gradients = tape.gradient(loss, variables)
    missing = [
        v.path for v, g in zip(small.trainable_variables, gradients) if g is None
    ]
    assert not missing


def test_a_file_has_the_channels_of_its_model(saved):
    again = keras.models.load_model(saved.path, safe_mode=False)
    assert hh.trace(again).groups == saved.channels.groups


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_rebuilt_model_saves_and_loads(saved, tmp_path):
    small, x = saved.small, example(saved.model)
    path = tmp_path / "small.keras"
    small.save(path)
    loaded = keras.models.load_model(path, safe_mode=False)
    assert_same(small(x), loaded(x), 1e-7)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scaled_model_saves_and_loads(saved, tmp_path):
    model = saved.model
    if any(calls.is_graph(layer) for layer in model.layers):
        pytest.skip("documented: scales of nested models are folded before saving")
    scaled, x = hh.add_scales(model), example(model)
    scaled.save(tmp_path / "scaled.keras")
    loaded = keras.models.load_model(tmp_path / "scaled.keras", safe_mode=False)
    assert_same(scaled(x), loaded(x), 1e-7)
    assert len(loaded.weights) == len(scaled.weights)


def test_folding_scales_keeps_the_function(model):
    scaled, x = hh.add_scales(model), example(model)
    from hh_keras.surgery.channel_scale import scale_layer
    from hh_keras.surgery.scales import has_scales

    gamma = scale_layer(scaled).gamma
    gamma.assign(np.random.default_rng(3).uniform(0.5, 1.5, gamma.shape))
    folded = hh.fold_scales(scaled)
    assert not has_scales(folded)
    assert_same(scaled(x), folded(x), tolerance(model))


@pytest.mark.parametrize("factor", [1.5, 2.0])
def test_preserving_widening_keeps_the_function(model, factor):
    wide, x = hh.widen(model, factor, weights="preserve"), example(model)
    assert wide.count_params() >= model.count_params()
    assert_same(model(x), wide(x), tolerance(model))


def test_widening_multiplies_free_groups(made):
    model = made.model
    wide = hh.widen(model, 2.0)
    sizes = {g.name: len(g) for g in hh.trace(wide).groups}
    given = {layer.name for layer in model.layers if not layer.trainable}
    for group in made.channels.groups:
        factor = 1 if group.frozen or given & set(group.producers) else 2
        assert sizes[group.name] == factor * len(group)


def test_plans_survive_json(made):
    plan = made.plan
    again = hh.Plan.from_json(plan.to_json())
    assert again == plan and again.to_json() == plan.to_json()


def test_the_model_is_not_changed_by_a_search(model):
    before = [np.asarray(v).copy() for v in model.variables]
    hh.shrink(
        model,
        budget=hh.Budget(params=model.count_params() * 0.9),
        criterion="weight_norm",
        width=1,
        min_keep=0.0,
        weights="inherit",
        input_shape=size(model),
    )
    for a, v in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(a, np.asarray(v))


@pytest.mark.parametrize("criterion", ["weight_norm", "uniform", "random"])
def test_budgets_are_met_and_used(model, criterion):
    channels, full = hh.trace(model, size(model)), hh.cost(model, size(model))
    scores, costs = hh.score_channels(model, criterion=criterion), cost_model(channels)
    for share, round_to in itertools.product((0.5, 0.8), (1, 4)):
        for budget in (
            hh.Budget(macs=full.macs * share),
            hh.Budget(params=full.params * share),
        ):
            try:
                plan = hh.select_channels(channels, scores, budget, 0.0, round_to)
            except hh.BudgetError as error:
                assert "smallest reachable" in str(error)
                continue
            kept = [len(plan.kept[group.name]) for group in channels.groups]
            # Predicted, which is what is counted: see above.
            assert all(n <= limit for n, limit in zip(costs(kept), budget.limits))
            assert min(kept) >= 1
