"""Backbones of keras-cv, built from their base classes: no download."""

import numpy as np
import pytest

import hh_keras as hh
from tests.zoo import randomize

models = pytest.importorskip("keras_cv").models
SHAPE = {"input_shape": (64, 64, 3), "include_rescaling": False}
STAGES = {
    "stackwise_filters": [32, 64],
    "stackwise_blocks": [2, 2],
    "stackwise_strides": [1, 2],
}
BACKBONES = {
    "ResNet": lambda: models.ResNetBackbone(**STAGES, **SHAPE),
    "ResNetV2": lambda: models.ResNetV2Backbone(**STAGES, **SHAPE),
    "DenseNet": lambda: models.DenseNetBackbone(stackwise_num_repeats=[3, 3], **SHAPE),
    "MobileNetV3": lambda: models.MobileNetV3Backbone(
        stackwise_expansion=[1, 4.5, 3.7],
        stackwise_filters=[16, 24, 24],
        stackwise_kernel_size=[3, 3, 3],
        stackwise_stride=[2, 2, 1],
        stackwise_se_ratio=[0.25, None, 0.25],
        stackwise_activation=["relu", "relu", "hard_swish"],
        **SHAPE,
    ),
    "VGG16": lambda: models.VGG16Backbone(include_top=False, **SHAPE),
    "YOLOV8": lambda: models.YOLOV8Backbone(
        stackwise_channels=[32, 64], stackwise_depth=[1, 2], **SHAPE
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_shrink_exactly(name):
    model = randomize(BACKBONES[name]())
    channels = hh.trace(model)
    assert channels.removable_share > 0.5
    scores = hh.score_channels(model, criterion="random")
    budget = hh.Budget(macs=0.7 * hh.cost(model).macs)
    plan = hh.select_channels(channels, scores, budget)
    small = hh.rebuild(model, plan)
    x = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    masked = np.asarray(hh.mask(model, plan)(x, training=False))
    rebuilt = np.asarray(small(x, training=False))
    assert np.abs(masked - rebuilt).max() <= 1e-5 * np.ptp(masked)
    assert hh.cost(small).params == small.count_params()
    assert hh.cost(small).macs == round(plan.notes["macs"])
