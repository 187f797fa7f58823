"""Pairs of degraded and clean images: the same seed, the same pairs."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import hh_keras as hh
from hh_keras.data import ImageData
from hh_keras.data.resizing import imresize, to_pixels
from hh_keras.tasks.restoration.pairs import load_pairs
from hh_keras.tasks.restoration.photographs import open_photographs
from tests.data.conftest import encode
from tests.data.test_prepared import store

SMALL = {"patch": 12, "batch_size": 4, "patches_per_image": 5}


@pytest.fixture(params=["held", "streamed"])
def memory(request):
    return {"memory_bytes": None if request.param == "held" else 0}


@pytest.fixture
def photos(tmp_path):
    """A folder without parts: 13 images of different sizes."""
    for k in range(13):
        image = encode((40 + k, 60 - k), kind="PNG", seed=k)
        (tmp_path / f"{k:02d}.png").write_bytes(image)
    return tmp_path


def arrays(dataset):
    return list(dataset.as_numpy_iterator())


def assert_equal(one, two):
    assert len(one) == len(two)
    for a, b in zip(one, two):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


@pytest.mark.parametrize("degradation", ["noise:0-50", "bicubic:2"])
def test_epochs_depend_on_seed_and_number_only(photos, degradation, memory):
    data, again, other = (
        load_pairs(photos, degradation, seed=seed, **SMALL, **memory)
        for seed in (1, 1, 2)
    )
    assert isinstance(data, ImageData) and data.class_names == ()
    assert (data.num_train, data.num_validation) == (55, 2)
    first = arrays(data.epoch(0))
    assert len(first) == 14 == int(data.epoch(0).cardinality())
    assert_equal(first, arrays(again.epoch(0)))
    assert_equal(first[9:], arrays(again.epoch(0, 9)))
    for others in (data.epoch(1), other.epoch(0), data.search):
        assert (arrays(others)[0][0] != first[0][0]).any()
    assert_equal(arrays(data.search), arrays(again.search))
    assert_equal(arrays(data.validation), arrays(again.validation))
    one, two = arrays(data.train), arrays(data.train)
    assert len(one) == 14 == int(data.train.cardinality())
    assert (one[0][0] != two[0][0]).any()
    assert_equal(one, arrays(again.train))


def test_streams_and_memory_give_the_same_search_pairs(photos):
    whole = load_pairs(photos, "bicubic:2", **SMALL)
    streamed = load_pairs(photos, "bicubic:2", memory_bytes=0, **SMALL)
    assert_equal(arrays(whole.validation), arrays(streamed.validation))
    some = load_pairs(photos, "noise:9", memory_bytes=10**6, **SMALL)
    assert_equal(
        arrays(load_pairs(photos, "noise:9", **SMALL).epoch(3)), arrays(some.epoch(3))
    )


def test_patches_belong_together(photos):
    data = load_pairs(photos, "bicubic:2", augment="flip_rotate", **SMALL)
    for x, y in arrays(data.epoch(0)):
        assert x.shape[1:] == data.image_shape == (12, 12, 3)
        assert y.shape[1:] == (24, 24, 3) and x.dtype == y.dtype == np.float32
        for small, large in zip(x, y):
            # Away from the border of the patch, what was outside does not matter.
            expected = to_pixels(imresize(large, 1 / 2))
            np.testing.assert_allclose(small[3:-3, 3:-3], expected[3:-3, 3:-3], atol=1)
    noisy = load_pairs(photos, "noise:20", channels=1, **SMALL)
    x, y = arrays(noisy.epoch(0))[0]
    assert x.shape == y.shape == (4, 12, 12, 1)
    assert (x - y).std() == pytest.approx(20, rel=0.15)


def test_augmentation_lays_patches_down_in_eight_ways(tmp_path):
    ramp = np.add.outer(np.arange(20) * 10, np.arange(20)).astype(np.uint8)
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
        from PIL import Image

        Image.fromarray(ramp).save(tmp_path / part / "ramp.png")
    seen = {}
    for augment in ("none", "flip", "flip_rotate"):
        data = load_pairs(
            tmp_path, "noise:0", 8, 1, 64, augment=augment, patches_per_image=64
        )
        ((_, clean),) = arrays(data.epoch(0))
        slopes = clean[:, 1, 0, 0] - clean[:, 0, 0, 0], clean[:, 0, 1] - clean[:, 0, 0]
        seen[augment] = set(zip(slopes[0].tolist(), slopes[1][:, 0].tolist()))
    assert seen["none"] == {(10, 1)}
    assert seen["flip"] == {(10, 1), (10, -1)}
    assert len(seen["flip_rotate"]) == 8


def test_validation_images_are_whole_or_cut_to_their_centre(photos):
    data = load_pairs(photos, "bicubic:2", multiple=4, **SMALL)
    shapes = [(x.shape, y.shape) for x, y in arrays(data.validation)]
    assert shapes[0] == ((1, 28, 20, 3), (1, 56, 40, 3))  # of 60 x 40
    whole = arrays(data.validation)[0][1][0]
    cut = load_pairs(photos, "bicubic:2", multiple=4, validation_size=18, **SMALL)
    x, y = arrays(cut.validation)[0]
    assert (x.shape, y.shape) == ((1, 16, 16, 3), (1, 32, 32, 3))
    np.testing.assert_array_equal(y[0], whole[12:44, 4:36])


def test_bad_images_are_left_out_and_named(photos, memory):
    names = ("01.png", "02.png", "03.png")
    (photos / names[0]).write_bytes(b"nothing")
    content = (photos / names[1]).read_bytes()
    (photos / names[1]).write_bytes(content[: len(content) // 2])
    (photos / names[2]).write_bytes(encode((11, 60), kind="PNG"))
    with pytest.warns(UserWarning, match="is left out"):
        data = load_pairs(photos, "noise:5", **SMALL, **memory)
        count = sum(len(x) for x, _ in arrays(data.epoch(0)))
    assert count == 8 * 5
    assert sorted(data.skipped) == [str(photos / name) for name in names]
    assert "fewer than the 12x12" in data.skipped[str(photos / names[2])]
    with pytest.raises((hh.DataError, tf.errors.OpError), match="0[123].png"):
        bad = load_pairs(photos, "noise:5", on_bad_image="fail", **SMALL, **memory)
        arrays(bad.epoch(0))


def test_folders(photos, tmp_path):
    assert len(open_photographs(photos).validation) == 2
    empty = tmp_path / "empty"
    (empty / "train").mkdir(parents=True)
    with pytest.raises(hh.DataError, match="no val/"):
        open_photographs(empty)
    (empty / "val").mkdir()
    with pytest.raises(hh.DataError, match="holds no image files"):
        open_photographs(empty)
    with pytest.raises(hh.DataError, match="does not exist"):
        open_photographs(tmp_path / "nowhere")
    one = tmp_path / "one"
    one.mkdir()
    (one / "a.png").write_bytes(encode(kind="PNG"))
    with pytest.raises(hh.DataError, match="one image only"):
        open_photographs(one)


def test_arguments_out_of_range(photos):
    for wrong, told in (
        ({"channels": 2}, "1 .grey. or 3"),
        ({"patch": 0}, "patch=0"),
        ({"augment": "crop_flip"}, "flip_rotate"),
        ({"patch": 12, "multiple": 16}, "such as --patch=16"),
        ({"on_bad_image": "ask"}, "skip nor fail"),
        ({"degradation": "blur:1"}, "noise"),
    ):
        with pytest.raises(hh.DataError, match=told):
            load_pairs(photos, **wrong)
    with pytest.warns(UserWarning), pytest.raises(hh.DataError, match="smaller than"):
        load_pairs(photos, patch=100)


def test_the_embedded_photographs():
    data = load_pairs(patch=16, batch_size=2, patches_per_image=1)
    assert (data.num_train, data.num_validation) == (6, 3)
    for noisy, clean in arrays(data.validation):
        assert noisy.shape == clean.shape and 290 < max(clean.shape) <= 448
        assert clean.std() > 30
    source = open_photographs("embedded")
    names = [
        [p.place.split("/")[-1] for p in part]
        for part in (source.train, source.validation)
    ]
    assert not {n.split(".")[0] for n in names[0]} & {n.split(".")[0] for n in names[1]}
    size = sum(len(p.read()) for p in (*source.train, *source.validation))
    assert size < 3e6


def large_and_small(count, scale):
    def generate():
        for k in range(count):
            large = np.random.default_rng(k).integers(0, 256, (48 + 2 * k, 60, 3), "u1")
            small = to_pixels(imresize(large, 1 / scale))
            small[0, 0] = k  # tells it from what would be computed
            yield {"hr": large, "lr": small}

    image = tf.TensorSpec((None, None, 3), tf.uint8)
    dataset = tf.data.Dataset.from_generator(
        generate, output_signature={"hr": image, "lr": image}
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(count))


def test_sets_of_tensorflow_datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    image = tfds.features.Image(encoding_format="png")
    splits = {"train": large_and_small(5, 2), "validation": large_and_small(3, 2)}
    store(tmp_path, "pairs", splits, hr=image, lr=image)
    data = load_pairs("tfds:pairs", "bicubic:2", **SMALL)
    assert (data.num_train, data.num_validation, data.skipped) == (25, 3, {})
    for k, (x, y) in enumerate(arrays(data.validation)):
        assert (y.shape, x[0, 0, 0, 0]) == ((1, 48 + 2 * k, 60, 3), k)
    noisy = load_pairs("tfds:pairs", "noise:3", **SMALL)
    assert arrays(noisy.validation)[1][0].shape == (1, 50, 60, 3)
    with pytest.warns(UserWarning, match="data set for scale 3"):
        with pytest.raises(hh.DataError, match="not a single image"):
            load_pairs("tfds:pairs", "bicubic:3", **SMALL)
    # One record is damaged: it alone is left out.
    (path,) = tmp_path.glob("pairs/*/*train.tfrecord*")
    content = bytearray(path.read_bytes())
    length = int.from_bytes(content[:8], "little")
    content[12 : 12 + length] = bytes(length)
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="__0 is left out"):
        assert load_pairs("tfds:pairs", "noise:3", **SMALL).num_train == 20
    path.write_bytes(content[:-9])
    with pytest.raises(hh.DataError, match="is damaged"):
        load_pairs("tfds:pairs", "noise:3", **SMALL)
    with pytest.raises(hh.DataError, match="no feature 'image' or 'hr'"):
        text = tfds.features.Text()
        words = tf.data.Dataset.from_tensors({"word": "a"})
        store(tmp_path, "words", {"train": words, "test": words}, word=text)
        load_pairs("tfds:words")
