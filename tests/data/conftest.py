"""Small image files to load."""

import io

import numpy as np
import pytest
from PIL import Image


def encode(size=(10, 8), value=None, kind="JPEG", mode="RGB", seed=0):
    """The bytes of an image file: noise, or one grey value; size is (width, height)."""
    shape = (size[1], size[0], 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    pixels = pixels if value is None else np.full(shape, value, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="session")
def encoded():
    return encode


@pytest.fixture
def folder(tmp_path):
    """An image folder: cats are 50 grey, dogs 200; 5 and 3 to train on, 2 and 2 not."""
    root = tmp_path / "pets"
    for part, counts in (("train", (5, 3)), ("val", (2, 2))):
        for name, count, value in zip(("cat", "dog"), counts, (50, 200)):
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                # Every image is a little brighter than the one before it.
                image = encode(value=value + index, kind="PNG")
                (root / part / name / f"{index}.png").write_bytes(image)
    return root
