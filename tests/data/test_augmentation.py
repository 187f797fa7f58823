"""Every augmentation keeps the same promises."""

import sys

import numpy as np
import pytest
import tensorflow as tf

import hh_keras as hh
from hh_keras.data import load
from hh_keras.data.mixing import mix
from hh_keras.data.rand_augment import _one_each, _operations, rand_augment

AUGMENTED = {
    "none": {},
    "flip": {"augment": "flip"},
    "crop_flip": {"augment": "crop_flip"},
    "imagenet": {"augment": "imagenet"},
    "rand_augment": {"rand_augment": 2},
    "mixup": {"mixup": 0.4},
    "cutmix": {"cutmix": 1.0},
    "everything": {
        "augment": "crop_flip", "rand_augment": 1, "mixup": 0.2, "cutmix": 1.0
    },
}  # fmt: skip


@pytest.fixture
def noisy(folder, encoded):
    """The folder with images in which every pixel tells where it is from."""
    for k, path in enumerate(sorted((folder / "train").glob("*/*.png"))):
        path.write_bytes(encoded((24, 20), kind="PNG", seed=k))
    return folder


def batches(dataset):
    return list(dataset.as_numpy_iterator())


def assert_same(one, other):
    for mine, its in zip(one, other, strict=True):
        for a, b in zip(mine, its, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("memory", [None, 0], ids=["held", "streamed"])
@pytest.mark.parametrize("name", list(AUGMENTED))
def test_an_epoch_depends_on_seed_and_number_only(noisy, name, memory):
    settings = {**AUGMENTED[name], "batch_size": 3, "memory_bytes": memory}
    one, two, other = (load(noisy, seed=seed, **settings) for seed in (1, 1, 2))
    whole = batches(one.epoch(4))
    assert [len(x) for x, _ in whole] == [3, 3, 2]
    assert_same(whole, batches(two.epoch(4)))
    for first in (1, 2):
        assert_same(whole[first:], batches(two.epoch(4, first)))
    assert batches(two.epoch(4, 3)) == []
    for changed in (one.epoch(5), other.epoch(4)):
        assert not np.array_equal(batches(changed)[0][0], whole[0][0])
    for x, y in whole:
        assert x.dtype == np.float32 and x.min() >= 0 and x.max() <= 255
        assert np.isfinite(x).all() and x.shape[1:] == one.image_shape
        if y.ndim == 2:
            np.testing.assert_allclose(y.sum(1), 1, rtol=1e-5)
        assert y.dtype == (
            np.float32 if "mix" in name or name == "everything" else "i4"
        )
    for plain in (one.validation, one.search):
        assert next(plain.as_numpy_iterator())[1].dtype == np.int32


def examples(count=64, channels=3):
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (count, 16, 16, channels)).astype("float32")
    shares = np.eye(8, dtype="float32")[rng.integers(0, 8, count)]
    return images, shares


def test_mixup_blends_images_as_it_blends_labels():
    images, _ = examples()
    mixed, shares = (
        each.numpy()
        for each in mix(images, np.eye(64, dtype="float32"), [1, 2], 1.0, 0)
    )
    np.testing.assert_allclose(
        mixed, np.einsum("ij,jhwc->ihwc", shares, images), rtol=1e-3, atol=0.05
    )
    assert 0.3 < shares.diagonal().mean() < 0.8


def test_cutmix_pastes_as_much_as_its_labels_say():
    images, _ = examples()
    mixed, shares = (
        each.numpy()
        for each in mix(images, np.eye(64, dtype="float32"), [1, 2], 0, 1.0)
    )
    for k in range(64):
        own = (mixed[k] == images[k]).all(-1)
        partner = max(set(range(64)) - {k}, key=lambda j: shares[k, j])
        other = (mixed[k] == images[partner]).all(-1)
        assert (own | other).all()
        if partner != k and shares[k, k] < 1:
            assert own.mean() == pytest.approx(shares[k, k], abs=1e-5)
    assert 0 < (mixed != images).any((1, 2, 3)).mean() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 64])
def test_rand_augment_changes_most_images_and_no_shape(channels, count):
    images, _ = examples(count, channels)
    found = rand_augment(channels, 2, 0.5)(tf.constant(images), tf.constant([3, 4]))
    assert found.shape == images.shape
    changed = (np.asarray(found) != images).any((1, 2, 3))
    assert count < 64 or changed.mean() > 0.8
    still = rand_augment(channels, 2, 0.5)(tf.constant(images), tf.constant([3, 4]))
    np.testing.assert_array_equal(found, still)


def test_both_mixtures_take_turns():
    images, shares = examples()
    kinds = set()
    for seed in range(12):
        mixed = np.asarray(mix(images, shares, [seed, 0], 1.0, 1.0)[0])
        kinds.add(bool((mixed == images).all(-1).any()))
    assert kinds == {True, False}


def test_without_keras_cv_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_cv", None)
    with pytest.raises(hh.DataError, match="pip install 'hh_keras\\[cv\\]'"):
        load(rand_augment=1, limit=10)


def test_strength_and_direction_are_drawn_apart():
    def told(images, strength, sign):
        return tf.reshape(tf.concat([strength, sign], 1), (-1, 1, 1, 2))

    nothing = tf.zeros((20000, 1, 1, 2))
    drawn = _one_each([told], nothing, tf.constant([3, 4]), 0.5)
    strength, sign = np.asarray(drawn)[:, 0, 0].T
    for part in (slice(0, None, 2), slice(1, None, 2)):
        for low in (-1.0, -0.5, 0.0, 0.5):
            own = strength[part][(sign[part] >= low) & (sign[part] < low + 0.5)]
            assert own.mean() == pytest.approx(0.5, abs=0.02)
            assert own.std() == pytest.approx(strength.std(), rel=0.08)


def test_the_stronger_the_more_is_turned_round():
    solarize = _operations(1)[1]
    images = np.linspace(1, 254, 12, dtype="float32").reshape(1, 12, 1, 1)
    changed = []
    for strength in (0.0, 0.5, 1.0):
        found = solarize(tf.constant(images), tf.constant([[strength]]), None)
        changed.append((np.asarray(found) < images).mean())
        if not strength:
            np.testing.assert_array_equal(found, images)
    # Beyond 255 (1 - m), after 110 m is added: all of 12, or those above 73.
    assert changed[0] == 0 and 0 < changed[1] < changed[2]
