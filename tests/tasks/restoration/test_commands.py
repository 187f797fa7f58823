"""--task=denoise and --task=sr, from photographs to files and a report."""

import json
import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from hh_keras import cost
from hh_keras.cli.commands import evaluate, export, restore, run, shrink, train
from hh_keras.data.pixels import read_image
from tests.cli.test_scripts import ROOT

TINY = (
    "--limit=1", "--patches_per_image=4", "--batch_size=2", "--epochs=1", "--patch=16",
    "--validation_size=40", "--search_batches=1", "--check_images=2", "--tile=24",
)  # fmt: skip
SCRIPTS = {
    "evaluate": evaluate, "export": export, "run": run, "shrink": shrink, "train": train
}  # fmt: skip


def denoiser(image_shape):
    """Sees three pixels far."""
    x = inputs = keras.Input(image_shape)
    for filters in (8, 8):
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    x = keras.layers.Conv2D(image_shape[-1], 3, padding="same")(x)
    return keras.Model(inputs, keras.layers.Add()([inputs, x]))


def enlarger(image_shape, scale):
    x = inputs = keras.Input(image_shape)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = keras.layers.Conv2DTranspose(image_shape[-1], scale, scale)(x)
    return keras.Model(inputs, x)


def of_one_size():
    return denoiser((16, 16, 3))


MODELS = {
    name: f"--model=tests.tasks.restoration.test_commands:{name}"
    for name in ("denoiser", "enlarger", "of_one_size")
}


@pytest.fixture(scope="module", params=["denoise", "sr"])
def finished(request, tmp_path_factory):
    """The task, the folder and the flags of a finished run."""
    folder = tmp_path_factory.mktemp(request.param)
    own = [MODELS["denoiser"]]
    if request.param == "sr":
        own = [MODELS["enlarger"], "--scale=3"]
    flags = [*TINY, f"--task={request.param}", *own, "--macs=0.7x"]
    assert run.entry([*flags, f"--workdir={folder}"]) == 0
    return request.param, folder, flags


def result(folder, name):
    return json.loads((folder / name).read_text())


def test_a_run_leaves_everything_and_is_reused(finished, capsys):
    task, folder, flags = finished
    found = result(folder, "results.json")
    model = keras.models.load_model(folder / "lw_dna.keras", compile=False)
    original = keras.models.load_model(folder / "original.keras", compile=False)
    macs = cost(model, (16, 16, 3)).macs
    assert found["models"]["lw_dna"]["macs"] == macs
    assert macs <= 0.7 * cost(original, (16, 16, 3)).macs
    assert found["search"]["criterion"] == "gradient"
    assert found["goal"] == "psnr" and found["dataset"]["tflite_tile"] == [24, 24, 3]
    for parity in (found["parity"], found["parity_original"]):
        assert {kind: p["relative"] < 1e-5 for kind, p in parity.items()} == {
            "saved_model": True, "float32": True
        }  # fmt: skip
    row = found["history"]["lw_dna"][-1]
    score = found["models"]["lw_dna"]
    assert row["val_psnr"] == pytest.approx(score["psnr"], abs=0.02)
    assert score["psnr"] < score["psnr_input"] + 20 and score["ssim"] <= 1
    page = (folder / "report.html").read_text()
    assert "Before and after" in page and f"{score['psnr']:.2f} dB" in page
    assert "accura" not in page and "top class" not in page
    assert (folder / "pictures/before_after.png").read_bytes()[:4] == b"\x89PNG"
    assert run.entry([*flags, f"--workdir={folder}"]) == 0
    assert capsys.readouterr().out.count("reused") == 4


def test_all_files_score_alike(finished, tmp_path, capsys):
    task, folder, _ = finished
    degrade = "noise:25" if task == "denoise" else "bicubic:3"
    flags = ["--limit=1", f"--task={task}", f"--degrade={degrade}"]
    # Images of whole tiles: a file of fixed size pads others.
    flags += ["--validation_size=24", "--patch=16"]
    lines = []
    for name in ("lw_dna.keras", "lw_dna.tflite", "saved_model/lw_dna/1"):
        model = f"--model={folder / name}"
        assert evaluate.entry([*flags, model, f"--output={tmp_path}"]) == 0
        lines.append(capsys.readouterr().out.splitlines()[0])
    assert "PSNR" in lines[0] and lines[0] == lines[1] == lines[2]
    told = result(tmp_path, "evaluation.json")
    assert told["images"] == 1 and f"{told['psnr']:.2f}" in lines[0]
    assert (tmp_path / "before_after.png").exists()
    (folder / "lw_dna.json").rename(folder / "elsewhere.json")
    status = evaluate.entry([*flags, f"--model={folder / 'lw_dna.tflite'}"])
    (folder / "elsewhere.json").rename(folder / "lw_dna.json")
    assert status == 2 and "how its tiles overlap" in capsys.readouterr().err


def test_own_photographs(finished, tmp_path):
    task, folder, _ = finished
    scale = 1 if task == "denoise" else 3
    photo = np.random.default_rng(0).integers(0, 256, (50, 41, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    model = keras.models.load_model(folder / "lw_dna.keras", compile=False)
    expected = np.asarray(model(photo[None].astype("float32")))[0]
    expected = np.clip(np.rint(expected), 0, 255)
    for kind in ("keras", "tflite"):
        flags = [f"--model={folder / 'lw_dna'}.{kind}", f"--output={tmp_path / kind}"]
        flags += [f"--images={tmp_path / 'photo.png'}", f"--scale={scale}"]
        assert restore.entry(flags) == 0
        found = read_image(tmp_path / kind / "photo_restored.png")
        assert np.abs(found - expected).max() <= 1
    served = tf.saved_model.load(str(folder / "saved_model/lw_dna/1"))
    answer = served.signatures["restore_bytes"](
        image_bytes=tf.constant([(tmp_path / "photo.png").read_bytes(), b"GIF89a"])
    )
    assert b"GIF" in answer["error"].numpy()[1]
    png = tf.io.decode_png(answer["png"][0]).numpy()
    assert np.abs(png - expected).max() <= 1


def test_a_run_is_exported_with_its_data(finished, capsys):
    task, folder, _ = finished
    flags = [f"--run={folder}", "--allow_drop", "--representative_images=8"]
    assert export.entry(flags) == 0, capsys.readouterr().err
    told = result(folder / "export", "export.json")
    assert told["validation_images"] == 1
    for name in ("original", "lw_dna"):
        network = told["models"][name]
        assert "classifiers" in network["left_out"]["qat"]
        for kind, row in network["files"].items():
            assert row["drop"] == pytest.approx(network["psnr"] - row["psnr"])
            least = 90 if kind in ("saved_model", "float32") else 25
            assert row["psnr_to_keras"] > least, kind
            assert row["top1_agreement"] is None and row["examples"] == 1
        score = result(folder, "results.json")["models"][name]["psnr"]
        assert network["psnr"] == pytest.approx(score, abs=1e-3)
    beside = result(folder / "export", "lw_dna.int8.json")
    assert beside["tiles"]["overlap"] == (3 if task == "denoise" else 2)
    assert "resize" not in beside["input"] and "to Keras" in capsys.readouterr().out


def test_search_alone_training_alone_and_grey(tmp_path):
    out = tmp_path / "found"
    flags = [*(f for f in TINY if "check" not in f and "tile" not in f)]
    flags += ["--task=denoise", "--degrade=jpeg:10-40"]
    own = [MODELS["denoiser"], "--channels=1", "--search_epochs=2"]
    assert shrink.entry([*flags, *own, f"--workdir={out}"]) == 0
    assert result(out, "plan.json")["notes"]["criterion"] == "magnitude"
    # The file's channels are the photographs'.
    flags = [f for f in flags if "search" not in f]
    flags += [f"--model={out / 'lw_dna.keras'}", f"--workdir={tmp_path / 'trained'}"]
    assert train.entry(flags) == 0
    assert result(tmp_path / "trained", "results.json")["psnr"] > 5
    trained = keras.models.load_model(tmp_path / "trained/model.keras", compile=False)
    assert trained.input_shape == (None, None, None, 1)


def test_defaults_are_the_tasks_unless_given(tmp_path):
    flags = ["--task=sr", "--smoke", "--learning_rate=0.003", "--scale=4"]
    assert train.entry([*flags, f"--workdir={tmp_path}"]) == 0
    config = result(tmp_path, "run.json")["config"]
    told = {name: config[name] for name in ("model", "degrade", "patch", "optimizer")}
    assert told == {
        "model": "edsr_small", "degrade": "bicubic:4", "patch": 32, "optimizer": "adam"
    }  # fmt: skip
    assert config["learning_rate"] == 0.003 and config["scale"] == 4


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path, capsys):
    flags = [*TINY, "--task=denoise", MODELS["denoiser"], f"--workdir={tmp_path}"]
    command = [sys.executable, "-u", "launch/run.py", *flags]
    started = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    for line in started.stdout:
        if "3/5" in line:
            started.send_signal(signal.SIGKILL)
    started.wait()
    assert not (tmp_path / "lw_dna.keras").exists()
    assert run.entry(flags) == 0 and capsys.readouterr().out.count("reused") == 2
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("script", "flags", "words"),
    [
        ("run", ["--task=denois"], ["denoise"]),
        ("run", ["--task=denoise", "--model=resnet20"], ["another task", "dncnn_s"]),
        ("run", ["--task=denoise", "--model=unet_bn"], ["another task", "dncnn_s"]),
        ("train", ["--task=sr", "--model=edsr_smal"], ["edsr_smal", "edsr_small"]),
        ("train", ["--task=sr", "--model=dncnn_s"], ["another task", "edsr"]),
        ("train", ["--task=denoise", "--model=edsr"], ["another task"]),
        ("train", ["--task=denoise", "--model_args={}", MODELS["of_one_size"]],
         ["16x16", "(None, None, 3)"]),
        ("run", ["--task=denoise", "--image_size=32"], ["--image_size", "denoise"]),
        ("train", ["--task=denoise", "--mixup=0.1"], ["--mixup", "=classify"]),
        ("evaluate", ["--task=sr", "--model=x.keras", "--view=center"], ["--view"]),
        ("train", ["--task=denoise", "--augment=imagenet"], ["flip_rotate"]),
        ("train", ["--augment=flip_rotate"], ["crop_flip"]),
        ("train", ["--patch=8"], ["--patch", "--task=denoise"]),
        ("train", ["--task=sr", "--scale=7"], ["scale is 7", "2, 3 and 4"]),
        ("train", ["--task=denoise", "--scale=2"], ["--scale", "--task=sr"]),
        ("train", ["--task=sr", "--scale=2", "--degrade=bicubic:3"], ["one of them"]),
        ("train", ["--task=sr", "--degrade=jpeg:10"], ["--task=denoise"]),
        ("train", ["--task=denoise", "--degrade=bicubic:2"], ["--task=sr"]),
        ("train", ["--task=denoise", "--degrade=rain:2"], ["rain", "noise"]),
        ("train", ["--task=denoise", "--channels=2"], ["channels=2"]),
        ("train", ["--task=denoise", "--model=unet", "--patch=40"], ["16", "48"]),
        ("train", ["--task=denoise", "--config=cifar10"], ["--config"]),
        ("train", ["--task=denoise", "--dataset=nowhere"], ["nowhere"]),
        ("train", ["--task=denoise", "--distill=kd", "--teacher=x"], ["x"]),
        ("evaluate", ["--task=denoise", "--model=no.tflite"], ["no.tflite"]),
    ],
)  # fmt: skip
def test_one_message(script, flags, words, tmp_path, capsys):
    folder = [] if script == "evaluate" else [f"--workdir={tmp_path / 'out'}"]
    assert SCRIPTS[script].entry(["--limit=1", *flags, *folder]) == 2
    message = one_line(capsys)
    for word in words:
        assert word in message, message


def one_line(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    found = [line for line in lines if line.startswith("error: ")]
    assert len(found) == 1 and "Traceback" not in "".join(lines), lines
    return found[0]


def test_photographs_that_cannot_be_used(tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, side in (("0", 60), ("1", 60), ("small", 10)):
        pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:99])
    flags = ["--task=denoise", MODELS["denoiser"], f"--dataset={folder}", "--epochs=1"]
    flags += ["--patches_per_image=2"]
    assert train.entry([*flags, "--patch=16", f"--workdir={tmp_path / 'a'}"]) == 0
    told = capsys.readouterr().err
    assert "small.png is left out: it has 10x10" in told and "cut.png is left" in told
    assert train.entry([*flags, "--patch=64", f"--workdir={tmp_path / 'b'}"]) == 2
    assert "smaller than a patch" in one_line(capsys)
    fails = [*flags, "--patch=16", "--on_bad_image=fail", f"--workdir={tmp_path / 'c'}"]
    assert train.entry(fails) == 2 and "cut.png" in one_line(capsys)
