"""From a data set's name to batches of pixels."""

from __future__ import annotations

import dataclasses
import difflib

import numpy as np
import tensorflow as tf

from hh_keras.data.augmentation import AUGMENTATIONS, augment_images
from hh_keras.data.decoding import fit_image
from hh_keras.data.embedded import DIRECTORY
from hh_keras.data.source import balanced_indices
from hh_keras.errors import DataError


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """Batches of `(float32 pixels 0..255, int32 labels)`, ready to train on.

    Attributes:
        name: what was asked for.
        train: shuffled anew every epoch, augmented.
        validation: in stored order.
        search: like `train` without augmentation, in one seeded order.
        class_names: one name per label.
        num_train, num_validation: numbers of examples.
        image_shape: `(height, width, channels)`.
        description: source, licence and the like.
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    search: tf.data.Dataset
    class_names: tuple
    num_train: int
    num_validation: int
    image_shape: tuple
    description: dict


def load(
    spec="embedded",
    image_shape=None,
    batch_size=64,
    seed=0,
    augment="none",
    limit=None,
):
    """Loads a classification data set into memory, as batches.

    Args:
        spec: "embedded" (14,000 images of Fashion-MNIST inside the package) or
            "tfds:NAME", any prepared set of tensorflow-datasets with `image` and
            `label`.
        image_shape: `(height, width, channels)` to resize and convert to; None keeps
            the data set's own.
        batch_size: examples per batch; the last batch may be smaller.
        seed: of the shuffling and the augmentation.
        augment: one of `AUGMENTATIONS`.
        limit: at most this many examples per split, balanced over the classes.

    Returns:
        An `ImageData`.

    Raises:
        DataError: unknown data set or augmentation, or one that cannot be prepared.
    """
    if augment not in AUGMENTATIONS:
        raise DataError(f"augment '{augment}' is none of {', '.join(AUGMENTATIONS)}.")
    builder = _builder(spec)
    info = builder.info
    if not {"image", "label"} <= set(info.features):
        raise DataError(f"data set '{spec}' has no 'image' and 'label' features.")
    held_out = next((s for s in ("validation", "test") if s in info.splits), None)
    if "train" not in info.splits or held_out is None:
        raise DataError(f"data set '{spec}' needs a train and a validation split.")
    names = tuple(info.features["label"].names or ())
    parts = [
        _read(builder, s, image_shape, limit, len(names)) for s in ("train", held_out)
    ]
    (x, y), (vx, vy) = parts
    train = _batches(x, y, batch_size, seed, augment, reshuffle=True)
    return ImageData(
        name=spec,
        train=train,
        validation=_batches(vx, vy, batch_size, None, "none", reshuffle=False),
        search=_batches(x, y, batch_size, seed, "none", reshuffle=False),
        class_names=names,
        num_train=len(x),
        num_validation=len(vx),
        image_shape=tuple(x.shape[1:]),
        description={"source": info.homepage, "text": info.description.strip()},
    )


def _builder(spec):
    import tensorflow_datasets as tfds

    if spec == "embedded":
        return tfds.builder_from_directory(str(DIRECTORY))
    if not spec.startswith("tfds:"):
        raise DataError(f"unknown data set '{spec}': use 'embedded' or 'tfds:NAME'.")
    name = spec[len("tfds:") :]
    try:
        builder = tfds.builder(name)
    except tfds.core.DatasetNotFoundError as error:
        near = difflib.get_close_matches(name, tfds.list_builders(), 3)
        raise DataError(
            f"tensorflow-datasets knows no '{name}'"
            + (f"; nearest: {', '.join(near)}." if near else ".")
        ) from error
    try:
        builder.download_and_prepare()
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise DataError(
            f"data set '{name}' cannot be prepared ({type(error).__name__}: {reason})."
        ) from error
    return builder


def _read(builder, split, image_shape, limit, num_classes):
    """All images and labels of a split, as uint8 and int32 arrays."""
    records = builder.as_dataset(split=split, shuffle_files=False)
    if limit:
        labels = records.map(lambda r: r["label"]).as_numpy_iterator()
        chosen = set(balanced_indices(labels, limit, num_classes).tolist())
        table = tf.constant([i in chosen for i in range(max(chosen) + 1)])
        records = records.take(max(chosen) + 1).enumerate()
        records = records.filter(lambda i, r: table[i]).map(lambda i, r: r)

    def fit(record):
        image = record["image"]
        if image_shape is not None and image_shape != tuple(image.shape):
            rgb = tf.image.grayscale_to_rgb(image) if image.shape[-1] == 1 else image
            image = fit_image(rgb, image_shape)
        return image, tf.cast(record["label"], tf.int32)

    pairs = records.map(fit, num_parallel_calls=tf.data.AUTOTUNE)
    try:
        images, labels = zip(*pairs.as_numpy_iterator())
        return np.stack(images), np.asarray(labels, np.int32)
    except ValueError as error:
        raise DataError(
            "the images differ in size: give an image_shape to resize them to."
        ) from error


def _batches(images, labels, batch_size, seed, augment, reshuffle):
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    if seed is not None:
        data = data.shuffle(len(images), seed=seed, reshuffle_each_iteration=reshuffle)
    data = data.batch(batch_size)
    if augment != "none":
        counter = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
        data = tf.data.Dataset.zip(data, counter).map(
            lambda xy, n: (
                augment_images(xy[0], tf.cast(tf.stack([n, n + 1]), tf.int32), augment),
                xy[1],
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    data = data.map(lambda x, y: (tf.cast(x, tf.float32), y))
    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    return data.with_options(options).prefetch(tf.data.AUTOTUNE)
