"""--task=detect, from boxes to files, a report and answers to image files."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras import cost
from hh_keras import export as exporting
from hh_keras.cli.commands import evaluate, export, run, shrink
from hh_keras.models.detection import detector_small
from hh_keras.tasks.detection.detections import detections
from hh_keras.tasks.detection.learning import places_of_model
from hh_keras.tasks.detection.signature import with_detections
from tests import boxed
from tests.zoo import randomize

TINY = (
    "--task=detect", "--image_size=64x96", "--batch_size=4", "--epochs=1",
    "--search_batches=1", "--check_images=2", "--warmup_epochs=0",
    '--model_args={"widths": [8, 8, 8, 16, 16], "neck": 8}', "--augment=detect",
)  # fmt: skip


def small_detector():
    widths = {"widths": (8, 8, 8, 16, 16), "neck": 8}
    return detector_small((64, 96, 3), 2, **widths)


@pytest.fixture
def data(tmp_path):
    return boxed.coco(tmp_path / "data")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detect")
    flags = [*TINY, f"--dataset={boxed.coco(folder / 'data')}", "--macs=0.7x"]
    assert run.entry([*flags, f"--workdir={folder}"]) == 0
    return folder


def result(folder, name):
    return json.loads((folder / name).read_text())


def test_a_run_leaves_networks_files_and_a_report(finished):
    found = result(finished, "results.json")
    models = {
        name: keras.models.load_model(finished / f"{name}.keras", compile=False)
        for name in ("original", "lw_dna")
    }
    macs = {name: cost(model).macs for name, model in models.items()}
    assert macs["lw_dna"] <= 0.7 * macs["original"]
    assert found["goal"] == "ap50" and 0 <= found["models"]["lw_dna"]["ap50"] <= 1
    assert found["parity"]["float32"]["relative"] < 1e-4
    page = (finished / "report.html").read_text()
    assert "Detected" in page and "AP50" in page
    assert (finished / "pictures/detections.png").exists()


def test_a_server_answers_files_with_boxes(finished):
    """The same boxes as of Keras on the same pixels; a broken file gets none."""
    served = tf.saved_model.load(str(finished / "saved_model/lw_dna/1"))
    model = keras.models.load_model(finished / "lw_dna.keras", compile=False)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 96, 3), "uint8")
    files = [tf.io.encode_png(pixels).numpy(), b"nothing"]
    answer = served.signatures["detect_bytes"](image_bytes=tf.constant(files))
    output = model(pixels[None].astype("float32"), training=False)
    boxes, kinds, scores = detections(output, places_of_model(model))
    np.testing.assert_allclose(answer["scores"][0], scores[0], atol=1e-5)
    clear = np.asarray(scores[0]) > np.asarray(scores[0])[10] + 1e-5
    shares = np.clip(np.asarray(boxes[0]) / [96, 64, 96, 64], 0, 1)
    np.testing.assert_allclose(answer["boxes"][0][clear], shares[clear], atol=1e-4)
    names = np.array([b"blue", b"red"], object)[np.asarray(kinds[0])]
    np.testing.assert_array_equal(answer["classes"][0].numpy()[clear], names[clear])
    assert answer["error"].numpy()[1] and not answer["scores"][1].numpy().any()
    assert set(answer["classes"][1].numpy()) == {b""}
    assert result(finished, "lw_dna.json")["classes"] == ["blue", "red"]
    nothing = served.signatures["detect_bytes"](image_bytes=tf.constant([], tf.string))
    assert nothing["boxes"].shape == (0, 100, 4) and nothing["error"].shape == (0,)


def test_export_and_evaluate(finished, tmp_path, capsys):
    flags = [f"--run={finished}", f"--workdir={tmp_path / 'out'}"]
    flags += ["--formats=float16,int8", "--representative_images=2", "--max_drop=1"]
    assert export.entry(flags) == 0
    assert "AP50" in capsys.readouterr().out
    for name in ("lw_dna.int8.tflite", "lw_dna_boxes.float16.tflite"):
        assert (tmp_path / "out" / name).exists()
    path = tmp_path / "out" / "lw_dna.float16.tflite"
    flags = ["--task=detect", f"--model={path}", f"--output={tmp_path / 'scores'}"]
    assert evaluate.entry([*flags, f"--dataset={finished / 'data'}"]) == 0
    facts = result(tmp_path / "scores", "evaluation.json")
    assert 0 <= facts["ap50"] <= 1 and set(facts["ap50 of classes"]) == {"blue", "red"}
    assert (tmp_path / "scores" / "detections.png").exists()
    told = result(tmp_path / "out", "lw_dna_boxes.float16.json")
    names = [output["keras_name"] for output in told["output"]]
    assert names == ["boxes", "classes", "scores"] and told["classes"] == [
        "blue",
        "red",
    ]
    red = boxed.coco(tmp_path / "red", change=only_red)
    flags = ["--task=detect", f"--dataset={red}", f"--output={tmp_path / 'red'}"]
    # Its classes are those of the file, which knows them, or of the data.
    assert evaluate.entry([*flags, f"--model={path}"]) == 0
    each = result(tmp_path / "red", "evaluation.json")["ap50 of classes"]
    assert each["blue"] is None and each["red"] == facts["ap50 of classes"]["red"]
    capsys.readouterr()
    assert evaluate.entry([*flags, f"--model={finished / 'lw_dna.keras'}"]) == 2
    assert "knows 2 classes" in capsys.readouterr().err
    flags = ["--task=detect", f"--model={path}", "--image_size=96"]
    assert evaluate.entry(flags) == 2
    assert "--image_size=96x96: --model=" in capsys.readouterr().err


def only_red(content, part):
    rows = content["annotations"]
    content["annotations"] = [x for x in rows if x["category_id"] == 6]


def test_boxes_are_sorted_out_by_plain_operations(tmp_path):
    """The .tflite file with suppression inside says what Keras says."""
    model = randomize(small_detector())
    path = exporting.tflite(with_detections(model), tmp_path / "boxes.tflite")
    image = np.random.default_rng(1).uniform(0, 255, (1, 64, 96, 3)).astype("float32")
    output = model(image, training=False)
    wanted = [np.asarray(x)[0] for x in detections(output, places_of_model(model))]
    boxes, *rest = sorted(
        (x[0] for x in exporting.predict(path, image)), key=lambda x: -x.ndim
    )
    scores, kinds = sorted(rest, key=lambda x: (x != np.round(x)).sum(), reverse=True)
    np.testing.assert_allclose(scores, wanted[2], atol=1e-5)
    # Of boxes with nearly the same score, either may come first.
    steps = np.abs(np.diff(wanted[2], prepend=2, append=-1)) > 1e-5
    clear = steps[1:] & steps[:-1] & (wanted[2] > 0)
    assert clear.sum() > 5
    np.testing.assert_allclose(boxes[clear], wanted[0][clear], atol=1e-2)
    np.testing.assert_array_equal(kinds[clear], wanted[1][clear])


def test_any_network_is_a_backbone_and_inherits(data, tmp_path, capsys):
    flags = ["--task=detect", "--model=resnet8", "--image_size=64x96", "--limit=4"]
    flags += ['--model_args={"widths": [8, 8, 16]}', "--batch_size=4", "--macs=0.8x"]
    flags += ["--weights=inherit", f"--dataset={data}"]
    assert shrink.entry([*flags, f"--workdir={tmp_path}"]) == 0
    assert "of the output" in capsys.readouterr().out


def test_what_does_not_fit_is_one_line(data, tmp_path, capsys):
    classifier = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    classifier.save(tmp_path / "flat.keras")
    small_detector().save(tmp_path / "two_classes.keras")
    for number, (flags, said) in enumerate(
        (
            ([f"--model={tmp_path / 'flat.keras'}", data], "no features of stride 8"),
            (
                [f"--model={tmp_path / 'two_classes.keras'}", "--criterion=fisher"],
                "2 classes",
            ),
            (["--model=detector_small", "--augment=flip", data], "none, detect"),
            (["--model=detector_small", f"--dataset={tmp_path}"], "holds no boxes"),
        )
    ):
        flags = [x if isinstance(x, str) else f"--dataset={x}" for x in flags]
        rest = ["--task=detect", f"--workdir={tmp_path / str(number)}"]
        assert shrink.entry([*rest, *flags]) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.strip().splitlines()) == 1
