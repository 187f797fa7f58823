"""Sets in the format of tensorflow-datasets, found without a network."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import hh_keras as hh
from hh_keras.data import load

IMAGE = tfds.features.Image(encoding_format="jpeg")
LABEL = tfds.features.ClassLabel(names=["dark", "bright"])


def store(data_dir, name, examples, version="1.0.0", **features):
    """Writes splits of dicts, in the on-disk format that `tfds build` writes."""
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=version,
        features=tfds.features.FeaturesDict(features),
        split_datasets=examples,
        data_dir=str(data_dir),
        description="made by a test",
        disable_shuffling=True,
    )


def pictures(count, labels=(0, 1)):
    """Images of different sizes, dark ones with the first label, then bright."""

    def generate():
        for index in range(count):
            size = (8 + index, 20 - index, 3)
            image = np.full(size, (40, 220)[index % 2], np.uint8)
            yield {"image": image, "label": labels[index % 2], "extra": "text"}

    signature = {
        "image": tf.TensorSpec((None, None, 3), tf.uint8),
        "label": tf.TensorSpec((), tf.int64),
        "extra": tf.TensorSpec((), tf.string),
    }
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(count))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("prepared")
    extra = tfds.features.Text()
    splits = {"train": pictures(8), "validation": pictures(4)}
    store(data_dir, "lamps", splits, image=IMAGE, label=LABEL, extra=extra)
    splits = {"train": pictures(2)}
    store(data_dir, "train_only", splits, image=IMAGE, label=LABEL, extra=extra)
    number = tfds.features.Scalar(np.int64)
    store(data_dir, "numbers", splits, image=IMAGE, label=number, extra=extra)
    splits = {"train": pictures(4), "test": pictures(4, (0, -1))}
    store(data_dir, "unlabelled", splits, image=IMAGE, label=LABEL, extra=extra)
    return data_dir


@pytest.fixture
def found(data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))


@pytest.mark.parametrize("limit", [None, 6])
@pytest.mark.parametrize("in_memory", [True, False])
def test_images_of_different_sizes_load(found, monkeypatch, in_memory, limit):
    if not in_memory:
        monkeypatch.setattr("hh_keras.data.loading.IN_MEMORY_BYTES", 0)
    data = load("tfds:lamps", batch_size=4, limit=limit)
    assert data.image_shape == (8, 20, 3) and data.class_names == ("dark", "bright")
    assert (data.num_train, data.num_validation) == (limit or 8, 4)
    assert data.description["text"] == "made by a test"
    assert int(data.train.cardinality()) == 2
    for dataset in (data.train, data.search):
        x, y = (np.concatenate(parts) for parts in zip(*dataset.as_numpy_iterator()))
        assert x.shape == (limit or 8, 8, 20, 3)
        np.testing.assert_array_equal(y, x[:, 0, 0, 0] > 128)
    assert next(data.validation.as_numpy_iterator())[1].tolist() == [0, 1, 0, 1]


def test_streamed_records_are_reshuffled_by_the_seed(found, monkeypatch):
    monkeypatch.setattr("hh_keras.data.loading.IN_MEMORY_BYTES", 0)
    one, two = (load("tfds:lamps", (8, 20, 3), seed=3, batch_size=8) for _ in range(2))
    orders = [
        [next(data.train.as_numpy_iterator())[1].tolist() for _ in range(4)]
        for data in (one, two)
    ]
    assert orders[0] == orders[1] and len(set(map(tuple, orders[0]))) > 1
    (_, first), (_, second) = (next(iter(one.search)) for _ in range(2))
    assert first.numpy().tolist() == second.numpy().tolist()


def test_versions_may_be_given_and_shapes_wanted(found):
    data = load("tfds:lamps:1.0.0", (6, 5, 1))
    assert next(iter(data.train))[0].shape == (8, 6, 5, 1)


@pytest.mark.parametrize(
    ("name", "classes", "settings"),
    [
        ("cifar10", 10, {"augment": "crop_flip"}),
        ("imagenet2012", 1000, {"augment": "imagenet", "view": "ten"}),
    ],
)
def test_sets_of_the_catalogue_that_were_prepared_elsewhere(
    tmp_path, monkeypatch, name, classes, settings
):
    """As `tfds build` leaves them, in the version that the catalogue has."""
    label = tfds.features.ClassLabel(num_classes=classes)
    held_out = "test" if name == "cifar10" else "validation"
    store(
        tmp_path,
        name,
        {"train": pictures(5, (0, classes - 1)), held_out: pictures(3)},
        version=str(tfds.builder_cls(name).VERSION),
        image=IMAGE,
        label=label,
        extra=tfds.features.Text(),
    )
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    data = load(f"tfds:{name}", (32, 32, 3), batch_size=4, **settings)
    assert len(data.class_names) == classes and data.num_train == 5
    labels = np.concatenate([y for _, y in data.epoch(0).as_numpy_iterator()])
    assert sorted(labels) == [0, 0, 0, classes - 1, classes - 1]
    assert [x.shape for x, _ in data.epoch(0)] == [(4, 32, 32, 3), (1, 32, 32, 3)]
    shape = next(iter(data.validation))[0].shape
    assert shape == ((3, 32, 32, 3) if name == "cifar10" else (3, 10, 32, 32, 3))


def test_a_registered_folder_is_searched_too(data_dir, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    tfds.core.add_data_dir(data_dir)
    try:
        assert load("tfds:lamps").num_train == 8
    finally:
        tfds.core.utils.file_utils.clear_registered_data_dirs()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lampz", "knows no 'lampz', and none is prepared in "),
        ("train_only", "has the splits train; it needs train, and validation or test"),
        ("numbers", "no feature 'label' of the kind ClassLabel .*it has .*label"),
        ("unlabelled", "unlabelled-test.tfrecord.* has label -1; the 2 classes are"),
    ],
)
def test_sets_that_do_not_fit_are_told(found, name, message):
    with pytest.raises(hh.DataError, match=message):
        load(f"tfds:{name}")
    if name == "unlabelled":
        with pytest.raises(hh.DataError, match=message):
            load(f"tfds:{name}", limit=4)


def test_sets_that_cannot_be_had_are_told(found, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no route to host\n and more")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    with pytest.raises(hh.DataError, match=r"ConnectionError: no route to host\)"):
        load("tfds:mnist")


def damaged(data_dir, tmp_path, edit):
    """A copy of the lamps whose training file was edited."""
    source = data_dir / "lamps" / "1.0.0"
    copy = tmp_path / "lamps" / "1.0.0"
    copy.mkdir(parents=True)
    for file in source.iterdir():
        content = file.read_bytes()
        edited = edit(content) if "-train.tfrecord" in file.name else content
        (copy / file.name).write_bytes(edited)
    return tmp_path


def test_a_damaged_record_file_is_told(data_dir, tmp_path, monkeypatch):
    cut = damaged(data_dir, tmp_path, lambda content: content[:-100])
    monkeypatch.setenv("TFDS_DATA_DIR", str(cut))
    with pytest.raises(hh.DataError, match="a file of the data set is damaged"):
        load("tfds:lamps")
