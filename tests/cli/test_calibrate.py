"""--calibrate and --sweep: trained networks made smaller, as a user starts it."""

import json
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

import hh_keras as hh
from hh_keras.cli.commands import run, shrink
from tests.cli.test_scripts import ROOT

L = keras.layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network of 32x32 pixels, and photographs for it."""
    place = tmp_path_factory.mktemp("user")
    rng = np.random.default_rng(0)
    (place / "photos" / "deep").mkdir(parents=True)
    for k in range(40):
        pixels = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
        pixels.resize((40, 50)).save(place / "photos" / "deep" / f"{k}.png")
    (place / "photos" / "broken.jpg").write_bytes(b"no image")
    (place / "photos" / "notes.txt").write_text("mine")
    network((32, 32, 3), 7, 16).save(place / "mine.h5")
    network((28, 28, 1), 10, 8).save(place / "clothes.keras")
    return place


def network(shape, classes, width):
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    x = L.Rescaling(1 / 255)(inputs)
    for k in range(2):
        x = L.Conv2D(width, 3, 2, use_bias=False, name=f"conv{k}")(x)
        x = L.ReLU()(L.BatchNormalization()(x))
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, L.Dense(classes, activation="softmax", name="head")(x))


@pytest.fixture
def start(tmp_path, capsys):
    """Runs a command; returns status, output and errors."""

    def start(command, *flags, workdir=tmp_path / "work"):
        status = command.entry([*flags, f"--workdir={workdir}"])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return start


def test_a_folder_of_images_suffices(folder, start, tmp_path):
    flags = (
        f"--model={folder / 'mine.h5'}", "--weights=inherit", "--macs=0.7x",
        f"--calibrate={folder / 'photos'}", "--sweep=0.9x,0.5",
    )  # fmt: skip
    status, out, err = start(shrink, *flags)
    assert status == 0, err
    assert "broken.jpg" in err and err.count("warning") == 1
    assert "of the output; the same answer for" in out and "on 8 images (held" in out
    assert "least in '" in out and "widened" not in out
    work = tmp_path / "work"
    before = hh.cost(keras.models.load_model(folder / "mine.h5")).macs
    for place, share in ((".", 0.7), ("sweep/0.9x", 0.9), ("sweep/0.5x", 0.5)):
        small = keras.models.load_model(work / place / "lw_dna.keras")
        assert 0.6 * share * before < hh.cost(small).macs <= share * before
        hh.Plan.load(work / place / "plan.json")
    rows = json.loads((work / "sweep/sweep.json").read_text())
    assert [row["share"] for row in rows] == [None, 0.9, None, 0.5]
    assert rows[0]["kept"] == 1 and all(row["goal"] is None for row in rows)
    assert Image.open(work / "sweep/sweep.png").size[0] > 500
    kept = json.loads((work / "run.json").read_text())["stages"]["search"]["kept"]
    assert list(kept["layers"]) == ["conv0", "conv1", "head"]
    # Its plan, applied, gives the same network.
    plan = f"--plan={work / 'sweep/0.5x/plan.json'}"
    other = tmp_path / "other"
    status, _, err = start(shrink, *flags[:2], flags[3], plan, workdir=other)
    assert status == 0, err
    mine, its = (
        keras.models.load_model(path / "lw_dna.keras").get_weights()
        for path in (other, work / "sweep/0.5x")
    )
    for v, w in zip(mine, its, strict=True):
        np.testing.assert_allclose(v, w, atol=1e-5)
    status, out, _ = start(shrink, *flags)
    assert status == 0 and "Nothing to do" in out


@pytest.mark.slow
def test_a_run_reports_what_was_kept(folder, start, tmp_path):
    status, out, err = start(
        run, f"--model={folder / 'clothes.keras'}", "--weights=inherit", "--limit=60",
        "--epochs=1", "--batch_size=10", "--macs=0.7x", "--sweep=0.8,0.5",
    )  # fmt: skip
    assert status == 0, err
    assert "output kept" in out and "(held out)" in out and "accuracy" in out
    work = tmp_path / "work"
    found = json.loads((work / "results.json").read_text())
    assert found["search"]["width_mult"] == 1 and found["kept"]["held_out"]
    assert all(0 <= row["goal"] <= 1 for row in found["sweep"])
    page = (work / "report.html").read_text()
    for words in ("Before training", "Sizes to choose from", "output kept"):
        assert words in page
    for name in ("kept", "sweep"):
        assert (work / f"pictures/{name}.png").stat().st_size > 1000


@pytest.mark.parametrize(("task", "scale"), [("denoise", 1), ("sr", 2)])
def test_restorers_calibrate_on_degraded_patches(task, scale, monkeypatch, tmp_path):
    from hh_keras.cli.commands import shrink as command
    from hh_keras.search import calibration

    seen = []
    monkeypatch.setattr(
        calibration,
        "checked",
        lambda model, batches: (seen.append(x) or [x] for x in batches),
    )
    (tmp_path / "photos").mkdir()
    for k in range(3):
        pixels = np.full((60, 70, 3), 60 * k, np.uint8)  # noise is all that is in it
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{k}.png")
    inputs = keras.Input((None, None, 3))
    x = L.Conv2D(6, 3, padding="same", activation="relu")(inputs)
    x = L.UpSampling2D(scale)(L.Conv2D(3, 3, padding="same")(x))
    keras.Model(inputs, x).save(tmp_path / "model.keras")
    status = command.entry(
        [
            f"--task={task}", f"--model={tmp_path / 'model.keras'}", "--patch=16",
            "--weights=inherit", f"--calibrate={tmp_path / 'photos'}", "--macs=0.8x",
            "--limit=1", "--patches_per_image=4", "--validation_size=32",
            "--batch_size=256", f"--workdir={tmp_path / 'work'}",
        ]
    )  # fmt: skip
    assert status == 0
    (shape,) = {x.shape[1:] for x in seen}
    assert shape == (16, 16, 3)
    deviation = np.std(seen[0], (1, 2, 3))
    if task == "denoise":  # noise of 25, and no resizing
        np.testing.assert_allclose(deviation, 25, rtol=0.15)
    else:
        assert deviation.max() < 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--calibrate={photos}"], ["--calibrate", "--weights=inherit"]),
        (["--sweep=0.9"], ["--sweep", "--weights=inherit"]),
        (["--weights=inherit", "--calibrate=missing"], ["--calibrate=missing"]),
        (["--weights=inherit", "--sweep=0.9,lots"], ["--sweep", "0.9,0.8"]),
        (["--weights=inherit", "--sweep=0.9,1.2"], ["--sweep", "at most 1"]),
        (["--weights=inherit", "--sweep="], ["--sweep"]),
        (["--weights=inherit", "--sweep=0.9", "--plan=p.json"], ["--plan", "--sweep"]),
        (
            ["--weights=inherit", "--sweep=0.9", "--search_epochs=1"],
            ["--sweep", "--search_epochs"],
        ),
        (
            ["--weights=inherit", "--calibrate={photos}", "--sweep=0.9,0.001"],
            ["--sweep=0.9,0.001", "smallest"],
        ),
        (
            ["--weights=inherit", "--calibrate={photos}", "--criterion=fisher"],
            ["--criterion=fisher", "--dataset"],
        ),
        (
            ["--model=vgg11", "--weights=inherit", "--calibrate={photos}"],
            ["--model=vgg11", "--pretrained=imagenet"],
        ),
    ],
)
def test_bad_flags(flags, words, folder, start, tmp_path):
    flags = [flag.format(photos=folder / "photos") for flag in flags]
    status, _, err = start(shrink, f"--model={folder / 'mine.h5'}", *flags)
    message = [line for line in err.splitlines() if line.startswith("error: ")]
    assert status == 2 and len(message) == 1, err
    for word in words:
        assert word in message[0]
    assert not (tmp_path / "work" / "plan.json").exists()


def test_folders_without_use(folder, start, tmp_path):
    flags = [f"--model={folder / 'mine.h5'}", "--weights=inherit", "--macs=0.7x"]
    for name in ("empty", "text", "broken", "same"):
        (tmp_path / name).mkdir()
    (tmp_path / "text" / "a.txt").write_text("no image")
    (tmp_path / "broken" / "a.jpg").write_text("no image")
    for k in range(3):
        Image.new("RGB", (32, 32), "red").save(tmp_path / "same" / f"{k}.png")
    for name, words in (
        ("empty", "holds no images"),
        ("text", "holds no images"),
        ("broken", "holds no image that can be read"),
        ("same", "all 3 examples"),
    ):
        status, _, err = start(shrink, *flags, f"--calibrate={tmp_path / name}")
        assert status == 2 and words in err, err


def test_images_of_another_kind_are_told_of(folder, start, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "grey").mkdir()
    for k in range(20):
        pixels = Image.fromarray(rng.integers(0, 256, (9, 9), np.uint8))
        pixels.save(tmp_path / "grey" / f"{k}.png")
    status, _, err = start(
        shrink, f"--model={folder / 'mine.h5'}", "--weights=inherit", "--macs=0.8x",
        f"--calibrate={tmp_path / 'grey'}",
    )  # fmt: skip
    assert status == 0 and err.count("warning: ") == 2, err
    assert "are grey" in err and "much smaller than the 32x32" in err


def test_pixels_of_another_range_are_told_of(folder, start, tmp_path):
    """The commands hand over 0 to 255; this network was trained on 0 to 1."""
    whole = network((32, 32, 3), 7, 16)
    inputs = keras.Input((32, 32, 3))
    x = inputs
    for layer in whole.layers[2:]:  # without the Rescaling
        x = layer(x)
    model = keras.Model(inputs, x)
    pixels = np.random.default_rng(0).uniform(size=(64, 32, 32, 3))
    seen = np.asarray(model.get_layer("conv0")(pixels))
    norm = model.layers[2]
    norm.moving_mean.assign(seen.mean((0, 1, 2)))
    norm.moving_variance.assign(seen.var((0, 1, 2)))
    for name, own in (("right", keras.layers.Rescaling(1 / 255)), ("wrong", None)):
        wanted = (
            keras.Sequential([keras.Input((32, 32, 3)), own, model]) if own else model
        )
        wanted.save(tmp_path / f"{name}.keras")
        status, _, err = start(
            shrink, f"--model={tmp_path / name}.keras", "--weights=inherit",
            "--macs=0.8x", f"--calibrate={folder / 'photos'}",
            workdir=tmp_path / name,
        )  # fmt: skip
        assert status == 0, err
        assert ("another range" in err) == (name == "wrong"), err


@pytest.mark.slow
def test_two_devices_find_what_one_finds(folder, start, tmp_path):
    found = []
    for name, devices in (("one", []), ("two", ["--strategy=mirrored", "--devices=2"])):
        flags = [
            f"--model={folder / 'mine.h5'}", "--weights=inherit", "--macs=0.7x",
            f"--calibrate={folder / 'photos'}",
        ]  # fmt: skip
        status, _, err = start(shrink, *flags, *devices, workdir=tmp_path / name)
        assert status == 0, err
        found.append(keras.models.load_model(tmp_path / name / "lw_dna.keras"))
    plans = [hh.Plan.load(tmp_path / name / "plan.json") for name in ("one", "two")]
    np.testing.assert_array_equal(*(plan.keep for plan in plans))
    for v, w in zip(*(model.get_weights() for model in found), strict=True):
        np.testing.assert_allclose(v, w, atol=1e-5)


@pytest.mark.slow
def test_a_killed_sweep_starts_cleanly(folder, start, tmp_path):
    out = tmp_path / "work"
    flags = [
        f"--model={folder / 'mine.h5'}", "--weights=inherit", "--macs=0.7x",
        f"--calibrate={folder / 'photos'}", "--sweep=0.9,0.8,0.5",
    ]  # fmt: skip
    command = [sys.executable, "-u", "launch/shrink.py", *flags, f"--workdir={out}"]
    started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in started.stdout:
        if "kept  " in line:  # the result is there, the sweep is being written
            started.send_signal(signal.SIGKILL)
    started.wait()
    assert (out / "plan.json").exists() and not (out / "sweep/sweep.json").exists()
    status, _, err = start(shrink, *flags)
    assert status == 0, err
    assert len(json.loads((out / "sweep/sweep.json").read_text())) == 5
    assert not list(out.glob("**/.*"))
