"""Images that cannot be read are left out, counted and named."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

import hh_keras as hh
from hh_keras.data import load


@pytest.fixture(params=[None, 0], ids=["held", "streamed"])
def memory(request):
    return request.param


def spoil(folder, *names):
    for name in names:
        path = folder / name
        path.write_bytes(path.read_bytes()[:40])


def seen(dataset):
    return [x[:, 0, 0, 0].astype(int).tolist() for x, _ in dataset.as_numpy_iterator()]


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_they_are_left_out_of_every_split_and_named(folder, memory):
    good = load(folder, batch_size=3, memory_bytes=memory)
    before = sum(seen(good.epoch(0)), [])
    spoil(folder, "train/cat/2.png", "val/dog/1.png")
    (folder / "val/cat/0.png").write_bytes(b"")
    data = load(folder, batch_size=3, memory_bytes=memory)
    assert sorted(sum(seen(data.epoch(0)), [])) == sorted(set(before) - {52})
    assert sum(seen(data.validation), []) == [51, 200]
    assert 52 not in sum(seen(data.search) + seen(data.train), [])
    assert sorted(data.skipped) == sorted(
        str(folder / name)
        for name in ("train/cat/2.png", "val/dog/1.png", "val/cat/0.png")
    )
    assert data.skipped[str(folder / "val/cat/0.png")] == "the file is empty"
    assert (data.num_train, data.num_validation) == (
        (7, 2) if memory is None else (8, 4)
    )


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_streamed_batches_stay_where_they_are(folder):
    """Else a training that goes on in mid-epoch would see other images."""
    settings = {"batch_size": 2, "memory_bytes": 0, "seed": 5}
    whole = seen(load(folder, **settings).epoch(3))
    spoil(folder, "train/cat/2.png", "train/dog/0.png")
    data = load(folder, **settings)
    assert int(data.train.cardinality()) == 4
    expected = [[v for v in batch if v not in (52, 200)] for batch in whole]
    assert seen(data.epoch(3)) == expected
    assert seen(data.epoch(3, 2)) == expected[2:]


def test_each_is_told_once_and_many_are_counted(folder, encoded, memory):
    for k in range(14):
        (folder / "train" / "cat" / f"bad{k}.png").write_bytes(b"no picture")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = load(folder, batch_size=3, memory_bytes=memory)
        for _ in range(2):
            seen(data.train)
    told = [str(w.message) for w in caught if w.category is UserWarning]
    assert len(data.skipped) == 14 and len(told) == 11
    assert sum("bad" in text and "no image of a known format" in text for text in told)
    assert "more than 10" in told[-1]


def test_nothing_but_bad_images(folder, memory):
    for path in folder.glob("*/*/*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(hh.DataError, match="no image of a known format"):
        load(folder, memory_bytes=memory)


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_a_split_of_bad_images(folder):
    for path in folder.glob("val/*/*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(hh.DataError, match="not a single image"):
        load(folder)


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_the_shape_is_that_of_the_first_good_image(folder):
    (folder / "train/cat/0.png").write_bytes(b"no picture")
    assert load(folder).image_shape == (8, 10, 3)


def test_labels_that_no_class_has_are_no_bad_images(folder, monkeypatch):
    from hh_keras.data.source import check_label

    with pytest.raises(hh.DataError, match="label 9"):
        check_label(b"here", np.int64(9), 2)
    with pytest.raises(hh.DataError, match="neither skip nor fail"):
        load(folder, on_bad_image="ignore")


def test_random_cuts_blame_no_image(folder):
    """Seeds of reshuffled streams once were negative, and images took the blame."""
    data = load(folder, (8, 8, 3), 2, augment="imagenet", on_bad_image="fail")
    for _ in range(4):
        assert sum(len(labels) for _, labels in data.train) == 8
    assert not data.skipped


ENDS_EARLY = """
import sys
from hh_keras.data import load
stream = iter(load(sys.argv[1], (64, 64, 3), 2, memory_bytes=0).epoch(0))
next(stream)
raise SystemExit(3)
"""


def test_a_program_ends_in_the_midst_of_a_stream(folder, encoded):
    for k in range(60):
        path = folder / "train" / "cat" / f"large{k}.jpg"
        path.write_bytes(encoded((500, 400), seed=k))
    command = [sys.executable, "-c", ENDS_EARLY, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr
