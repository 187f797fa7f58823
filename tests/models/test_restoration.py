"""Networks that restore images: published costs, any size, nothing but Keras inside."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras import models
from hh_keras.export import tflite
from hh_keras.export.prediction import interpreter_class
from hh_keras.models import shuffling

needs_operation = pytest.mark.skipif(
    not hasattr(keras.ops, "depth_to_space"),
    reason="Keras has depth_to_space from 3.14 on",
)

# MACs for a result of 1280 x 720 pixels (EDSR: arXiv:1707.02921; baseline and SRResNet
# as in the tables of later papers), or at 128 x 128 (arXiv:2003.13683, DnCNN), and
# parameters. Small images of the same area stand for 720p.
PUBLISHED = {
    ("edsr", 2): ((320, 720, 3), 316.3e9, 1.370e6),
    ("edsr", 3): ((320, 320, 3), 160.2e9, 1.555e6),
    ("edsr", 4): ((320, 180, 3), 114.0e9, 1.518e6),
    ("edsr_large", 2): ((320, 720, 3), None, 40.7e6),
    ("edsr_large", 3): ((320, 320, 3), None, 43.7e6),
    ("edsr_large", 4): ((320, 180, 3), None, 43.1e6),
    ("srresnet", 4): ((320, 180, 3), 127.8e9, 1.543e6),
    ("dncnn_s", None): ((128, 128, 1), 9.10e9, 0.557e6),
    ("dncnn_b", None): ((128, 128, 1), None, 0.668e6),
    # 3.41 G there, with transposed convolutions counted at every pixel they make.
    ("unet", None): ((128, 128, 1), 3.01e9, 7.7595e6),
}


def build(name, scale, channels=3, **arguments):
    arguments = {**arguments, **({"scale": scale} if scale else {})}
    return models.build(name, (None, None, channels), model_args=arguments)


@needs_operation
@pytest.mark.parametrize(("name", "scale"), sorted(PUBLISHED, key=str))
def test_cost_is_the_published_one(name, scale):
    shape, macs, params = PUBLISHED[name, scale]
    model = build(name, scale, shape[-1])
    cost = hh.cost(model, shape)
    assert cost.params == pytest.approx(params, rel=0.007)
    if macs:
        assert cost.macs == pytest.approx(macs, rel=0.003)
    assert hh.trace(model).removable_share > 0.99
    times = scale or 1
    made = model.compute_output_shape((None, *shape))
    assert made[1:] == (times * shape[0], times * shape[1], shape[2])


def test_names_by_task():
    assert "unet" in models.list_models("denoise")
    assert "unet" not in models.list_models()
    with pytest.raises(hh.ModelError, match="restores images"):
        models.build("unet", (32, 32, 3), 10)
    with pytest.raises(hh.ModelError, match="dncnn_s"):
        models.build("dncn_s", (32, 32, 3), 10)


@needs_operation
def test_other_scales_are_refused():
    with pytest.raises(hh.ModelError, match="made for 2, 3 and 4"):
        build("edsr_small", 5)


@needs_operation
def test_files_load_without_this_package(tmp_path):
    path = tmp_path / "small.keras"
    model = build("edsr_small", 2)
    model.save(path)
    code = (
        "import sys, keras; "
        f"model = keras.models.load_model({str(path)!r}); "
        "assert not any(name.startswith('hh_keras') for name in sys.modules); "
        "print(model.count_params())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.strip() == str(model.count_params()), done.stderr


@needs_operation
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lite_files_have_their_own_operation(tmp_path, scale):
    model = build("edsr_small", scale, blocks=1, width=4)
    path = tflite(model, tmp_path / "small.tflite", (16, 12, 3))
    interpreter = interpreter_class()(model_path=str(path))
    names = [each["op_name"] for each in interpreter._get_ops_details()]
    assert names.count("DEPTH_TO_SPACE") == (2 if scale == 4 else 1)
    assert not {"RESHAPE", "TRANSPOSE"} & set(names)
    described = json.loads(path.with_suffix(".json").read_text())
    assert "logits" not in described["output"]
    assert described["tiles"]["scale"] == scale


def test_rearranging_layers_say_the_same(monkeypatch):
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 18)).astype("float32")
    inputs = keras.Input((3, 5, 18))
    expected = x.reshape(2, 3, 5, 3, 3, 2).transpose(0, 1, 3, 2, 4, 5)
    expected = expected.reshape(2, 9, 15, 2)
    for _ in range(2):
        model = keras.Model(inputs, shuffling.depth_to_space(inputs, 3))
        np.testing.assert_array_equal(model(x), expected)
        monkeypatch.delattr(keras.ops, "depth_to_space", raising=False)
    with pytest.raises(hh.ModelError, match="unknown size"):
        shuffling.depth_to_space(keras.Input((None, None, 4)), 2)


@needs_operation
def test_searching_a_network_for_any_size():
    model = build("edsr_small", 2, blocks=2, width=8)
    rng = np.random.default_rng(0)
    batches = [
        (
            rng.uniform(0, 255, (2, 12, 12, 3)).astype("float32"),
            rng.uniform(0, 255, (2, 24, 24, 3)).astype("float32"),
        )
    ]
    shape = (12, 12, 3)
    full = hh.cost(model, shape)
    budget = hh.Budget(macs=0.9 * full.macs, params=full.params)
    for loss in ("mean_absolute_error", "mean_squared_error"):
        found = hh.shrink(
            model, batches, loss, budget, criterion="gradient", input_shape=shape
        )
        assert 0.85 * full.macs < found.cost_after.macs <= budget.macs
        assert found.model.input_shape == (None, None, None, 3)
        assert found.model(batches[0][0]).shape == (2, 24, 24, 3)
        assert np.ptp(found.scores[hh.trace(found.wide).removable]) > 0
    arguments = {"blocks": 2, "width": 8, "scale": 2}
    fixed = models.build("edsr_small", shape, model_args=arguments)
    any_size = hh.shrink(model, budget=budget, input_shape=shape)
    assert any_size.plan.notes["criterion"] == "balanced"
    assert list(any_size.plan.kept.values()) == list(
        hh.shrink(fixed, budget=budget).plan.kept.values()
    )
    with pytest.raises(hh.ModelError, match="input_shape"):
        hh.shrink(model, batches, "mse", budget)
    scores = hh.score_channels(model, criterion="uniform")
    with pytest.raises(hh.BudgetError, match="input_shape"):
        hh.select_channels(hh.trace(model), scores, budget)
    plan = hh.select_channels(hh.trace(model), scores, hh.Budget(params=3000))
    assert hh.rebuild(model, plan).count_params() <= 3000
