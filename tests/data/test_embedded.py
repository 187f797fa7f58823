"""The images inside the package, and the script that made them."""

import gzip
import struct

import numpy as np
import pytest
import tensorflow_datasets as tfds

import hh_keras as hh
from hh_keras.data.embedded import DIRECTORY
from hh_keras.data.embedded.prepare import NAME, VERSION, balanced, prepare, read_idx


def write_idx(path, array):
    head = struct.pack(">HBB", 0, 8, array.ndim)
    head += struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(head + array.astype("u1").tobytes()))


def test_the_embedded_images_are_balanced_and_small():
    builder = tfds.builder_from_directory(str(DIRECTORY))
    assert builder.info.features["label"].names[0] == "T-shirt/top"
    for split, per_class in (("train", 1200), ("test", 200)):
        labels = [int(r["label"]) for r in builder.as_dataset(split=split)]
        assert np.bincount(labels).tolist() == [per_class] * 10
    image = next(iter(builder.as_dataset(split="test")))["image"]
    assert image.shape == (28, 28, 1) and int(np.max(image)) > 100
    size = sum(f.stat().st_size for f in DIRECTORY.rglob("*") if f.is_file())
    assert size <= 8_000_000


def test_the_script_stores_what_the_idx_files_hold(tmp_path):
    rng = np.random.default_rng(0)
    source, kept = tmp_path / "idx", {}
    source.mkdir()
    for prefix, split in (("train", "train"), ("t10k", "test")):
        images = rng.integers(0, 256, (40, 28, 28), np.uint8)
        labels = rng.permutation(np.arange(40) % 10).astype(np.uint8)
        write_idx(source / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(source / f"{prefix}-labels-idx1-ubyte.gz", labels)
        kept[split] = images[balanced(labels, 2)]
    prepare(source, tmp_path / "out", {"train": 2, "test": 2})
    builder = tfds.builder_from_directory(str(tmp_path / "out" / NAME / VERSION))
    for split, images in kept.items():
        stored = [r["image"].numpy()[..., 0] for r in builder.as_dataset(split=split)]
        np.testing.assert_array_equal(np.stack(stored), images)


def test_broken_idx_files_are_named(tmp_path):
    (tmp_path / "bad").write_bytes(b"nonsense")
    with pytest.raises(hh.DataError, match="bad: not a readable IDX file"):
        read_idx(tmp_path / "bad")
