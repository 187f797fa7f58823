"""Replicas train what one device trains."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras.data import load
from hh_keras.errors import HHError
from hh_keras.training import Recipe, strategy
from hh_keras.training.trainee import weighted
from tests.classifiers import train

L = keras.layers
EXAMPLES = 37  # in batches of 8, the last has 5: 3 and 2; of 12, it has 1


def network(normalised=False):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1))
    x = L.Conv2D(4, 3, kernel_regularizer="l2")(L.Rescaling(1 / 255)(inputs))
    if normalised:
        x = L.BatchNormalization(momentum=0.9)(x)
    x = L.GlobalAveragePooling2D()(L.Activation("tanh")(x))
    return keras.Model(inputs, L.Dense(3)(x))


def images(batch_size=8):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, EXAMPLES).astype("int32")
    pixels = rng.uniform(0, 90, (EXAMPLES, 6, 6, 1)) + 70 * labels[:, None, None, None]
    dataset = tf.data.Dataset.from_tensor_slices((pixels.astype("float32"), labels))
    dataset = dataset.batch(batch_size)
    return types.SimpleNamespace(train=dataset, validation=dataset)


def two():
    return strategy("mirrored", 2)


def compare(recipe, normalised=False, tolerance=1e-6, **settings):
    """Trains on one device and on two replicas; returns the difference of losses."""
    data = images(recipe.batch_size)
    one = train(network(normalised), data, recipe, strategy("default"), **settings)
    both = train(lambda: network(normalised), data, recipe, two(), **settings)
    assert both.model.distribute_strategy.num_replicas_in_sync == 2
    for mine, its in zip(one.model.variables, both.model.variables, strict=True):
        np.testing.assert_allclose(mine, its.numpy(), atol=tolerance, err_msg=mine.path)
    for mine, its in zip(one.history, both.history, strict=True):
        for key in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
            assert mine[key] == pytest.approx(its[key], abs=max(2e-5, tolerance)), key
    return one


@pytest.mark.parametrize("batch_size", [8, 12])
def test_two_replicas_train_as_one_device(batch_size):
    compare(Recipe(epochs=3, batch_size=batch_size))


def test_synchronised_batch_norm():
    recipe = Recipe(epochs=3, batch_size=8, sync_batch_norm=True)
    model = compare(recipe, normalised=True, tolerance=2e-5).model
    assert not model.layers[3].synchronized, "it is of the training, not of the model"


def test_statistics_of_apart_replicas_are_averaged():
    recipe = Recipe(epochs=1, batch_size=8)
    model = train(lambda: network(True), images(), recipe, two()).model
    mean = model.layers[3].moving_mean.value
    first, second = (np.asarray(value) for value in mean.values)
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all() and first.any()


@pytest.mark.parametrize(
    "settings",
    [
        {"clip_norm": 0.01},
        {"ema": 0.8},
        {"label_smoothing": 0.1, "warmup_epochs": 0.5, "decay_vectors": False},
        {"lr_batch_size": 16, "nesterov": True},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_every_setting_means_the_same_on_replicas(settings):
    compare(Recipe(epochs=2, batch_size=8, **settings))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_on_replicas(precision):
    recipe = Recipe(epochs=2, batch_size=8, precision=precision)
    compare(recipe, tolerance=3e-3)


def test_mixed_precision_is_of_the_training_not_of_the_model():
    recipe = Recipe(epochs=1, batch_size=8, precision="mixed_bfloat16")
    model = network()
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: seen.extend(x.compute_dtype for x in model.layers)
    )
    exact = train(network(), images(), Recipe(epochs=1, batch_size=8)).history
    mixed = train(model, images(), recipe, callbacks=[callback]).history
    assert seen[2] == "bfloat16" and seen[-1] == "float32"
    assert {x.compute_dtype for x in model.layers} == {"float32"}
    assert mixed[0]["loss"] != exact[0]["loss"]
    assert mixed[0]["loss"] == pytest.approx(exact[0]["loss"], rel=0.01)


def test_several_steps_at_a_time(tmp_path):
    recipe = Recipe(epochs=3, batch_size=8)
    one = train(network(), images(), recipe)
    settings = {"steps_per_execution": 3, "checkpoint_steps": 2, "workdir": tmp_path}
    three = train(network(), images(), recipe, **settings)
    for mine, its in zip(one.model.variables, three.model.variables, strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-6)
    assert [row["loss"] for row in three.history] == pytest.approx(
        [row["loss"] for row in one.history], abs=1e-5
    )
    kept = [path.stem for path in (tmp_path / "checkpoints").iterdir()]
    assert sorted(kept) == ["model-00002-0000003", "model-00003-0000000"]


@pytest.mark.slow
def test_xla_trains_the_same():
    recipe = Recipe(epochs=2, batch_size=8)
    one = train(network(), images(), recipe).model
    other = train(network(), images(), recipe, jit_compile=True).model
    for mine, its in zip(one.variables, other.variables, strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-5)


def test_a_model_made_elsewhere_is_trained_in_place():
    model = network()
    before = model.get_weights()
    trained = train(model, images(), Recipe(epochs=1, batch_size=8), two())
    assert trained.model is model
    assert model.distribute_strategy.num_replicas_in_sync == 1
    assert not np.array_equal(before[0], model.get_weights()[0])
    other = train(lambda: network(), images(), Recipe(epochs=1, batch_size=8), two())
    for mine, its in zip(model.variables, other.model.variables, strict=True):
        np.testing.assert_allclose(mine, its.numpy(), atol=1e-6)


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_weights_share_a_global_batch(replicas):
    batches = list(weighted(images(12).train, replicas))
    assert [len(x) for x, *_ in batches] == [12, 12, 12, max(1, replicas)]
    for x, y, weight in batches:
        assert len(x) == len(y) == len(weight)
        assert np.sum(weight) == pytest.approx(1)
    x, y, weight = next(iter(weighted(images().train.map(nothing), replicas)))
    assert len(x) == len(y) == replicas and not np.any(weight)


def test_replicas_see_every_example_once():
    data = load("embedded", batch_size=16, limit=70)
    together = two()
    shared = together.experimental_distribute_dataset(weighted(data.epoch(2), 2))
    parts = [[], []]
    for images_, _, weight in shared:
        both = [together.experimental_local_results(x) for x in (images_, weight)]
        for part, x, w in zip(parts, *both):
            part.extend(image.tobytes() for image in x.numpy()[w.numpy() > 0])
    alone = [i.tobytes() for x, _ in data.epoch(2).as_numpy_iterator() for i in x]
    assert sorted(parts[0] + parts[1]) == sorted(alone) and len(set(alone)) == 70
    assert len(parts[0]) == len(parts[1]) == 35


def nothing(x, y):
    return x[:0], y[:0]


@pytest.mark.parametrize("setting", [{"jit_compile": True}, {"steps_per_execution": 2}])
def test_what_replicas_cannot_do(setting):
    recipe = Recipe(epochs=1, batch_size=8)
    with pytest.raises(HHError, match=f"{next(iter(setting))}.*one device"):
        train(lambda: network(), images(), recipe, two(), **setting)


def test_more_replicas_than_devices():
    with pytest.raises(HHError, match="devices=64.*before anything else"):
        strategy("mirrored", 64)
    with pytest.raises(HHError, match="leave devices out"):
        strategy("default", 2)


def test_clusters_that_are_not_there(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(HHError, match="TF_CONFIG names no workers"):
        strategy("multiworker")
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(HHError, match="no JSON"):
        strategy("multiworker")
    with pytest.raises(HHError, match="no TPU"):
        strategy("tpu")


def test_a_short_last_batch_leaves_statistics_alone():
    """What fills a batch up weighs nothing, and must not be seen either."""
    data = images(EXAMPLES - 1)  # one example is left for the last batch
    recipe = Recipe(epochs=2, batch_size=EXAMPLES - 1, learning_rate=1e-9)
    one = train(network(True), data, recipe, strategy("default")).model
    both = train(lambda: network(True), data, recipe, two()).model
    for mine, its in zip(one.layers, both.layers, strict=True):
        if isinstance(mine, keras.layers.BatchNormalization):
            # Each replica has its own half, so variances are not the same.
            np.testing.assert_allclose(mine.moving_mean, its.moving_mean, rtol=0.02)
