"""--task=segment, from images and masks to files and a report."""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras import cost
from hh_keras.cli.commands import evaluate, export, run, shrink, train
from tests.tasks.segmentation.test_masks import GOOD, folder, write

TINY = (
    "--task=segment", "--limit=4", "--batch_size=2", "--epochs=1", "--patch=32",
    "--search_batches=1", "--check_images=2",
)  # fmt: skip
SCRIPTS = {
    "evaluate": evaluate, "export": export, "run": run, "shrink": shrink, "train": train
}  # fmt: skip
L = keras.layers


def segmenter(image_shape, num_classes):
    """Half of the size and back; sees eight pixels far."""
    image = keras.Input(image_shape)
    x = L.Conv2D(16, 3, strides=2, padding="same", activation="relu")(image / 255)
    x = L.BatchNormalization()(L.Conv2D(16, 3, padding="same")(x))
    x = L.Conv2DTranspose(8, 2, 2, activation="relu")(L.ReLU()(x))
    return keras.Model(image, L.Conv2D(num_classes, 3, padding="same")(x))


def of_one_size(num_classes):
    return segmenter((32, 32, 3), num_classes)


def one_output(image_shape):
    return segmenter(image_shape, 1)


def half_the_size(image_shape, num_classes):
    image = keras.Input(image_shape)
    x = L.AveragePooling2D(2)(L.Conv2D(num_classes, 1)(image))
    return keras.Model(image, x, name="half_the_size")


MODELS = {
    f.__name__: f"--model=tests.tasks.segmentation.test_commands:{f.__name__}"
    for f in (segmenter, of_one_size, one_output, half_the_size)
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run, on the embedded set."""
    path = tmp_path_factory.mktemp("run")
    flags = [*TINY, MODELS["segmenter"], "--macs=0.7x", f"--workdir={path}"]
    assert run.entry(flags) == 0
    return path


def result(path, name):
    return json.loads((path / name).read_text())


def test_a_run_leaves_everything(finished):
    found = result(finished, "results.json")
    model = keras.models.load_model(finished / "lw_dna.keras", compile=False)
    original = keras.models.load_model(finished / "original.keras", compile=False)
    shape = (32, 32, 3)
    assert found["models"]["lw_dna"]["macs"] == cost(model, shape).macs
    assert cost(model, shape).macs <= 0.7 * cost(original, shape).macs
    assert found["goal"] == "miou" and found["dataset"]["tflite_tile"] == [32, 32, 3]
    for parity in (found["parity"], found["parity_original"]):
        assert {kind: p["relative"] < 1e-5 for kind, p in parity.items()} == {
            "saved_model": True, "float32": True
        }  # fmt: skip
    scores = found["models"]["lw_dna"]
    assert 0 <= scores["miou"] <= scores["pixel_accuracy"] <= 1 and scores["loss"] > 0
    row = found["history"]["lw_dna"][-1]
    assert row["val_loss"] == pytest.approx(scores["loss"], rel=1e-3)
    page = (finished / "report.html").read_text()
    for words in ("Segmented", "By class", "mIoU", "trousers"):
        assert words in page, words
    assert "accurate than" not in page and "top class" not in page
    for name in ("overlays", "iou_by_class"):
        assert (finished / f"pictures/{name}.png").read_bytes()[:4] == b"\x89PNG"


def test_files_score_as_the_network(finished, tmp_path, capsys):
    lines = []
    for name in ("lw_dna.keras", "saved_model/lw_dna/1", "lw_dna.tflite"):
        flags = ["--task=segment", "--limit=4", f"--model={finished / name}"]
        assert evaluate.entry([*flags, f"--output={tmp_path}"]) == 0
        lines.append(capsys.readouterr().out.splitlines())
    told = result(tmp_path, "evaluation.json")
    assert told["images"] == 4 and list(told["iou_by_class"])[0] == "background"
    scores = [line[0].split(", loss")[0].split(" on ")[0] for line in lines]
    assert "mIoU" in scores[0] and scores[0].startswith(scores[1].split(" (")[0])
    # Tiles see a quarter of themselves beyond their own, more than this network does.
    mean = result(finished, "results.json")["models"]["lw_dna"]["miou"]
    assert told["miou"] == pytest.approx(mean, abs=1e-3)
    assert (tmp_path / "overlays.png").exists() and "background" in lines[0][1]
    beside = finished / "lw_dna.json"
    names = json.loads(beside.read_text())["classes"]
    told = {**json.loads(beside.read_text()), "classes": [*names[:-2], *names[:-3:-1]]}
    spoilt = pathlib.Path(shutil.copy(finished / "lw_dna.tflite", tmp_path))
    spoilt.with_suffix(".json").write_text(json.dumps(told))
    assert evaluate.entry(["--task=segment", "--limit=4", f"--model={spoilt}"]) == 2
    message = capsys.readouterr().err
    assert f"output {len(names) - 2} is '{names[-1]}', by lw_dna.json" in message


def test_a_server_gives_masks(finished):
    served = tf.saved_model.load(str(finished / "saved_model/lw_dna/1"))
    photo = np.random.default_rng(0).integers(0, 256, (50, 41, 3), np.uint8)
    answer = served.signatures["segment_bytes"](
        image_bytes=tf.constant([tf.io.encode_png(photo).numpy(), b"GIF89a"])
    )
    model = keras.models.load_model(finished / "lw_dna.keras", compile=False)
    padded = np.pad(photo, [(0, 0), (0, 1), (0, 0)], "edge").astype("float32")
    wanted = np.asarray(model(padded[None]))[0, :, :41].argmax(-1)
    found = tf.io.decode_png(answer["png"][0]).numpy()[..., 0]
    assert (found == wanted).mean() > 0.999 and b"GIF" in answer["error"].numpy()[1]
    names = answer["classes"].numpy()
    assert names.shape == (2, 6) and (names[0] == names[1]).all()
    beside = result(finished, "lw_dna.json")["classes"]
    assert [name.decode() for name in names[0]] == beside and beside[2] == "trousers"
    nothing = served.signatures["segment_bytes"](image_bytes=tf.constant([], tf.string))
    assert nothing["png"].shape == (0,) and nothing["classes"].shape == (0, 6)


def test_a_run_is_exported_with_its_data(finished, capsys):
    flags = [f"--run={finished}", "--allow_drop", "--representative_images=8"]
    assert export.entry(flags) == 0, capsys.readouterr().err
    told = result(finished / "export", "export.json")
    for name in ("original", "lw_dna"):
        network = told["models"][name]
        assert "classifiers" in network["left_out"]["qat"]
        assert set(network["files"]) >= {"saved_model", "float32", "int8"}
        for kind, row in network["files"].items():
            assert row["drop"] == pytest.approx(network["miou"] - row["miou"])
            exact = kind in ("saved_model", "float32")
            assert row["same_class"] > (0.999 if exact else 0.8), kind
    beside = result(finished / "export", "lw_dna.int8.json")
    assert beside["classes"][2] == "trousers" and beside["tiles"]["multiple"] == 2
    assert "range" not in beside["output"] and beside["input"]["range"] == [0, 255]
    assert "same class" in capsys.readouterr().out


def test_trained_then_shrunk_with_what_it_learnt(finished, tmp_path):
    """Inherited weights are compensated on images without masks, and recover."""
    photos = tmp_path / "photos"
    for k in range(3):
        write(photos, "train", "ab"[k % 2] * (k + 1), GOOD, (60, 40))
    flags = [f for f in TINY if "check_images" not in f and "search" not in f]
    flags += [f"--model={finished / 'original.keras'}", "--weights=inherit"]
    flags += ["--width_mult=1", "--macs=0.7x", f"--calibrate={photos}"]
    assert shrink.entry([*flags, f"--workdir={tmp_path / 'small'}"]) == 0
    kept = result(tmp_path / "small", "run.json")["stages"]["search"]["kept"]
    assert kept["share"] > 0.5 and kept["agreement"] is None
    small = tmp_path / "small/lw_dna.keras"
    flags = [f for f in TINY if "check_images" not in f and "search" not in f]
    flags += [f"--model={small}", f"--teacher={finished / 'original.keras'}"]
    flags += ["--distill=match", f"--workdir={tmp_path / 'taught'}"]
    assert train.entry(flags) == 0
    before, after = (
        keras.models.load_model(path, compile=False).get_weights()
        for path in (small, tmp_path / "taught/model.keras")
    )
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


def test_own_folder_and_grey(tmp_path, capsys):
    root = folder(tmp_path / "data")
    write(root, "train", "unknown", GOOD + 5)
    flags = [*TINY[:1], *TINY[2:5], MODELS["segmenter"], "--channels=1"]
    flags += [f"--dataset={root}", f"--workdir={tmp_path / 'out'}"]
    assert train.entry(flags) == 0
    assert "unknown.jpg is left out: its mask" in capsys.readouterr().err
    model = keras.models.load_model(tmp_path / "out/model.keras", compile=False)
    assert model.input_shape[-1] == 1 and model.output_shape[-1] == 2
    write(root, "val", "other_size", GOOD[1:])
    flags = [f"--model={tmp_path / 'out/model.keras'}", f"--dataset={root}"]
    flags += [f"--output={tmp_path}", "--task=segment", "--patch=32"]
    assert evaluate.entry(flags) == 0
    told = result(tmp_path, "evaluation.json")
    assert told["images"] == 1
    assert sorted(place.split("/")[-1] for place in told["skipped"]) == [
        "other_size.jpg", "unknown.jpg"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "flags", "words"),
    [
        ("run", ["--model=resnet20"], ["another task", "unet_bn"]),
        ("train", ["--model=unet_bm"], ["unet_bm", "unet_bn"]),
        ("train", ["--model_args={}", MODELS["of_one_size"]], ["(None, None, 3)"]),
        ("train", ["--model_args={}", MODELS["one_output"]], ["1 outputs", "trousers"]),
        ("train", [MODELS["half_the_size"]], ["half_the_size", "as high and wide"]),
        ("train", ["--patch=30"], ["multiples of 8", "--patch=32"]),
        ("train", ["--mixup=0.1"], ["--mixup", "=classify and MODULE:TASK"]),
        ("train", ["--degrade=noise:25"], ["--degrade", "segment"]),
        ("train", ["--augment=imagenet"], ["flip_scale_colour"]),
        ("run", ["--latency=0.5x"], ["--latency", "--macs"]),
        ("train", ["--dataset=nowhere"], ["nowhere", "masks"]),
        ("train", ["--classes=back,front"], ["not a single", "no class"]),
        ("train", ["--classes=back"], ["1 classes"]),
        ("evaluate", ["--model=no.tflite"], ["no.tflite"]),
    ],
)
def test_one_message(script, flags, words, tmp_path, capsys, recwarn):
    own = ["--limit=1", "--task=segment"]
    if script != "evaluate":
        own += [f"--workdir={tmp_path / 'out'}", "--patch=32"]
    assert SCRIPTS[script].entry([*own, *flags]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    found = [line for line in lines if line.startswith("error: ")]
    assert len(found) == 1 and "Traceback" not in "".join(lines), lines
    for word in words:
        assert word in found[0], found[0]
