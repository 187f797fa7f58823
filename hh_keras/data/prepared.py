"""Data sets in the on-disk format of tensorflow-datasets."""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow_datasets as tfds

from hh_keras.data.embedded import DIRECTORY
from hh_keras.data.records import records
from hh_keras.data.source import Source, Split, first_shape
from hh_keras.errors import DataError

_SHUFFLED_BYTES = 512 * 2**20


def open_embedded() -> Source:
    """Opens the images inside the package."""
    return _source("embedded", tfds.builder_from_directory(str(DIRECTORY)))


def open_tfds(spec: str) -> Source:
    """Opens a set of tensorflow-datasets; downloads it if it is not there yet.

    Args:
        spec: as for `prepared_builder`.

    Returns:
        A `Source` in which images are still encoded.

    Raises:
        DataError: no such set, it cannot be prepared, or it does not hold images
            with one label each in a training and a held-out split.
    """
    return _source(spec, prepared_builder(spec))


def prepared_builder(spec: str) -> tfds.core.DatasetBuilder:
    """Finds a set of tensorflow-datasets and sees to it that it is on the disk.

    Args:
        spec: "tfds:NAME", also with a configuration or a version:
            "tfds:NAME/CONFIG:1.0.0". Sets below the environment variable
            TFDS_DATA_DIR (or below tensorflow-datasets' own folder) are found
            without a network, whether tensorflow-datasets knows their name or not.

    Raises:
        DataError: no such set, or it cannot be prepared.
    """
    name = spec.removeprefix("tfds:")
    # tensorflow-datasets itself looks at the variable once, when it is imported.
    data_dir = os.environ.get("TFDS_DATA_DIR")
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        near = nearest(name)
        raise DataError(
            f"tensorflow-datasets knows no '{name}', and none is prepared in "
            f"{data_dir or 'its data folder'}"
            + (f"; nearest: {', '.join(near)}." if near else ".")
        ) from error
    except Exception as error:
        raise DataError(
            f"data set '{name}' cannot be opened ({_reason(error)})."
        ) from error
    try:
        builder.download_and_prepare()
    except Exception as error:
        raise DataError(
            f"data set '{name}' cannot be prepared ({_reason(error)}). Prepare it "
            "where there is a network, and set TFDS_DATA_DIR to its folder."
        ) from error
    return builder


def nearest(name: str) -> list[str]:
    """Up to three names of tensorflow-datasets that resemble a mistyped one."""
    known = tfds.list_builders(with_community_datasets=False)
    return difflib.get_close_matches(name, known, 3)


def _source(spec: str, builder: tfds.core.DatasetBuilder) -> Source:
    info = builder.info
    image, names = _features(spec, info)
    splits = [_split(spec, builder, part) for part in parts(spec, info)]
    return Source(
        name=spec,
        class_names=names,
        image_shape=_own_shape(image.shape, splits[0]),
        train=splits[0],
        validation=splits[1],
        description={
            "source": info.homepage or str(builder.data_dir),
            "text": (info.description or "").strip(),
        },
    )


def parts(spec: str, info: tfds.core.DatasetInfo) -> tuple[str, str]:
    """Names of the split to train on and of the one to measure on.

    Raises:
        DataError: one of them is missing.
    """
    held_out = next((s for s in ("validation", "test") if s in info.splits), None)
    if "train" not in info.splits or held_out is None:
        raise DataError(
            f"data set '{spec}' has the splits {', '.join(info.splits) or '(none)'}; "
            "it needs train, and validation or test."
        )
    return "train", held_out


def records_of(
    spec: str, info: tfds.core.DatasetInfo, part: str
) -> Iterator[tuple[str, Callable]]:
    """The records of a split, see `hh_keras.data.records`.

    Raises:
        DataError: they are stored in another way than as tfrecord, or damaged.
    """
    if info.file_format is None or info.file_format.value != "tfrecord":
        raise DataError(
            f"data set '{spec}' is stored as {info.file_format}; images are read one "
            "by one from tfrecord only. Prepare it with file_format='tfrecord'."
        )
    for path in info.splits[part].filepaths:
        yield from records(os.fspath(path))


def _features(spec: str, info: tfds.core.DatasetInfo) -> tuple:
    """The image feature and the names of the classes."""
    features = info.features
    wanted = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    for key, kind in wanted.items():
        if key not in features or not isinstance(features[key], kind):
            raise DataError(
                f"data set '{spec}' has no feature '{key}' of the kind {kind.__name__} "
                f"(it has {', '.join(features)}): only sets of images with one class "
                "each can be used."
            )
    if np.dtype(features["image"].np_dtype).kind != "u":
        raise DataError(
            f"data set '{spec}' has images of {features['image'].np_dtype}; only "
            "whole numbers of 8 or 16 bits can be used."
        )
    label = features["label"]
    return features["image"], tuple(label.names or map(str, range(label.num_classes)))


def _split(spec: str, builder: tfds.core.DatasetBuilder, part: str) -> Split:
    about = builder.info.splits[part]
    if not about.num_examples:
        raise DataError(f"data set '{spec}' has no examples in its split {part}.")
    decoders = tfds.decode.PartialDecoding(
        {"image": True, "label": True}, {"image": tfds.decode.SkipDecoding()}
    )

    def records(seed, reshuffle):
        config = tfds.ReadConfig(
            add_tfds_id=True,
            try_autocache=False,
            shuffle_seed=seed,
            shuffle_reshuffle_each_iteration=reshuffle,
            # Files are read one after the other, or 16 at a time to be shuffled.
            interleave_cycle_length=1 if seed is None else 16,
            enable_ordering_guard=seed is None,
        )
        with _warnings_off():
            found = builder.as_dataset(
                split=part,
                shuffle_files=seed is not None,
                decoders=decoders,
                read_config=config,
            )
        return found.map(lambda r: (r["tfds_id"], r["image"], r["label"]))

    each = max(1, about.num_bytes // about.num_examples)
    return Split(about.num_examples, records, bytes, max(1, _SHUFFLED_BYTES // each))


@contextlib.contextmanager
def _warnings_off() -> Iterator[None]:
    """Silences tensorflow-datasets about its own use of old names."""
    loggers = [logging.getLogger(name) for name in ("absl", "tensorflow")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _own_shape(stored: tuple, split: Split) -> tuple[int, int, int]:
    height, width, channels = stored
    if None in stored:
        first = first_shape(split)
        height, width = first[:2]
        channels = channels or first[2]
    return height, width, 1 if channels <= 2 else 3


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]
