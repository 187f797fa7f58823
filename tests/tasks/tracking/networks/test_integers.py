"""Filters in int8 files: they stay in floats, and so follow."""

import numpy as np
import pytest

import hh_keras
from hh_keras import export
from hh_keras.tasks.tracking.networks.trackers import tracker
from hh_keras.tasks.tracking.networks.halves import float_layers, halves


@pytest.mark.parametrize("kind", ["filter", "descent"])
def test_filters_stay_in_floats(kind, tmp_path):
    backbone = hh_keras.models.build("resnet8", (48, 48, 3), 10)
    parts = halves(tracker(backbone, kind, (1, 2, 4), width=8))
    images = np.random.default_rng(0).uniform(0, 255, (4, 48, 48, 3)).astype("float32")
    kernel = export.predict(parts.exemplar, images)
    wanted = export.predict(parts.search, [images, *kernel])
    found = []
    for half, inputs in ((parts.exemplar, images), (parts.search, [images, *kernel])):
        path = export.tflite(
            half, tmp_path / f"{half.name}.tflite", quantize="int8",
            representative=inputs, floats=float_layers(half),
        )  # fmt: skip
        found += [export.predict(path, inputs)]
    for own, other in zip(kernel, found[0]):
        assert np.abs(own - other).max() < 0.2 * np.abs(own).max()
    assert np.abs(wanted - found[1])[..., 0].mean() < 0.03
