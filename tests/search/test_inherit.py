"""Shrinking trained networks: obs, compensation, calibration data."""

import keras
import numpy as np
import pytest
from keras import layers as L

import hh_keras as hh
from hh_keras.errors import HHError
from hh_keras.surgery.compensation import constants
from tests.surgery.test_compensation import batches, every_kind_of_kernel
from tests.zoo import randomize


@pytest.fixture(scope="module")
def trained():
    """A small classifier that has learnt something, and its data."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    means = rng.normal(size=(8, 8, 8, 2))
    labels = rng.integers(0, 8, 1000)
    images = (means[labels] + 2.5 * rng.normal(size=(1000, 8, 8, 2))).astype("float32")
    i = keras.Input((8, 8, 2))
    x = L.Conv2D(24, 3, use_bias=False)(i)
    x = L.ReLU()(L.BatchNormalization()(x))
    x = L.Conv2D(24, 3, activation="relu")(x)
    x = L.Conv2D(16, 1, activation="relu")(x)
    model = keras.Model(i, L.Dense(8, activation="softmax")(L.Flatten()(x)))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images[:600], labels[:600], 32, 8, verbose=0)
    return model, images, labels


def accuracy(model, images, labels):
    return (np.asarray(model(images)).argmax(1) == labels)[600:].mean()


def test_a_trained_network_stays_itself(trained):
    model, images, labels = trained
    budget = hh.Budget(macs=0.5 * hh.cost(model).macs)
    found = {}
    for criterion, data in ((None, images[:600]), ("weight_norm", None)):
        result = hh.shrink(
            model,
            budget=budget,
            width=1,
            weights="inherit",
            criterion=criterion,
            calibration=data,
            round_to=1,
        )
        assert result.cost_after.macs <= budget.macs
        found[criterion] = accuracy(result.model, images, labels)
    before = accuracy(model, images, labels)
    assert found[None] >= before - 0.08
    assert found[None] > found["weight_norm"] + 0.15


def test_labels_are_not_looked_at(trained):
    model, images, labels = trained
    channels = hh.trace(model)
    wrong = [(images[:64], labels[:64][::-1]), (images[64:128], labels[:64])]
    plain = [images[:64], images[64:128]]
    a, b = (hh.score_channels(model, d, criterion="obs") for d in (wrong, plain))
    np.testing.assert_array_equal(a, b)
    assert a.shape == (channels.size,)


def test_one_seed_one_plan(trained):
    model, images, _ = trained
    budget = hh.Budget(macs=0.6 * hh.cost(model).macs)
    a, b = (
        hh.shrink(
            model, budget=budget, width=1, weights="inherit", calibration=images[:99]
        )
        for _ in range(2)
    )
    assert a.plan == b.plan
    for v, w in zip(a.model.weights, b.model.weights, strict=True):
        np.testing.assert_allclose(np.asarray(v), np.asarray(w), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("share", [0.9, 0.6, 0.3])
def test_budgets_hold_for_every_kind_of_kernel(share):
    model = randomize(every_kind_of_kernel())
    budget = hh.Budget(macs=share * hh.cost(model).macs)
    result = hh.shrink(
        model,
        budget=budget,
        width=1,
        weights="inherit",
        min_keep=0.0,
        calibration=batches(model),
    )
    assert result.cost_after.macs <= budget.macs
    assert result.plan.notes["criterion"] == "obs"


def test_calibration_that_does_not_fit_is_refused(trained):
    model, images, _ = trained
    budget = hh.Budget(macs=0.5 * hh.cost(model).macs)
    for data, message in (
        ([np.zeros((2, 9, 9, 3))], "does not run on the calibration data"),
        ([], "is empty"),
        (images[:0], "is empty"),
    ):
        with pytest.raises(hh.SearchError, match=message):
            hh.shrink(
                model, budget=budget, width=1, weights="inherit", calibration=data
            )
    with pytest.raises(hh.HHError, match="needs data"):
        hh.score_channels(model, criterion="obs")


@pytest.mark.parametrize("count", [1, 3, 12, 40])
def test_few_images_do_no_harm(trained, count):
    model, images, _ = trained
    budget = hh.Budget(macs=0.7 * hh.cost(model).macs)
    found = hh.shrink(
        model, budget=budget, weights="inherit", calibration=images[:count]
    )
    plain = hh.rebuild(model, found.plan)
    wanted, *got = (
        np.log(np.asarray(m(images[600:]), "float64") + 1e-12)
        for m in (model, found.model, plain)
    )
    mended, before = (((each - wanted) ** 2).mean() for each in got)
    assert mended <= 1.05 * before


@pytest.mark.parametrize("count", [5, 7, 9])
def test_single_examples_are_not_held_out(trained, count):
    """One held-out example has no spread: all would look as if nothing was kept."""
    model, images, _ = trained
    budget = hh.Budget(macs=0.9 * hh.cost(model).macs)
    found = hh.shrink(
        model, budget=budget, weights="inherit", calibration=images[:count]
    )
    assert not found.kept.held_out and found.kept.examples == count
    assert found.kept.share > 0.5


def test_few_batches_are_cut_so_that_some_are_held_out(trained):
    model, images, _ = trained
    settings = {"budget": hh.Budget(macs=0.7 * hh.cost(model).macs)}
    settings |= {"weights": "inherit"}
    kept = hh.shrink(model, calibration=[images[:30]], **settings).kept
    assert kept.held_out and kept.examples == 6
    with pytest.warns(UserWarning, match="one batch that cannot be divided"):
        assert not hh.shrink(model, calibration=images[:1], **settings).kept.held_out


def test_whole_numbers_are_images_too(trained):
    model, images, _ = trained
    whole = np.round(images[:60] * 3).astype("int32")
    channels = hh.trace(model)
    scores = [
        hh.score_channels(model, [x], criterion="obs")
        for x in (whole, whole.astype("float32"))
    ]
    assert len(scores[0]) == channels.size
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"weights": "inherited"}, "choose 'fresh' or 'inherit'"),
        ({"weights": "fresh"}, "weights='inherit'"),
        ({"weights": "inherit", "calibration": "photos/"}, "is a path"),
    ],
)
def test_settings_that_would_be_overlooked_are_refused(trained, wrong, words):
    model, images, _ = trained
    with pytest.raises(HHError, match=words):
        hh.shrink(model, **{"calibration": images[:60], **wrong})


@pytest.mark.parametrize("wrong", [{"shares": 0.5}, {"shares": ()}, {"budget": None}])
def test_sweeps_that_cannot_be_are_refused(trained, wrong):
    model, images, _ = trained
    with pytest.raises(HHError, match="shares|budget"):
        hh.sweep(model, calibration=images[:60], **wrong)


def context():
    """What is pooled from the image is added at all places; a map to all channels."""
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(12, 3, padding="same", activation="relu")(i)
    pooled = L.GlobalAveragePooling2D(keepdims=True)(x)
    x = L.Add()([L.Conv2D(10, 1)(x), L.Conv2D(10, 1)(pooled)])
    x = L.Add()([L.Conv2D(10, 1)(L.ReLU()(x)), L.Conv2D(1, 1)(x)])
    return keras.Model(i, L.Dense(4)(L.GlobalAveragePooling2D()(L.ReLU()(x))))


def normalized_elsewhere():
    """BatchNormalization behind an activation, and along another axis."""
    i = keras.Input((12, 6))
    x = L.Conv1D(10, 3, padding="same", activation="relu", use_bias=False)(i)
    x = L.Dense(12, use_bias=False)(L.BatchNormalization()(x))
    x = L.ReLU()(L.BatchNormalization(axis=1)(x))
    return keras.Model(i, L.Dense(4)(L.Flatten()(x)))


@pytest.mark.parametrize("build", [context, normalized_elsewhere])
def test_constants_and_sums_of_other_shapes(build):
    keras.utils.set_random_seed(0)
    model = randomize(build())
    x = np.random.default_rng(0).normal(size=(200, *model.input_shape[1:]))
    budget = hh.Budget(macs=0.6 * hh.cost(model).macs)
    found = hh.shrink(
        model, budget=budget, weights="inherit", calibration=x.astype("float32")
    )
    assert found.cost_after.macs <= budget.macs and found.kept.share > 0.5
    if build is normalized_elsewhere:
        assert not constants(model).keys() & {layer.name for layer in model.layers[1:4]}


@pytest.mark.parametrize("kind", [dict, list, tuple])
def test_whole_arrays_of_several_inputs_are_what_their_batches_are(kind):
    a, b = keras.Input((6,), name="a"), keras.Input((4,), name="b")
    x = L.Dense(8, "relu")(a) + L.Dense(8, "relu")(b)
    inputs = {"a": a, "b": b} if kind is dict else [a, b]
    model = randomize(keras.Model(inputs, L.Dense(2)(L.Dense(9, "relu")(x))))
    rng = np.random.default_rng(0)
    whole = [rng.normal(size=(70, n)).astype("float32") for n in (6, 4)]

    def of(arrays):
        return dict(zip("ab", arrays)) if kind is dict else kind(arrays)

    batches = [of([x[i : i + 32] for x in whole]) for i in range(0, 70, 32)]
    budget = hh.Budget(macs=0.6 * hh.cost(model).macs)
    one, other = (
        hh.shrink(model, budget=budget, weights="inherit", calibration=data)
        for data in (of(whole), batches)
    )
    np.testing.assert_array_equal(one.plan.keep, other.plan.keep)
    assert one.kept.share == other.kept.share
