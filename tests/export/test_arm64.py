"""int8 files compute on 64-bit Arm what they compute here, bit for bit (emulated)."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from hh_keras import data, export
from hh_keras.models import build
from tests.zoo import randomize

CACHE = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
ARM64 = pathlib.Path(
    os.environ.get("HH_ARM64") or pathlib.Path(CACHE, "hh_keras/arm64")
)
SCRIPT = pathlib.Path(__file__).with_name("arm64_outputs.py")


@pytest.mark.slow
@pytest.mark.skipif(
    not (ARM64 / "run").exists(),
    reason=f"no {ARM64}/run: make it with deploy/tflite/arm64/prepare.sh",
)
@pytest.mark.parametrize(
    ("name", "settings"), [("resnet20", {}), ("mobilenetv2_small", {"width": 0.25})]
)
def test_int8_is_bit_identical(name, settings, tmp_path):
    images = data.load("embedded", limit=40, batch_size=20)
    shape = images.image_shape
    model = randomize(build(name, shape, 10, model_args=settings))
    real = np.concatenate([x for x, _ in images.validation]).astype("float32")[:4]
    examples = np.concatenate([x for x, _ in images.search]).astype("float32")
    path = export.tflite(
        model, tmp_path / "m.tflite", quantize="int8", representative=examples,
        integer_io=True,
    )  # fmt: skip
    np.save(tmp_path / "in.npy", real - 128)
    found = []
    for number, python in enumerate(([sys.executable], [str(ARM64 / "run")])):
        put = tmp_path / f"{number}.npy"
        command = [*python, str(SCRIPT), str(path), str(tmp_path / "in.npy"), str(put)]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        found.append(np.load(put))
    assert found[0].dtype == np.int8 and len(np.unique(found[0])) > 3
    np.testing.assert_array_equal(*found)
