"""The package's networks cost what was published, and shrink; bad names are told."""

import pytest

import hh_keras as hh
from hh_keras import models

# MACs and parameters at 32 x 32 x 3 with 10 classes: He et al. 2016 (arXiv:1512.03385,
# table 6), Huang et al. 2017 (arXiv:1608.06993, table 2).
PUBLISHED = {
    "resnet20": (40.8e6, 0.27e6),
    "resnet32": (69.1e6, 0.46e6),
    "resnet56": (125.7e6, 0.85e6),
    "densenet40": (None, 1.0e6),
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_cost_is_the_published_one(name):
    cost = hh.cost(models.build(name, (32, 32, 3), 10))
    macs, params = PUBLISHED[name]
    assert cost.params == pytest.approx(params, rel=0.05)
    if macs:
        assert cost.macs == pytest.approx(macs, rel=0.01)


@pytest.mark.parametrize("name", models.list_models())
def test_nearly_all_channels_can_be_removed(name):
    assert hh.trace(models.build(name, (32, 32, 3), 10)).removable_share > 0.95


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
