"""A network that was made smaller learns from its original."""

import dataclasses
import time
import types
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import hh_keras
from hh_keras.errors import DataError, HHError
from hh_keras.training import RECOVERY, checkpoints, features, pace, strategy
from hh_keras.training.history import best_epoch, better
from hh_keras.training.keeper import Keeper
from hh_keras.training.pace import fitting
from hh_keras.training.recovery import cut
from hh_keras.training.units import in_units_of_statistics

L = keras.layers


def network(last="classes"):
    """A block with a residual, behind statistics that are not those of a start."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(12, 3, padding="same", use_bias=False)(L.Rescaling(1 / 255)(inputs))
    x = start = L.ReLU()(L.BatchNormalization(name="norm")(x))
    x = L.ReLU()(L.Conv2D(16, 3, padding="same")(x))
    x = L.Add(name="sum")([start, L.Conv2D(12, 3, padding="same")(x)])
    x = L.Conv2D(16, 3, strides=2, activation="relu", name="low")(x)
    if last == "image":
        return keras.Model(inputs, L.Conv2D(2, 3)(x))
    x = L.Dropout(0.3, seed=1)(L.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, L.Dense(5, kernel_initializer="normal")(x))
    model.get_layer("norm").moving_mean.assign(np.linspace(-0.2, 0.2, 12))
    return model


def photographs(count=40, size=8):
    rng = np.random.default_rng(0)
    colours = rng.uniform(0, 255, (count, 1, 1, 3))
    noise = rng.normal(0, 30, (count, size, size, 3))
    return np.clip(colours + noise, 0, 255).astype("uint8")


@pytest.fixture(scope="module")
def pair():
    original = network()
    budget = hh_keras.Budget(macs=0.8 * hh_keras.cost(original).macs)
    channel_map = hh_keras.trace(original)
    scores = hh_keras.score_channels(original, criterion="weight_norm")
    plan = hh_keras.select_channels(channel_map, scores, budget)
    return original, plan, hh_keras.rebuild(original, plan)


def again(model):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def test_channels_that_were_kept_are_found(pair):
    original, plan, small = pair
    channel_map = hh_keras.trace(original)
    keep = plan.keep_in(channel_map)
    found = features.matches(small, original, [photographs().astype("float32")])
    names = {match.student._keras_history.operation.name: match for match in found}
    assert "sum" in names
    for name in ("sum",):
        kept = np.flatnonzero(keep[channel_map.outputs[name]])
        right = names[name].channels == kept
        assert right[names[name].weights > 0].all(), name


@pytest.mark.parametrize("mean", [0, 100])
def test_channels_are_the_same_that_go_up_and_down_together(mean):
    """Whatever their means are; one that goes down as another goes up is not it."""
    a, b, other = np.random.default_rng(0).normal(size=(3, 400))
    theirs = np.stack([b + mean, other - mean, 3 * a + 7 * mean], 1)
    ours = np.stack([a + mean, 2 * b - mean, a + 0.5 * other, -other], 1)
    sums = features._Sums()
    for half in (slice(0, 150), slice(150, 400)):
        sums.add(ours[half], theirs[half])
    found = sums.match(None, None)
    assert found.channels[:3].tolist() == [2, 0, 2]
    assert found.weights.tolist() == [1, 1, 1, 0]


def test_networks_that_have_nothing_in_common_share_no_features(pair):
    other = network()
    rng = np.random.default_rng(1)
    other.set_weights([rng.normal(size=w.shape) for w in other.get_weights()])
    noise = [rng.uniform(0, 255, (40, 8, 8, 3)).astype("float32")]
    assert len(features.matches(other, pair[0], noise)) <= 1


def standardised(norm):
    deviation = np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
    return norm.moving_mean.numpy() / deviation


def held(model, images):
    return model.predict(images.astype("float32"), verbose=0)


def test_it_answers_more_like_its_original(pair, tmp_path):
    original, _, small = pair
    images, small = photographs(), again(small)
    before = np.abs(held(small, images) - held(original, images)).mean()
    statistics = standardised(small.get_layer("norm"))
    trained = hh_keras.recover(
        small, original, images, minutes=None, augment=False, workdir=tmp_path,
    )  # fmt: skip
    after = np.abs(held(trained.model, images) - held(original, images)).mean()
    assert trained.model is small and after < 0.7 * before
    found = standardised(small.get_layer("norm"))
    np.testing.assert_allclose(found, statistics, rtol=1e-5)
    assert len(trained.history) == RECOVERY.epochs
    assert {"loss", "val_loss", "val_likeness", "val_agreement"} <= set(
        trained.history[0]
    )


def test_it_never_ends_worse_than_it_began(pair, tmp_path, capsys):
    original, _, small = pair
    small = again(small)
    weights = small.get_weights()
    ruin = dataclasses.replace(RECOVERY, epochs=2, learning_rate=1.0)
    hh_keras.recover(
        small, original, photographs(), None, recipe=ruin, workdir=tmp_path
    )
    for before, after in zip(weights, small.get_weights()):
        np.testing.assert_array_equal(before, after)
    assert "keeps the weights" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("replicas", [1, 2])
def test_killed_within_a_time_it_ends_as_planned(pair, tmp_path, monkeypatch, replicas):
    original, _, small = pair
    monkeypatch.setattr(pace, "speed", lambda *args: (0.02, 0.1))
    monkeypatch.setattr(pace, "clock", lambda: 0.0)  # so fast that it takes no time
    settings = {
        "minutes": 0.01,
        "strategy": strategy("mirrored", 2) if replicas == 2 else strategy("default"),
        "workdir": tmp_path / "whole",
    }
    whole, killed = again(small), again(small)
    rows = hh_keras.recover(whole, original, photographs(100), **settings).history
    assert (
        len(rows) == 3 and rows[-1]["learning_rate"] < 0.5 * rows[-2]["learning_rate"]
    )

    def end_of_epoch(self, *args):
        keep(self, *args)
        if len(self.rows) == 2:
            raise KeyboardInterrupt

    keep, settings["workdir"] = Keeper.on_epoch_end, tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "on_epoch_end", end_of_epoch)
        with pytest.raises(KeyboardInterrupt):
            hh_keras.recover(killed, original, photographs(100), **settings)
    monkeypatch.setattr(pace, "speed", None)  # the plan is in the checkpoint
    killed = again(small)
    hh_keras.recover(killed, original, photographs(100), **settings)
    for one, other in zip(whole.get_weights(), killed.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_timing_leaves_no_trace(pair, monkeypatch):
    original, _, small = pair
    states = []

    def timed(trainee, epoch, validation, seconds):
        before = checkpoints.values(trainee)
        found = speed(trainee, lambda: time.sleep(0.3) or epoch(), validation, 0.1)
        states.append((before, checkpoints.values(trainee), found))
        return found

    speed = pace.speed
    monkeypatch.setattr(pace, "speed", timed)
    monkeypatch.setattr(pace, "_MOST", 8)
    hh_keras.recover(again(small), original, photographs(), minutes=0.05)
    ((before, after, (step, besides)),) = states
    assert step > 0 and besides >= 0.3  # what the batches take to be made
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_networks_that_make_images_recover_too():
    original = network("image")
    small = hh_keras.shrink(
        original, width=1, weights="inherit", criterion="weight_norm",
        budget=hh_keras.Budget(macs=0.7 * hh_keras.cost(original).macs),
    ).model  # fmt: skip
    data = tf.data.Dataset.from_tensor_slices(photographs()).batch(8)
    rows = hh_keras.recover(small, original, data, None, augment=False).history
    assert rows[-1]["val_likeness"] > rows[0]["val_likeness"]


def test_pieces_are_cut_out_of_larger_photographs():
    images = np.broadcast_to(np.arange(20.0)[:, None], (6, 30, 20, 20))
    images = np.moveaxis(images, 2, 3)[..., :3].astype("uint8")
    pieces = cut(images, (8, 8), (0, 1)).numpy()
    again_ = cut(images, (8, 8), (0, 1)).numpy()
    assert pieces.shape == (6, 8, 8, 3) and pieces.dtype == np.float32
    np.testing.assert_array_equal(pieces, again_)
    assert 0 <= pieces.min() and pieces.max() <= images.max()


@pytest.mark.parametrize("height, width", [(12, 48), (48, 12)])
def test_pieces_are_squares_from_all_over_the_photograph(height, width):
    """Pixels that tell where they are: in parts of the way to the last one."""
    places = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width))
    images = np.broadcast_to(
        np.stack(places, -1).swapaxes(0, 1), (200, height, width, 2)
    )
    pieces = cut(images, (5, 5), (0, 1)).numpy()
    first, last = pieces[:, 0, 0], pieces[:, -1, -1]  # (200, 2): down, across
    mirrored = first[:, 1] > last[:, 1]
    assert 0.4 < mirrored.mean() < 0.6 and (first[:, 0] < last[:, 0]).all()
    sides = np.abs(last - first)
    pixels = sides * (height, width)
    np.testing.assert_allclose(pixels[:, 0], pixels[:, 1], rtol=1e-4)
    areas = (pixels[:, 0] / min(height, width)) ** 2
    assert 0.35 <= areas.min() < 0.4 and 0.95 < areas.max() <= 1
    for place in (np.minimum(first, last) / (1 - sides)).T:  # of the room there is
        assert 0 <= place.min() < 0.05 and 0.95 < place.max() <= 1.0001


def test_a_folder_of_photographs(pair, tmp_path):
    original, _, small = pair
    for k, image in enumerate(photographs(12, 20)):
        Image.fromarray(image).save(tmp_path / f"{k}.png")
    once = dataclasses.replace(RECOVERY, epochs=1)
    rows = hh_keras.recover(again(small), original, tmp_path, None, recipe=once).history
    assert len(rows) == 1


@pytest.mark.parametrize("data", [np.zeros((0, 8, 8, 3)), np.zeros((4, 8, 8))])
def test_what_is_no_images(pair, data):
    original, _, small = pair
    with pytest.raises(DataError, match="images, height, width, channels"):
        hh_keras.recover(small, original, data)


def test_units_of_statistics_change_nothing_but_sizes():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((9, 9, 4))
    x = L.BatchNormalization()(L.Conv2D(6, 3)(inputs))
    x = L.BatchNormalization()(L.DepthwiseConv2D(3, depth_multiplier=2)(x))
    x = L.BatchNormalization()(L.Conv2DTranspose(5, 3)(x))
    x = L.BatchNormalization()(L.SeparableConv2D(7, 3)(x))
    both = L.Conv2D(7, 1, name="read twice")(x)
    x = L.Add()([L.BatchNormalization()(both), both])
    x = L.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, L.BatchNormalization()(L.Dense(3)(x)))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.moving_variance.assign(rng.uniform(1e-5, 3, layer.gamma.shape))
            layer.moving_mean.assign(rng.normal(size=layer.gamma.shape))
    images = rng.normal(size=(5, 9, 9, 4)).astype("float32")
    before = model(images).numpy()
    assert in_units_of_statistics(model) == 5
    spread = np.abs(before).max()
    np.testing.assert_allclose(model(images), before, atol=1e-5 * spread)


@given(st.floats(1, 1e5), st.floats(1e-3, 10), st.floats(0, 100), st.integers(1, 1000))
def test_what_fits_into_a_time(seconds, step, besides, steps):
    epochs, each = fitting(seconds, step, besides, steps)
    assert 1 <= each <= steps
    total = epochs * (each * step + besides)
    assert total <= seconds * (1 + 1e-9) or each == 1
    assert total >= 0.5 * seconds - step * epochs - besides or each == steps


@pytest.mark.parametrize("besides, told", [(29, False), (31, True)])
def test_if_less_than_half_of_a_time_is_left_for_steps_that_is_told(
    monkeypatch, besides, told
):
    """Of 100 seconds 20 are gone, and an epoch takes some besides its steps."""
    said = []
    keeper = types.SimpleNamespace(
        name="small",
        steps=1000,
        network=types.SimpleNamespace(distribute_strategy=strategy("default")),
        say=said.append,
    )
    monkeypatch.setattr(pace, "clock", lambda: 25.0)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        span = pace.plan(100.0, 5.0, 1.0, besides, keeper)
    assert span == (1, 80 - besides) and "end in about 80 s" in said[0]
    assert len(found) == told
    assert all("of 100 seconds, 20 went before" in str(w.message) for w in found)


def test_epochs_that_are_no_better_than_the_start():
    row = {"loss": 1.0, "val_accuracy": 0.5}
    rows = [{"epoch": k, **row, "val_loss": 1.0 / k} for k in (1, 2)]
    start = {"val_accuracy": 0.5, "val_loss": 0.7}
    assert best_epoch(rows, start={**start, "val_accuracy": 0.6}) == 0
    assert best_epoch(rows, start=start) == 2 and not better(rows[0], start)


def test_a_single_number_is_judged_by_all_images():
    """Of one image, such as in a last batch, there is no spread."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = L.Conv2D(8, 3, activation="relu")(inputs)
    model = keras.Model(inputs, L.Dense(1)(L.Flatten()(x)))
    small = again(model)
    small.layers[-1].kernel.assign(small.layers[-1].kernel * 0.8)
    images = np.random.default_rng(0).normal(size=(170, 8, 8, 1)).astype("float32")
    once = dataclasses.replace(RECOVERY, epochs=1)
    (row,) = hh_keras.recover(small, model, images, None, recipe=once).history
    assert 0.8 < row["val_likeness"] <= 1


@pytest.mark.parametrize("minutes", [0, -1, float("nan")])
def test_no_time_is_no_time(pair, minutes):
    original, _, small = pair
    with pytest.raises(HHError, match="above 0"):
        hh_keras.recover(small, original, photographs(), minutes)


def test_images_that_are_not_finite(pair):
    original, _, small = pair
    images = photographs().astype("float32")
    images[3, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="1 of 4 images hold NaN"):
        hh_keras.recover(small, original, images)


@pytest.mark.parametrize("replicas", [1, 2])
def test_what_is_validated_on_keeps_its_answers(pair, replicas):
    original, _, small = pair
    if replicas == 2:
        with strategy("mirrored", 2).scope():
            original, small = again(original), again(small)
    shuffled = tf.data.Dataset.from_tensor_slices(photographs()).shuffle(40).batch(8)
    settings = {"minutes": None, "augment": False, "verbose": 0}
    settings["strategy"] = strategy("mirrored", 2) if replicas == 2 else None
    still = dataclasses.replace(RECOVERY, epochs=2, learning_rate=1e-9)
    trained = hh_keras.recover(
        again(original), original, photographs(), recipe=still, validation=shuffled,
        **settings,
    )  # fmt: skip
    for row in trained.history:
        assert row["val_likeness"] == pytest.approx(1, abs=1e-3)
        assert row["val_agreement"] == 1
    with pytest.raises(DataError, match="another order.*Give validation="):
        hh_keras.recover(again(small), original, shuffled, recipe=still, **settings)
