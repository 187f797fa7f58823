"""The package's networks cost what was published, and shrink; bad names are told."""

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras import models
from hh_keras.models.blocks import strides_for
from tests.zoo import randomize

# Name, arguments, pixels, classes; trained parameters and MACs. CIFAR: He et al.
# (arXiv:1512.03385, table 6; 1603.05027, table 3), Zagoruyko and Komodakis (1605.07146,
# table 4), Huang et al. (1608.06993, table 2). Photographs: torchvision 0.20's own
# figures; MobileNetV1: 1704.04861, table 8.
QUICK = (
    ("resnet20", {}, 32, 10, 0.27e6, 40.8e6),
    ("resnet32", {}, 32, 10, 0.46e6, 69.1e6),
    ("resnet56", {}, 32, 10, 0.85e6, 125.7e6),
    ("densenet40", {}, 32, 10, 1.0e6, None),
    ("resnet18", {}, 224, 1000, 11_689_512, 1814e6),
    ("mobilenetv1", {}, 224, 1000, 4.2e6, 569e6),
    ("mobilenetv3_small", {}, 224, 1000, 2_542_856, 56.5e6),
    ("mnasnet", {}, 224, 1000, 4_383_312, 314e6),
    ("efficientnet_b0", {}, 224, 1000, 5_288_548, 386e6),
)
SLOW = (
    ("resnet110", {}, 32, 10, 1.7e6, 253e6),
    ("preresnet164", {}, 32, 10, 1.7e6, None),
    ("wrn28_10", {}, 32, 10, 36.5e6, None),
    ("wrn28_10", {"depth": 16, "widening": 8}, 32, 10, 11.0e6, None),
    ("wrn28_10", {"depth": 40, "widening": 4}, 32, 10, 8.9e6, None),
    ("densenet_bc100", {}, 32, 10, 0.77e6, None),
    ("resnet34", {}, 224, 1000, 21_797_672, 3664e6),
    ("resnet50", {}, 224, 1000, 25_557_032, 4089e6),
    ("resnet101", {}, 224, 1000, 44_549_160, 7801e6),
    ("resnet152", {}, 224, 1000, 60_192_808, 11_514e6),
    ("mobilenetv3_large", {}, 224, 1000, 5_483_032, 217e6),
)
# Radosavovic et al. (arXiv:2003.13678), tables of both families: parameters and MACs
# in millions.
REGNETS = {
    "regnetx": {
        "200mf": (2.7, 200),
        "400mf": (5.2, 400),
        "600mf": (6.2, 600),
        "800mf": (7.3, 800),
        "1.6gf": (9.2, 1600),
        "3.2gf": (15.3, 3200),
        "4.0gf": (22.1, 4000),
        "6.4gf": (26.2, 6500),
        "8.0gf": (39.6, 8000),
    },
    "regnety": {
        "200mf": (3.2, 200),
        "400mf": (4.3, 400),
        "600mf": (6.1, 600),
        "800mf": (6.3, 800),
        "1.6gf": (11.2, 1600),
        "3.2gf": (19.4, 3200),
        "4.0gf": (20.6, 4000),
        "6.4gf": (30.6, 6400),
        "8.0gf": (39.2, 8000),
    },
}
# Those left out have the same blocks and are large.
SHRUNK = {
    "densenet40": {"depth": 16},
    "densenet_bc100": {"depth": 22},
    "efficientnet_b0": {"width": 0.25},
    "mnasnet": {"width": 0.25},
    "mobilenetv1": {"width": 0.25},
    "mobilenetv3_large": {"width": 0.25},
    "mobilenetv3_small": {"width": 0.5},
    "regnety": {},
    "resnet8": {},
    "resnet18": {"widths": (16, 32, 64, 128)},
    "resnet50": {"widths": (8, 16, 32, 64)},
    "wrn28_10": {"depth": 10, "widening": 2},
}


@pytest.fixture
def without_weights(monkeypatch):
    """Kernels of zeros are there at once, and cost as much."""

    def zeros(self, shape, dtype=None):
        return keras.ops.zeros(shape, dtype)

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)


def check_cost(name, arguments, pixels, classes, params, macs):
    model = models.build(name, (pixels, pixels, 3), classes, model_args=arguments)
    trained = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    # Published figures have two to three digits, or all of them.
    assert trained == pytest.approx(params, rel=1e-6 if params % 1e4 else 0.025)
    if macs:
        assert hh.cost(model).macs == pytest.approx(macs, rel=0.01)


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case[0])
@pytest.mark.usefixtures("without_weights")
def test_cost_is_the_published_one(case):
    check_cost(*case)


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW, ids=lambda case: case[0])
@pytest.mark.usefixtures("without_weights")
def test_cost_of_large_networks_is_the_published_one(case):
    check_cost(*case)


REGNET_SIZES = [(kind, size) for kind, sizes in REGNETS.items() for size in sizes]


@pytest.mark.parametrize(
    "kind, size",
    [
        pytest.param(*case, marks=() if case[1] == "200mf" else pytest.mark.slow)
        for case in REGNET_SIZES
    ],
)
@pytest.mark.usefixtures("without_weights")
def test_regnets_cost_what_was_published(kind, size):
    model = models.build(kind, (224, 224, 3), 1000, model_args={"size": size})
    trained = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    params, macs = REGNETS[kind][size]
    assert trained / 1e6 == pytest.approx(params, abs=0.05)
    assert hh.cost(model).macs / 1e6 == pytest.approx(macs, rel=0.015)


@pytest.mark.parametrize("name", SHRUNK)
def test_networks_widen_shrink_and_rebuild_exactly(name):
    check_exact(name, SHRUNK[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, arguments",
    [
        ("efficientnet_lite0", {}),
        ("mobilenetv3_large", {}),
        ("preresnet164", {}),
        ("regnetx", {"size": "400mf"}),
        ("resnet101", {"widths": (16, 32, 64, 128)}),
    ],
)
def test_deep_networks_widen_shrink_and_rebuild_exactly(name, arguments):
    check_exact(name, arguments)


def check_exact(name, arguments):
    shape = (32, 32, 3)
    model = models.build(name, shape, 10, model_args=arguments)
    assert hh.trace(model).removable_share > 0.95
    wide = randomize(hh.widen(model, 1.5))
    scores = hh.score_channels(wide, criterion="random")
    before = hh.cost(model)
    budget = hh.Budget(macs=0.9 * before.macs, params=before.params)
    plan = hh.select_channels(hh.trace(wide), scores, budget)
    small = hh.rebuild(wide, plan)
    after = hh.cost(small)
    assert after.macs <= budget.macs and after.params <= budget.params
    x = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype("float32")
    masked = np.asarray(hh.mask(wide, plan)(x, training=False))
    rebuilt = np.asarray(small(x, training=False))
    assert np.abs(masked - rebuilt).max() <= 1e-5 * np.ptp(masked)


@pytest.mark.slow
@pytest.mark.parametrize("name", models.list_models())
@pytest.mark.usefixtures("without_weights")
def test_nearly_all_channels_can_be_removed(name):
    assert hh.trace(models.build(name, (32, 32, 3), 10)).removable_share > 0.95


def test_small_images_lose_the_first_strides():
    paper = (2, 1, 2, 2, 2, 1, 2, 1)
    assert strides_for((224, 224, 3), paper) == list(paper)
    assert strides_for((64, 64, 3), paper) == [1, 1, 2, 2, 2, 1, 2, 1]
    assert strides_for((28, 28, 1), paper) == [1, 1, 1, 2, 2, 1, 2, 1]
    assert strides_for((4, 4, 1), paper) == [1] * 8


def test_unknown_sizes_are_told():
    with pytest.raises(hh.ModelError, match="200mf"):
        models.build("regnetx", (32, 32, 3), 10, model_args={"size": "1gf"})


def test_unknown_names_give_the_nearest():
    with pytest.raises(hh.ModelError, match="resnet20"):
        models.build("resnet21", (32, 32, 3), 10)
    with pytest.raises(hh.ModelError, match="MobileNetV2"):
        models.build("keras.applications.MobilNetV2", (32, 32, 3), 10)


def test_a_corrupt_file_is_named(tmp_path):
    path = tmp_path / "broken.keras"
    path.write_bytes(b"nothing")
    with pytest.raises(hh.ModelError, match="broken.keras"):
        models.build(str(path))
