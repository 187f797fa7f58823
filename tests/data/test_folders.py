"""Image folders, whole and broken."""

import shutil

import numpy as np
import pytest

import hh_keras as hh
from hh_keras.data import load, open_source


def arrays(dataset):
    x, y = zip(*dataset.as_numpy_iterator())
    return np.concatenate(x), np.concatenate(y)


def test_a_folder_becomes_batches(folder):
    data = load(folder, batch_size=3)
    assert data.name == str(folder) and data.class_names == ("cat", "dog")
    assert (data.num_train, data.num_validation) == (8, 4)
    assert data.image_shape == (8, 10, 3)
    assert str(folder) in data.description["source"]
    sizes = [len(y) for _, y in data.train]
    assert sizes == [3, 3, 2] and int(data.train.cardinality()) == 3
    x, y = arrays(data.validation)
    assert x.dtype == np.float32 and y.dtype == np.int32
    assert x[:, 0, 0, 0].tolist() == [50, 51, 200, 201] and y.tolist() == [0, 0, 1, 1]
    x, y = arrays(data.train)
    assert sorted(x[:, 0, 0, 0]) == [50, 51, 52, 53, 54, 200, 201, 202]
    np.testing.assert_array_equal(y, x[:, 0, 0, 0] > 100)


def test_shapes_are_converted_to_the_first_or_to_the_wanted_one(folder, encoded):
    odd = encoded((31, 17), 60, "JPEG", "L")
    (folder / "train" / "cat" / "9.JPG").write_bytes(odd)
    assert arrays(load(folder).train)[0].shape == (9, 8, 10, 3)
    x, _ = arrays(load(folder, (5, 7, 1)).train)
    assert x.shape == (9, 5, 7, 1) and 60 in np.round(x[:, 2, 3, 0])
    (folder / "train" / "cat" / "-first.jpeg").write_bytes(odd)
    assert open_source(folder).image_shape == (17, 31, 1)


@pytest.mark.parametrize("name", ["validation", "test"])
def test_other_names_of_the_held_out_folder(folder, name):
    (folder / "val").rename(folder / name)
    data = load(folder)
    assert data.num_validation == 4 and f"({name})" in data.description["text"]


def test_hidden_and_other_files_are_passed_over_and_nested_ones_found(folder):
    cat = folder / "train" / "cat"
    (cat / ".hidden.png").write_bytes(b"")
    (cat / "notes.txt").write_text("cats")
    (cat / ".cache").mkdir()
    (cat / ".cache" / "x.png").write_bytes(b"")
    (folder / "train" / ".git").mkdir()
    (cat / "more" / "deep").mkdir(parents=True)
    shutil.copy(cat / "0.png", cat / "more" / "deep" / "0.PNG")
    assert load(folder).num_train == 9


def test_limits_are_balanced(folder):
    data = load(folder, limit=4)
    x, y = arrays(data.train)
    assert sorted(x[:, 0, 0, 0]) == [50, 51, 200, 201] and y.sum() == 2
    assert (data.num_train, data.num_validation) == (4, 4)
    assert load(folder, limit=100).num_train == 8


def test_layouts_that_do_not_fit_are_told(folder):
    def told(path=folder):
        with pytest.raises(hh.DataError) as caught:
            load(path)
        return str(caught.value)

    assert "no such folder" in told(folder / "nowhere")
    assert "is a file, not a folder" in told(folder / "val" / "cat" / "0.png")
    assert f"'{folder / 'val'}' has no train/" in told(folder / "val")
    (folder / "val" / "cow").mkdir()
    message = told()
    assert f"'{folder / 'train'}' has no class folder 'cow'" in message
    assert f"remove '{folder / 'val' / 'cow'}'" in message
    (folder / "val" / "cow").rename(folder / "train" / "cow")
    assert f"'{folder / 'val'}' has no class folder 'cow'" in told()
    (folder / "val" / "cow").mkdir()
    (folder / "train" / "cow" / "readme.txt").write_text("no cows yet")
    assert f"class folder '{folder / 'train' / 'cow'}' holds no images" in told()
    shutil.rmtree(folder / "val")
    assert "has no val/ (nor validation/ nor test/)" in told()
    (folder / "val").mkdir()
    assert f"'{folder / 'val'}' has no class folders" in told()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda good: b"", "the file is empty"),
        (lambda good: b"not a picture", "no image of a known format"),
        (lambda good: good[: len(good) // 2], "(?i)truncated"),
    ],
)
@pytest.mark.parametrize("place", ["train/cat/0.png", "val/dog/1.png"])
def test_unreadable_images_are_named_before_training(
    folder, encoded, place, content, reason
):
    bad = folder / place
    bad.write_bytes(content(encoded((40, 40))))
    with pytest.raises(hh.DataError, match=reason) as caught:
        load(folder, (8, 10, 3), on_bad_image="fail")
    assert str(bad) in str(caught.value)
    assert "Remove or replace it" in str(caught.value)


def test_a_file_that_may_not_be_opened_is_named(folder):
    bad = folder / "val" / "dog" / "9.png"
    bad.symlink_to(folder / "gone.png")
    with pytest.raises(hh.DataError, match=r"9.png .* \(No such file or directory\)"):
        load(folder, on_bad_image="fail")
