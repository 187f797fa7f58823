"""Denoising and super-resolution are trained, measured and searched as tasks."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import hh_keras as hh
from hh_keras.export import saved_model
from hh_keras.models import denoising, superresolution
from hh_keras.search.sparse import train_scales
from hh_keras.tasks.classification.task import TASK
from hh_keras.tasks.restoration import fidelity
from hh_keras.tasks.restoration import task as restoration
from hh_keras.tasks.restoration.degradation import Degradation
from hh_keras.tasks.restoration.pairs import load_pairs
from hh_keras.tasks.restoration.tiling import restore
from hh_keras.tasks.tiling import size_multiple
from hh_keras.training import Recipe, strategy, train
from hh_keras.training.history import best_epoch

RECIPE = Recipe(
    epochs=3, batch_size=8, optimizer="adam", learning_rate=4e-3, weight_decay=0.0
)


def load(degradation="noise:25", **settings):
    return load_pairs(
        degradation=degradation,
        patch=16,
        channels=1,
        batch_size=8,
        patches_per_image=12,
        validation_size=64,
        **settings,
    )


def network(depth=4):
    keras.utils.set_random_seed(0)
    return denoising.dncnn_s(depth=depth, width=8)


@pytest.fixture(scope="module")
def data():
    return load()


@pytest.fixture(scope="module")
def trained(data):
    task, model = restoration.denoising(), network()
    before = task.evaluate(model, data.validation)
    rows = train(model, data, RECIPE, task=task).history
    return model, rows, before


def test_training_denoises(data, trained):
    model, rows, before = trained
    after = restoration.denoising().evaluate(model, data.validation)
    assert set(rows[0]) == {
        "epoch", "loss", "psnr", "val_loss", "val_psnr", "learning_rate", "seconds",
    }  # fmt: skip
    assert after["psnr_input"] == pytest.approx(20.17, abs=0.4)
    assert after["psnr"] > max(before["psnr"], after["psnr_input"]) + 1
    assert after["psnr"] == pytest.approx(rows[-1]["val_psnr"], abs=1e-3)
    assert after["loss"] == pytest.approx(rows[-1]["val_loss"], rel=1e-4)
    assert best_epoch(rows, "psnr") == 3


class Interrupt(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_killed_training_goes_on_bit_for_bit(data, trained, tmp_path, capsys):
    task = restoration.denoising()
    settings = {"workdir": tmp_path, "task": task, "checkpoint_steps": 2}
    with pytest.raises(KeyboardInterrupt):
        train(network(), data, RECIPE, callbacks=[Interrupt(15)], **settings)
    model = network()
    rows = train(model, data, RECIPE, **settings).history
    for mine, its in zip(model.variables, trained[0].variables, strict=True):
        np.testing.assert_array_equal(mine, its, err_msg=mine.path)
    for row, other in zip(rows, trained[1], strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}
    assert re.search(r"PSNR [\d.]+ dB  val [\d.]+, [\d.]+ dB", capsys.readouterr().out)


@pytest.mark.slow
def test_replicas_train_the_same(data, trained):
    task, together = restoration.denoising(), strategy("mirrored", 2)
    recipe = Recipe(**{**vars(RECIPE), "epochs": 1, "sync_batch_norm": True})
    rows = train(network, data, recipe, together, task=task).history
    alone = train(network, data, Recipe(**{**vars(RECIPE), "epochs": 1}), task=task)
    for key in ("loss", "val_loss"):
        assert rows[0][key] == pytest.approx(alone.history[0][key], rel=0.02)


def test_the_loss_scores_channels(data):
    model, task = network(), restoration.denoising()
    shape = data.image_shape
    budget = hh.Budget(macs=hh.cost(model, shape).macs)
    found = hh.shrink(
        model, data.search, task.loss(model), budget, batches=2, input_shape=shape
    )
    scores = found.scores[hh.trace(found.wide).removable]
    assert np.isfinite(scores).all() and np.ptp(scores) > 0
    task.check(found.model, data)
    assert found.cost_after.macs <= budget.macs


def test_sparse_search(data):
    recipe = Recipe(**{**vars(RECIPE), "epochs": 1})
    task = restoration.denoising()
    scaled, rows = train_scales(network(), data, recipe, task=task)
    assert rows[0]["zeros"] > 0 and "val_psnr" in rows[0]
    scores = hh.score_channels(scaled, criterion="magnitude")
    assert (scores == 0).any()


def test_batch_psnr_is_the_psnr():
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (3, 24, 20, 3)).astype("float32")
    output = (clean + rng.normal(0, 9, clean.shape)).astype("float32")
    shown = np.clip(np.rint(output), 0, 255)
    for shave, on_luma in ((0, False), (2, True)):
        found = restoration.batch_psnr(shave, on_luma)(clean, output)
        pairs = [clean, shown]
        if on_luma:
            pairs = [np.round(fidelity.luma(x)) for x in pairs]
        expected = [fidelity.psnr(x, y, shave) for x, y in zip(*pairs)]
        np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.isfinite(restoration.batch_psnr(0, False)(clean, clean)).all()


def test_losses():
    clean, output = np.zeros((2, 4, 4, 1), "float32"), np.full((2, 4, 4, 1), 3.0)
    output = output.astype("float32")
    np.testing.assert_allclose(restoration.pixel_loss("mae")(clean, output), [3, 3])
    np.testing.assert_allclose(restoration.pixel_loss("mse")(clean, output), [9, 9])


@pytest.mark.skipif(not hasattr(keras.ops, "depth_to_space"), reason="Keras 3.14")
def test_super_resolution_is_checked_and_measured():
    data, task = load("bicubic:2"), restoration.super_resolution(2)
    model = superresolution.edsr((None, None, 1), 2, blocks=1, width=4)
    task.check(model, data)
    scores = task.evaluate(model, data.validation)
    assert scores["psnr_input"] > 25 and 0 < scores["ssim"] < 1
    rows = task.preview(model, data.validation, 2)
    assert [set(row) for row in rows] == [{"input", "output", "clean"}] * 2
    assert {x.shape for x in rows[0].values()} == {rows[0]["clean"].shape}
    assert rows[0]["input"].dtype == np.uint8
    other = superresolution.edsr((None, None, 1), 3, blocks=1, width=4)
    with pytest.raises(hh.ModelError, match="48x48 of 16x16.*enlarge by 2"):
        task.check(other, data)


def test_models_that_do_not_fit(data):
    task = restoration.denoising()
    with pytest.raises(hh.ModelError, match="takes 3 channels"):
        task.check(denoising.dncnn_small((None, None, 3)), data)
    with pytest.raises(hh.ModelError, match="does not take patches of 16x16"):
        task.check(denoising.unet((None, None, 1), levels=5, width=2), data)
    flat = keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Flatten()])
    with pytest.raises(hh.ModelError, match="must take one image"):
        task.check(flat, data)
    assert size_multiple(denoising.unet(width=2)) == 16


def test_recipes_that_mean_nothing(data):
    task = restoration.denoising()
    for wrong, told in (
        ({"label_smoothing": 0.1}, "label_smoothing"),
        ({"mixup": 0.2}, "mixup"),
        ({"distill": "kd"}, "one of none, sp"),
    ):
        with pytest.raises(hh.HHError, match=told):
            train(network(3), data, Recipe(epochs=1, **wrong), task=task)
    with pytest.raises(hh.HHError, match="nesterov is for sgd"):
        Recipe(optimizer="adam", nesterov=True)


def test_tasks_by_degradation():
    kinds = {"noise:5": "denoise", "jpeg:20": "denoise", "bicubic:3": "sr"}
    for text, name in kinds.items():
        assert restoration.task_for(Degradation.parse(text)).name == name
    assert TASK.name == "classify"
    for task in (restoration.denoising(), restoration.super_resolution(3)):
        fields = {k: v for k, v in task.defaults.items() if k in Recipe.__annotations__}
        task.check_recipe(Recipe(**fields))


def test_an_empty_data_set():
    nothing = tf.data.Dataset.from_tensor_slices(
        (np.zeros((0, 8, 8, 1), "float32"),) * 2
    ).batch(1)
    with pytest.raises(hh.DataError, match="not a single image"):
        restoration.denoising().evaluate(network(3), nothing)


@pytest.mark.parametrize("kind", ["dncnn", "unet"])
def test_files_in_files_out(kind, tmp_path):
    keras.utils.set_random_seed(0)
    build = {
        "dncnn": lambda: denoising.dncnn_s((None, None, 3), 3, 4),
        "unet": lambda: denoising.unet((None, None, 3), 2, 1),
    }[kind]
    model, rng = build(), np.random.default_rng(0)
    images = [rng.integers(0, 256, (h, 21, 3), np.uint8) for h in (9, 30)]
    encode = restoration.denoising().encoded
    path = saved_model(model, tmp_path, encoded=encode, warm_up=False)
    serve = tf.saved_model.load(str(path)).signatures["restore_bytes"]
    content = [tf.io.encode_png(image).numpy() for image in images]
    bad = [content[1][:200], b"GIF89a", b""]
    found = serve(image_bytes=tf.constant([*content, *bad]))
    errors = [error.decode() for error in found["error"].numpy()]
    assert errors[:2] == ["", ""] and all(errors[2:]) and "damaged" in errors[2]
    assert found["png"].numpy()[2:].tolist() == [b""] * 3
    for file, image in zip(found["png"].numpy(), images):
        expected = restore(model, image).astype(int)
        assert np.abs(tf.io.decode_png(file).numpy() - expected).max() <= 1
    fixed = denoising.dncnn_s((8, 8, 3), 3, 4)
    with pytest.raises(hh.ModelError, match="images of one size"):
        encode(fixed)


def test_outputs_that_are_not_finite(data):
    model = network(3)
    model.set_weights([w * np.nan for w in model.get_weights()])
    with pytest.raises(hh.HHError, match="not all finite"):
        restoration.denoising().evaluate(model, data.validation)


def test_models_whose_reach_is_not_known_see_whole_images(data):
    i = keras.Input((None, None, 1))
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(i)
    model = keras.Model(i, i * 1.0 + 0.0 * x)
    task = restoration.denoising()
    scores = task.evaluate(model, data.validation)
    assert scores["psnr"] == pytest.approx(scores["psnr_input"], abs=0.5)
    assert task.evaluate(lambda image: image, data.validation) == pytest.approx(scores)
