"""Files of networks of several outputs say which output is which."""

import json

import pytest

from hh_keras import export
from tests.two_answers import batches, two_answers


@pytest.mark.parametrize(
    "kind, names", [("dict", ["kind", "light"]), ("list", ["light", "kind"])]
)
def test_outputs_are_named_and_agree(tmp_path, kind, names):
    model = two_answers(kind)
    images = next(iter(batches(kind).train))[0].numpy()
    lite = export.tflite(model, tmp_path / "two.tflite")
    told = json.loads(lite.with_suffix(".json").read_text())["output"]
    assert [output["keras_name"] for output in told] == names
    units = [model.get_layer(name).units for name in names]
    assert [output["shape"][-1] for output in told] == units
    served = export.saved_model(model, tmp_path, "two", warm_up=False)
    for path in (lite, served):
        found = export.parity(model, path, images)
        assert found.relative < 1e-5 and found.examples == len(images)
