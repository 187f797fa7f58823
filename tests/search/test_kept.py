"""How much of a network's output its smaller version keeps."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L

import hh_keras as hh
from hh_keras.search.kept import measuring
from tests.surgery.test_compensation import (
    batches,
    every_kind_of_kernel,
    streams_and_shared_layers,
)
from tests.zoo import ZOO, example, randomize, size


def shrunk(model, share=0.6):
    channels = hh.trace(model)
    budget = hh.Budget(macs=share * hh.cost(model).macs)
    scores = hh.score_channels(model, criterion="weight_norm")
    plan = hh.select_channels(channels, scores, budget)
    return channels, plan.keep_in(channels), hh.rebuild(model, plan)


def by_hand(y, other):
    """The measure, of float64 arrays, channels last."""
    axes = tuple(range(y.ndim - 1))
    return 1 - ((y - other) ** 2).sum() / ((y - y.mean(axes)) ** 2).sum()


def test_a_copy_keeps_everything():
    model = randomize(every_kind_of_kernel())
    channels = hh.trace(model)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    keep = np.ones(channels.size, bool)
    kept = measuring(model, copy, channels, keep, batches(model), True)()
    assert (kept.share, kept.agreement, kept.held_out) == (1, 1, True)
    assert set(kept.layers.values()) == {1.0}
    kernels = {x.name for x in model.layers if x.weights}
    assert kernels <= set(kept.layers)


def test_shares_are_those_computed_by_hand():
    model = randomize(every_kind_of_kernel())
    channels, keep, small = shrunk(model)
    x = np.concatenate(batches(model))[:50]
    kept = measuring(model, small, channels, keep, [x[:33], x[33:]], False)()
    assert kept.examples == 50
    outputs = [np.asarray(m(x), "float64") for m in (model, small)]
    assert kept.share == pytest.approx(by_hand(*outputs), rel=1e-5)
    same = outputs[0].argmax(1) == outputs[1].argmax(1)
    assert kept.agreement == pytest.approx(same.mean())
    name = "conv2d_transpose"
    name = next(each.name for each in model.layers if each.name.startswith(name))
    both = [keras.Model(m.inputs, m.get_layer(name).output)(x) for m in (model, small)]
    y, other = (np.asarray(each, "float64") for each in both)
    y = y[..., keep[channels.outputs[name]]]
    assert y.shape == other.shape
    assert kept.layers[name] == pytest.approx(by_hand(y, other), rel=1e-5)
    order = [layer.name for layer in model.layers]
    assert [order.index(n) for n in kept.layers] == sorted(
        map(order.index, kept.layers)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_every_pattern_inherits_and_is_measured(name):
    model = randomize(ZOO[name]())
    data = [(example(model, 16, seed),) for seed in range(6)]
    shape = size(model)
    budget = hh.Budget(macs=0.7 * hh.cost(model, shape).macs)
    settings = {"width": 1, "weights": "inherit", "input_shape": shape}
    found = hh.shrink(model, budget=budget, calibration=data, **settings)
    assert found.cost_after.macs <= budget.macs
    assert found.kept.layers and np.isfinite([*found.kept.layers.values()]).all()
    assert found.kept.share <= 1 and found.kept.held_out


def test_a_sequential_model_in_another():
    inner = keras.Sequential([keras.Input((9, 9, 4)), L.Conv2D(8, 3, name="conv")])
    model = keras.Sequential([keras.Input((9, 9, 4)), inner, L.ReLU(), L.Flatten()])
    model.add(L.Dense(3, name="head"))
    channels, keep, small = shrunk(model)
    x = np.random.default_rng(0).normal(size=(20, 9, 9, 4)).astype("float32")
    kept = measuring(model, small, channels, keep, [x], True)()
    assert list(kept.layers) == [f"{inner.name}/conv", "head"]
    outputs = [np.asarray(m(x), "float64") for m in (model, small)]
    assert kept.share == pytest.approx(by_hand(*outputs), rel=1e-4)


def test_several_outputs_and_shared_layers():
    model = randomize(streams_and_shared_layers())
    channels, keep, small = shrunk(model)
    kept = measuring(model, small, channels, keep, batches(model), True, most=40)()
    assert kept.examples == 40 and set(kept.outputs) == set(model.output_names)
    assert "shared" in kept.layers and kept.share == min(kept.outputs.values())


@pytest.mark.parametrize("activation", ["softmax", None])
def test_probabilities_count_as_logits(activation):
    keras.utils.set_random_seed(0)
    i = keras.Input((6,))
    x = L.Dense(12, activation="relu")(i)
    model = keras.Model(i, L.Dense(4, activation=activation)(x))
    channels, keep, small = shrunk(model)
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    kept = measuring(model, small, channels, keep, [x], True)()
    outputs = [np.asarray(m(x), "float64") for m in (model, small)]
    if activation:
        outputs = [np.log(y) for y in outputs]
    assert kept.share == pytest.approx(by_hand(*outputs), abs=1e-4)


def test_a_denoiser_is_measured_by_what_it_changes():
    i = keras.Input((8, 8, 1))
    x = L.Conv2D(8, 3, padding="same", activation="relu")(i)
    model = keras.Model(i, L.Add()([i, L.Conv2D(1, 3, padding="same")(x)]))
    channels, keep, small = shrunk(model, 0.4)
    x = np.random.default_rng(0).normal(size=(32, 8, 8, 1)).astype("float32") * 100
    kept = measuring(model, small, channels, keep, [x], True)()
    change = [np.asarray(m(x), "float64") - x for m in (model, small)]
    assert kept.share == pytest.approx(by_hand(*change), abs=1e-3)
    assert kept.agreement is None


def test_a_larger_image_is_measured_by_what_interpolation_does_not_give():
    i = keras.Input((8, 6, 3))
    x = L.Conv2D(8, 3, padding="same", activation="relu")(i)
    x = L.Conv2DTranspose(3, 2, 2)(x)
    larger = L.UpSampling2D(2, interpolation="bicubic")(i)
    model = keras.Model(i, L.Add()([larger, x]))
    channels, keep, small = shrunk(model, 0.5)
    x = np.random.default_rng(0).normal(size=(32, 8, 6, 3)).astype("float32") * 100
    kept = measuring(model, small, channels, keep, [x], True)()
    plain = np.asarray(tf.image.resize(x, (16, 12), "bicubic"), "float64")
    change = [np.asarray(m(x), "float64") - plain for m in (model, small)]
    assert kept.share == pytest.approx(by_hand(*change), abs=1e-3)
    assert kept.share < by_hand(*[c + plain for c in change])


def test_images_are_held_out_where_there_are_enough():
    model = randomize(every_kind_of_kernel())
    budget = hh.Budget(macs=0.6 * hh.cost(model).macs)
    x = np.random.default_rng(0).normal(size=(200, 9, 9, 4)).astype("float32")
    settings = {"budget": budget, "width": 1, "weights": "inherit"}
    found = [hh.shrink(model, calibration=c, **settings).kept for c in (x, x[:4])]
    assert [(k.examples, k.held_out) for k in found] == [(32, True), (4, False)]
    by_batches = hh.shrink(model, [x[k : k + 8] for k in range(0, 200, 8)], **settings)
    assert (by_batches.kept.examples, by_batches.kept.held_out) == (16, True)
    assert hh.shrink(model, **settings).kept is None


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_half_precision_is_computed_in_float32(policy):
    results = {}
    for name in ("float32", policy):
        keras.utils.set_random_seed(0)
        i = keras.Input((8, 8, 3), dtype="float32")
        x = L.Conv2D(12, 3, use_bias=False, dtype=name)(i)
        x = L.ReLU(dtype=name)(L.BatchNormalization(dtype=name)(x))
        x = L.Conv2D(12, 3, dtype=name)(x)
        x = L.GlobalAveragePooling2D(dtype=name)(x)
        model = keras.Model(i, L.Dense(5, dtype=name)(x))
        x = np.random.default_rng(0).normal(size=(96, 8, 8, 3)).astype("float32")
        budget = hh.Budget(macs=0.6 * hh.cost(model).macs)
        settings = {"budget": budget, "width": 1, "weights": "inherit"}
        results[name] = hh.shrink(model, calibration=x, **settings)
    exact, half = results.values()
    if policy == "float16":  # its weights are rounded
        assert 0.5 < half.kept.share < 1
    else:
        assert half.kept.share == pytest.approx(exact.kept.share, abs=1e-4)
        np.testing.assert_array_equal(half.plan.keep, exact.plan.keep)
        for v, w in zip(half.model.weights, exact.model.weights, strict=True):
            np.testing.assert_allclose(np.asarray(v), np.asarray(w), atol=1e-5)
    assert half.model.layers[1].dtype_policy.name == policy


def test_a_sweep_learns_once_and_finds_what_single_searches_find(monkeypatch):
    from hh_keras.search import calibration

    calls, collect = [], calibration.collect
    monkeypatch.setattr(
        calibration, "collect", lambda *a: calls.append(1) or collect(*a)
    )
    model = randomize(every_kind_of_kernel())
    x = np.random.default_rng(0).normal(size=(200, 9, 9, 4)).astype("float32")
    found = hh.sweep(model, shares=(0.8, 0.5), calibration=x)
    assert len(calls) == 1
    whole = hh.cost(model)
    for share, each in zip((0.8, 0.5), found, strict=True):
        budget = hh.Budget(macs=share * whole.macs, params=whole.params)
        alone = hh.shrink(
            model, budget=budget, width=1, weights="inherit", calibration=x
        )
        assert alone.plan == each.plan and each.cost_after.macs <= budget.macs
        for v, w in zip(alone.model.weights, each.model.weights, strict=True):
            np.testing.assert_allclose(np.asarray(v), np.asarray(w), atol=1e-4)
    assert found[0].kept.share > found[1].kept.share


def test_sweeps_that_cannot_be(monkeypatch):
    from hh_keras.search import calibration

    monkeypatch.setattr(calibration, "collect", None)  # nothing may be computed
    model = every_kind_of_kernel()
    x = np.random.default_rng(0).normal(size=(40, 9, 9, 4)).astype("float32")
    with pytest.raises(hh.HHError, match="shares"):
        hh.sweep(model, shares=(0.8, 1.5), calibration=x)
    with pytest.raises(hh.HHError, match="calibration=images"):
        hh.sweep(model, shares=(0.8,))
    with pytest.raises(hh.BudgetError):
        hh.sweep(model, shares=(0.8, 1e-4), calibration=x)


def test_bytes_are_numbers_however_they_come():
    model = randomize(every_kind_of_kernel())
    x = np.random.default_rng(0).integers(0, 9, (40, 9, 9, 4), np.uint8)
    each = (x, tf.data.Dataset.from_tensor_slices(x).batch(32))
    found = [hh.sweep(model, shares=(0.7,), calibration=data)[0] for data in each]
    assert found[0].plan == found[1].plan


def test_labelled_batches_calibrate_too():
    model = randomize(every_kind_of_kernel())
    x = np.random.default_rng(0).normal(size=(48, 9, 9, 4)).astype("float32")
    data = [(x[k : k + 8], np.zeros(8)) for k in range(0, 48, 8)]
    (found,) = hh.sweep(model, data, (0.7,), batches=4)
    assert (found.kept.examples, found.kept.held_out) == (8, True)
