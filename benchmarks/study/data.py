"""Images in memory, the same ones in the same order for every run of a seed."""

import dataclasses
import gzip
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf

import hh_keras.data
from hh_keras.data.augmentation import augment_images
from hh_keras.data.pipeline import ready
from hh_keras.data.source import balanced_indices


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """What `hh_keras.training.train` wants, as one long epoch.

    Attributes:
        train: all batches of the training.
        epoch: the same, from a step on.
        validation: batches of all validation images.
        search: `(images, labels)` batches without augmentation, NumPy arrays.
    """

    train: tf.data.Dataset
    epoch: Callable
    validation: tf.data.Dataset
    search: Callable


def parse(text):
    """Reads `NAME:IMAGES@SIZE` into name, number of training images, pixels."""
    name, _, rest = text.partition(":")
    count, _, size = rest.partition("@")
    return name, int(count), int(size)


def load(text, folders, protocol, seed):
    """Loads images as batches.

    Args:
        text: see `parse`.
        folders: name → a data set as `hh_keras.data.load` takes it, or a folder with
            the four IDX files of MNIST's kind.
        protocol: a `Protocol`.
        seed: of order and augmentation.

    Returns:
        `(Images, image_shape, num_classes)`.
    """
    name, count, size = parse(text)
    (x, y), test = arrays(folders.get(name, name), size)
    classes = int(y.max()) + 1
    chosen = balanced_indices(y, count, classes)
    x, y = x[chosen], y[chosen]
    return batches(x, y, test, protocol, seed), x.shape[1:], classes


def batches(x, y, test, protocol, seed):
    """Makes `Images` of arrays; every pass over the images has an order of its own."""
    rng = np.random.default_rng(seed)
    wanted = protocol.steps * protocol.batch_size
    passes = [rng.permutation(len(y)) for _ in range(-(-wanted // len(y)))]
    order = np.concatenate(passes)[:wanted].reshape(protocol.steps, -1)
    pixels, labels = tf.constant(x), tf.constant(y)

    def batch(step, chosen):
        images = tf.gather(pixels, chosen)
        own = tf.stack([seed, tf.cast(step, tf.int32)])
        images = augment_images(images, own, protocol.augment)
        return tf.cast(images, tf.float32), tf.gather(labels, chosen)

    def from_step(first):
        data = tf.data.Dataset.from_tensor_slices(order).enumerate()
        return ready(data.skip(first).map(batch))

    def search(steps):
        for chosen in order[:steps]:
            yield x[chosen].astype("float32"), y[chosen]

    validation = tf.data.Dataset.from_tensor_slices(test).batch(500)
    return Images(
        from_step(0), lambda _, first=0: from_step(first), ready(validation), search
    )


def arrays(source, size):
    """All images of a set, resized: `((x, y), (test x, test y))`, uint8 and int32.

    They are decoded once and kept in the folder for temporary files.
    """
    tag = hashlib.sha256(f"{os.path.abspath(source)}@{size}".encode()).hexdigest()[:16]
    cache = pathlib.Path(tempfile.gettempdir(), f"hh_keras_study_{tag}.npz")
    if not cache.exists():
        found = _idx(source, size) or _decoded(source, size)
        partial = cache.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, *found[0], *found[1])
        partial.rename(cache)
    with np.load(cache) as kept:
        a, b, c, d = (kept[name] for name in kept.files)
    return (a, b), (c, d)


def _idx(folder, size):
    """Reads MNIST's file format, http://yann.lecun.com/exdb/mnist/."""
    out = []
    for prefix in ("train", "t10k"):
        parts = []
        for kind, header in (("images-idx3", 16), ("labels-idx1", 8)):
            paths = sorted(pathlib.Path(folder).glob(f"{prefix}-{kind}-ubyte*"))
            if not paths:
                return None
            unzip = gzip.open if paths[0].suffix == ".gz" else open
            with unzip(paths[0], "rb") as file:
                parts.append(np.frombuffer(file.read(), np.uint8, offset=header))
        side = round((len(parts[0]) / len(parts[1])) ** 0.5)
        images = parts[0].reshape(-1, side, side, 1)
        small = tf.image.resize(images, (size, size), antialias=True)
        small = np.clip(np.round(small), 0, 255).astype(np.uint8)
        out.append((small, parts[1].astype(np.int32)))
    return out


def _decoded(source, size):
    """Reads whatever the library reads."""
    channels = hh_keras.data.open_source(source).image_shape[-1]
    found = hh_keras.data.load(source, (size, size, channels), 1000)
    splits = found.epoch(0), found.validation
    return [
        tuple(np.concatenate(part) for part in zip(*split.as_numpy_iterator()))
        for split in (map_uint8(each) for each in splits)
    ]


def map_uint8(data):
    """Casts the images of a dataset back to what they were decoded to."""
    return data.map(lambda x, y: (tf.cast(tf.round(x), tf.uint8), y))
