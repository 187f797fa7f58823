"""Detectors shrink exactly: ours, on other networks' features, and other packages'."""

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras import models
from hh_keras.models.detection import detector_small
from hh_keras.tasks.detection.data import with_boxes
from tests.zoo import randomize


def own():
    return detector_small((64, 96, 3), 2, widths=(8, 8, 16, 16, 16), neck=16)


def on_mobilenet():
    return with_boxes(models.build("mobilenetv2_tiny", (64, 96, 3), 10), 1, neck=8)


def shrinks_exactly(model, least=0.5):
    randomize(model)
    channels = hh.trace(model)
    assert channels.removable_share > least
    scores = hh.score_channels(model, criterion="random")
    budget = hh.Budget(macs=0.7 * hh.cost(model).macs)
    plan = hh.select_channels(channels, scores, budget)
    small, masked = hh.rebuild(model, plan), hh.mask(model, plan)
    shape = (2, *model.inputs[0].shape[1:])
    x = np.random.default_rng(0).uniform(0, 1, shape).astype("float32")
    for one, two in zip(outputs(masked, x), outputs(small, x), strict=True):
        assert one.shape == two.shape
        assert np.abs(one - two).max() <= 1e-5 * np.ptp(one)
    assert hh.cost(small).macs <= budget.macs
    assert hh.cost(small).params == small.count_params()


def outputs(model, x):
    return [np.asarray(y) for y in keras.tree.flatten(model(x, training=False))]


@pytest.mark.parametrize("make", [own, on_mobilenet])
def test_our_detectors_shrink_exactly(make):
    model = make()
    assert model.output_shape[1] == 8 * 12 + 4 * 6 + 2 * 3
    shrinks_exactly(model)


def test_the_small_detector_costs_what_it_says():
    model = models.build("detector_small", (192, 256, 3), 3)
    found = hh.cost(model)
    assert found.macs == pytest.approx(239e6, rel=0.005)
    assert found.params == pytest.approx(1.15e6, rel=0.005)
    assert "detector_small" in models.list_models("detect")
    assert "detector_small" not in models.list_models()


def test_sides_that_are_no_multiples_of_32():
    model = detector_small((72, 104, 3), 1, widths=(4, 4, 4, 4, 4), neck=4)
    assert model.output_shape == (None, 9 * 13 + 5 * 7 + 3 * 4, 5)
    shrinks_exactly(model, 0)


@pytest.mark.parametrize("name", ["yolov5n", "yolov8n", "yolo11n"])
def test_detectors_of_kyolo_shrink_exactly(name):
    kyolo = pytest.importorskip("kyolo")
    shrinks_exactly(getattr(kyolo, name)(input_shape=(64, 64, 3), nc=3))


@pytest.mark.filterwarnings("ignore")
def test_detectors_of_keras_cv_shrink_exactly():
    """YOLOv8's own network, below the class that decodes."""
    cv = pytest.importorskip("keras_cv").models
    backbone = cv.YOLOV8Backbone(
        stackwise_channels=[16, 16, 32, 32],
        stackwise_depth=[1, 1, 1, 1],
        input_shape=(64, 64, 3),
        include_rescaling=False,
    )
    detector = cv.YOLOV8Detector(
        backbone=backbone, num_classes=3, bounding_box_format="xyxy", fpn_depth=1
    )
    shrinks_exactly(keras.Model(detector.inputs[0], detector.outputs))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_detectors_of_keras_hub_shrink_exactly():
    """RetinaNet: heads at every level are the same, in whatever order they run."""
    hub = pytest.importorskip("keras_hub").models
    resnet = [64], [7], [64] * 4, [1] * 4, [1, 2, 2, 2], "basic_block"
    pyramid = hub.RetinaNetBackbone(
        hub.ResNetBackbone(*resnet, image_shape=(64, 64, 3)),
        min_level=3, max_level=5, use_p5=False, image_shape=(64, 64, 3),
    )  # fmt: skip
    model = hub.RetinaNetObjectDetector(pyramid, 3, pre_logits_num_conv_layers=1)
    shrinks_exactly(model)
