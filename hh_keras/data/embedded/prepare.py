"""Makes the embedded images from the original Fashion-MNIST files.

    python -m hh_keras.data.embedded.prepare --source /usr/share/... --output DIR

Takes the first 1,200 training and the first 200 test images of every class, in the
order of the original files, and stores them as PNG in the on-disk format of
tensorflow-datasets. The source is the four IDX files, gzipped or not, as in Debian's
package `dataset-fashion-mnist`.
"""

import argparse
import gzip
import struct
from pathlib import Path

import numpy as np

from hh_keras.errors import DataError

NAME, VERSION = "fashion_mnist_subset", "1.0.0"
CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
PER_CLASS = {"train": 1200, "test": 200}
_PREFIX = {"train": "train", "test": "t10k"}


def read_idx(path: Path) -> np.ndarray:
    """Reads an IDX file of unsigned bytes into an array.

    Raises:
        DataError: the file is missing or not an IDX file.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        zeros, kind, rank = struct.unpack(">HBB", data[:4])
        shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
        if zeros or kind != 8:
            raise ValueError("wrong magic number")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, ValueError, struct.error) as error:
        raise DataError(f"{path}: not a readable IDX file ({error}).") from error


def balanced(labels: np.ndarray, per_class: int) -> np.ndarray:
    """Positions of the first `per_class` examples of every class, in file order."""
    return np.sort(
        np.concatenate(
            [np.flatnonzero(labels == c)[:per_class] for c in np.unique(labels)]
        )
    )


def find(source: Path, name: str) -> Path:
    for suffix in ("", ".gz"):
        path = Path(source) / f"{name}{suffix}"
        if path.exists():
            return path
    raise DataError(f"{source}: no file {name} or {name}.gz; point --source at them.")


def prepare(source: Path, output: Path, per_class: dict | None = None) -> None:
    """Writes the subset in TFDS's format below `output`."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    splits = {}
    for split, count in (per_class or PER_CLASS).items():
        images = read_idx(find(source, f"{_PREFIX[split]}-images-idx3-ubyte"))
        labels = read_idx(find(source, f"{_PREFIX[split]}-labels-idx1-ubyte"))
        chosen = balanced(labels, count)
        splits[split] = tf.data.Dataset.from_tensor_slices(
            {"image": images[chosen][..., None], "label": labels[chosen].astype("i8")}
        )
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=CLASSES),
        }
    )
    tfds.dataset_builders.store_as_tfds_dataset(
        name=NAME,
        version=VERSION,
        features=features,
        split_datasets=splits,
        data_dir=str(output),
        description="Class-balanced part of Fashion-MNIST (Zalando, MIT licence).",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        citation="arXiv:1708.07747",
        disable_shuffling=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="folder of the IDX files")
    parser.add_argument("--output", required=True, help="folder to write below")
    args = parser.parse_args()
    prepare(args.source, args.output)


if __name__ == "__main__":
    main()
