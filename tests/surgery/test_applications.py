"""The invariants over networks of keras.applications; all of them in `-m slow`."""

import keras
import numpy as np
import pytest

import hh_keras as hh
from tests.zoo import randomize

QUICK = {"MobileNetV2": 64, "EfficientNetB0": 64, "ResNet50": 64, "DenseNet121": 64}
SLOW = {
    "ConvNeXtTiny": 64,
    "InceptionV3": 96,
    "MobileNet": 64,
    "MobileNetV3Small": 64,
    "MobileNetV3Large": 64,
    "NASNetMobile": 64,
    "EfficientNetV2B0": 64,
    "ResNet50V2": 64,
    "VGG16": 64,
    "Xception": 96,
    "InceptionResNetV2": 96,
}


def check(name, size):
    build = getattr(keras.applications, name)
    model = build(
        weights=None,
        input_shape=(size, size, 3),
        classes=10,
        classifier_activation=None,
    )
    randomize(model)
    channels, full = hh.trace(model), hh.cost(model)
    assert channels.removable_share > 0.8
    assert full.params == model.count_params()
    scores = hh.score_channels(model, criterion="weight_norm")
    budget = hh.Budget(macs=full.macs * 0.6)
    plan = hh.select_channels(channels, scores, budget)
    small = hh.rebuild(model, plan)
    got = hh.cost(small)
    assert 0.99 * budget.macs <= got.macs <= budget.macs
    assert got.macs == round(plan.notes["macs"])
    assert got.params == round(plan.notes["params"]) == small.count_params()
    x = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")
    masked = np.asarray(hh.mask(model, plan)(x, training=False))
    rebuilt = np.asarray(small(x, training=False))
    assert np.abs(masked - rebuilt).max() <= 1e-5 * np.ptp(masked)


@pytest.mark.parametrize("name", QUICK)
def test_application(name):
    check(name, QUICK[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_application_slow(name):
    check(name, SLOW[name])
