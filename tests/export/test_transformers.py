"""A small ViT that has lost heads, numbers and channels says the same in every file."""

import pytest

import hh_keras as hh
from hh_keras import export
from tests.zoo import ZOO, example, randomize


@pytest.fixture(scope="module")
def shrunk():
    """The network, and images for it."""
    model = randomize(ZOO["vit"]())
    small = hh.shrink(
        model, budget=hh.Budget(macs=0.6 * hh.cost(model).macs), width=1,
        criterion="weight_norm", weights="inherit", round_to=1,
    ).model  # fmt: skip
    heads = [x for x in small.layers if type(x).__name__ == "MultiHeadAttention"]
    assert {(x.num_heads, x.key_dim, x.value_dim) for x in heads} != {(4, 5, 5)}
    return small, example(model, batch=16)


def saved_model(model, path):
    return export.saved_model(model, path.parent, "vit")


@pytest.mark.parametrize("write", [saved_model, export.tflite])
def test_files_of_float32_agree(write, shrunk, tmp_path):
    model, images = shrunk
    found = export.parity(model, write(model, tmp_path / "vit.tflite"), images)
    assert found.relative < 1e-5 and found.top1_agreement == 1


def test_files_of_int8_agree_as_far_as_int8_can(shrunk, tmp_path):
    model, images = shrunk
    path = export.tflite(
        model, tmp_path / "vit.tflite", quantize="int8", representative=images
    )
    found = export.parity(model, path, images)
    assert 0 < found.relative < 0.1 and found.top1_agreement >= 0.9
