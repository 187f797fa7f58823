"""Trackers are ordinary networks: traced, shrunk, saved, cut in two."""

import keras
import numpy as np
import pytest

import hh_keras
from hh_keras.errors import ModelError
from hh_keras.tasks.tracking.networks.trackers import KINDS, features, tracker
from hh_keras.tasks.tracking.networks.halves import halves
from hh_keras.tasks.tracking.networks.levels import levels
from hh_keras.tasks.tracking.task import check_model

_STRIDES = (1, 2, 4)  # of networks for small images


@pytest.fixture(scope="module", params=["resnet8", "mobilenetv2_tiny"])
def backbone(request):
    model = hh_keras.models.build(request.param, (48, 48, 3), 10)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "variance" in weight.path:
            weight.assign(rng.uniform(0.5, 2, weight.shape))
        if "moving_mean" in weight.path:
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


@pytest.fixture(scope="module", params=["filter", "descent", "siamese", "response"])
def network(request, backbone):
    if request.param == "response":
        return tracker(backbone, "filter", _STRIDES, boxes=False)
    return tracker(backbone, request.param, _STRIDES, width=16)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(1)
    return [rng.uniform(0, 255, (2, 48, 48, 3)).astype("float32") for _ in range(2)]


def test_masked_is_rebuilt(network, images):
    channels = hh_keras.trace(network)
    scores = np.random.default_rng(2).random(channels.size)
    before = hh_keras.cost(network).macs
    plan = hh_keras.select_channels(
        channels, scores, hh_keras.Budget(macs=0.5 * before)
    )
    small = hh_keras.rebuild(network, plan)
    expected = hh_keras.mask(network, plan)(images).numpy()
    found = small(images).numpy()
    # Answers are about 1, so 1e-6 is the last bits of float32.
    assert np.abs(found - expected).max() <= 2e-5 * expected.std() + 1e-6
    assert 0.4 * before < hh_keras.cost(small).macs <= 0.5 * before
    assert hh_keras.cost(small).macs == plan.notes["macs"]


def test_exemplar_and_search_lose_the_same_channels(network):
    channels = hh_keras.trace(network)
    free = [group.name for group in channels.groups if group.frozen is None]
    assert any(name.startswith("features/") for name in free)
    assert all(group.frozen for group in channels.groups if group.name == "sides")


def test_files_load_by_themselves(network, images, tmp_path):
    network.save(tmp_path / "tracker.keras")
    loaded = keras.models.load_model(tmp_path / "tracker.keras")
    np.testing.assert_array_equal(loaded(images), network(images))


def test_halves_make_the_whole(network, images):
    parts = halves(network)
    exemplar, search = (keras.ops.convert_to_tensor(x) for x in images)
    kernel = parts.exemplar(exemplar)
    found = parts.search([search, *kernel])
    np.testing.assert_allclose(found, network(images), atol=1e-6)


def test_every_weight_gets_a_slope(network, images):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = tf.reduce_sum(tf.square(network(images, training=True)))
    slopes = tape.gradient(value, network.trainable_weights)
    assert all(slope is not None for slope in slopes)


def test_features_are_taken_where_all_passes(backbone):
    names = [t._keras_history.operation.name for t in levels(backbone).values()]
    assert not any("expand" in name or "depthwise" in name for name in names)
    model = features(backbone, _STRIDES)
    assert [shape[1] for shape in model.output_shape] == [48, 24, 12]


def test_a_missing_stride_is_named():
    model = hh_keras.models.build("resnet8", (32, 32, 3), 10)
    with pytest.raises(ModelError, match=r"no features of stride 64 .* it has 1, 2, 4"):
        features(model, (2, 64))


def test_images_that_never_meet_are_refused():
    a, b = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    keras.layers.ReLU()(a)  # Keras 3.12 wants every input read
    model = keras.Model([a, b], keras.layers.Conv2D(1, 3)(b))
    with pytest.raises(ModelError, match="does not compare"):
        halves(model)


@pytest.mark.parametrize("strides", [(2,), (1, 4)])
def test_a_head_needs_two_strides_that_follow(strides):
    model = hh_keras.models.build("resnet8", (32, 32, 3), 10)
    with pytest.raises(ModelError, match="the last twice the one before"):
        tracker(model, "filter", strides)
    assert tracker(model, "filter", strides, boxes=False).output_shape[-1] == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strides", [(2, 4), (1, 2), (1, 2, 4, 8), (1, 4, 8)])
def test_a_head_reads_any_number_of_strides(kind, strides):
    inputs = x = keras.Input((32, 32, 3))
    for stage in range(4):
        x = keras.layers.Conv2D(4, 3, 1 + (stage > 0), padding="same")(x)
    model = tracker(keras.Model(inputs, x), kind, strides, width=4)
    cells = 32 // strides[-2]
    assert model.output_shape == (None, cells, cells, 5)


def test_networks_without_maps_are_refused():
    inputs = keras.Input((8, 8, 3))
    flat = keras.layers.Dense(4)(keras.layers.Flatten()(inputs))
    for boxes in (True, False):
        with pytest.raises(ModelError, match="needs a convolutional network"):
            tracker(keras.Model(inputs, flat, name="mlp"), boxes=boxes)
    one = keras.Model(inputs, keras.layers.Conv2D(8, 3, padding="same")(inputs))
    with pytest.raises(ModelError, match=r"--strides=1 .* or --nosides"):
        tracker(one)
    assert tracker(one, boxes=False).output_shape == (None, 8, 8, 1)


def test_two_images_of_two_sizes_are_refused():
    a, b = keras.Input((16, 16, 3)), keras.Input((8, 8, 3))
    conv = keras.layers.Conv2D(4, 3, padding="same")
    z = keras.layers.AveragePooling2D(2)(conv(a))
    score = keras.layers.Conv2D(1, 1)(keras.layers.Multiply()([z, conv(b)]))
    with pytest.raises(ModelError, match="two squares of one size"):
        check_model(keras.Model([a, b], score))
