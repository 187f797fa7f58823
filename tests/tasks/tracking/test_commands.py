"""--task=track, from sequences to files, a report and a tracked video."""

import csv
import json

import keras
import numpy as np
import pytest
from PIL import Image

from hh_keras import cost
from hh_keras.cli.commands import evaluate, export, run, shrink, track
from hh_keras.tasks.tracking.data.sequences import open_videos
from hh_keras.tasks.tracking.opening import open_tracker

TINY = (
    "--task=track", "--model=resnet8", "--model_args={\"widths\":[4,8,12]}",
    "--image_size=48", "--strides=1,2,4", "--limit=2", "--pairs=8", "--batch_size=4",
    "--epochs=1", "--search_batches=1", "--check_images=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("track")
    assert run.entry([*TINY, "--macs=0.7x", f"--workdir={folder}"]) == 0
    return folder


def result(folder, name):
    return json.loads((folder / name).read_text())


def test_a_run_leaves_everything_and_is_reused(finished, capsys):
    found = result(finished, "results.json")
    models = {
        name: keras.models.load_model(finished / f"{name}.keras", compile=False)
        for name in ("original", "lw_dna")
    }
    macs = {name: cost(model).macs for name, model in models.items()}
    assert macs["lw_dna"] <= 0.7 * macs["original"]
    assert found["models"]["lw_dna"]["macs"] == macs["lw_dna"]
    assert found["goal"] == "auc" and 0 <= found["models"]["original"]["auc"] <= 1
    for part in ("exemplar", "search"):
        assert (finished / f"lw_dna_{part}.tflite").exists()
        assert (finished / f"saved_model/lw_dna_{part}/1").is_dir()
        assert found["parity"][f"{part} float32"]["relative"] < 1e-4
    page = (finished / "report.html").read_text()
    assert "Success and precision" in page and "AUC" in page
    assert run.entry([*TINY, "--macs=0.7x", f"--workdir={finished}"]) == 0
    assert capsys.readouterr().out.count("done before in this workdir") == 4


def test_files_of_all_kinds_follow_alike(finished):
    """Keras, the two .tflite files and the two SavedModels, by any of their paths."""
    video = open_videos("embedded", "val")[0]
    ways = []
    for path in (
        finished / "lw_dna.keras",
        finished / "lw_dna_search.tflite",
        finished / "lw_dna_exemplar.tflite",
        finished / "saved_model/lw_dna_search/1",
    ):
        tracker = open_tracker(path)
        tracker.start(video.frames[0](), video.boxes[0])
        ways.append([tracker.update(frame())[0] for frame in video.frames[1:5]])
    for way in ways[1:]:
        np.testing.assert_allclose(way, ways[0], atol=0.05)


def test_export_and_evaluate(finished, tmp_path, capsys):
    flags = [f"--run={finished}", f"--workdir={tmp_path / 'out'}"]
    flags += ["--formats=float16,int8", "--representative_images=2", "--max_drop=1"]
    assert export.entry(flags) == 0
    for kind in ("float16", "int8"):
        assert (tmp_path / "out" / f"lw_dna_search.{kind}.tflite").exists()
    assert "AUC" in capsys.readouterr().out
    path = tmp_path / "out" / "lw_dna_search.float16.tflite"
    output = tmp_path / "scores"
    flags = ["--task=track", f"--model={path}", "--limit=1", f"--output={output}"]
    assert evaluate.entry(flags) == 0
    assert 0 <= result(output, "evaluation.json")["auc"] <= 1
    assert (output / "success.png").exists() and (output / "boxes.png").exists()


def test_inherited_weights_are_compensated(finished, tmp_path, capsys):
    flags = [*TINY[:1], f"--model={finished / 'original.keras'}", "--weights=inherit"]
    flags += ["--limit=2", "--pairs=8", "--batch_size=4", "--macs=0.8x"]
    assert shrink.entry([*flags, f"--workdir={tmp_path}"]) == 0
    assert "of the output" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--strides=1,2", "--nosides", "--image_size=64"])
def test_a_tracker_is_what_its_file_says(finished, tmp_path, capsys, flag):
    flags = ["--task=track", f"--model={finished / 'original.keras'}", "--limit=2"]
    assert shrink.entry([*flags, flag, f"--workdir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert "is a whole tracker" in error and flag.split("=")[0][2:4] in error


def frames_in(folder, count=6):
    video = open_videos("embedded", "val")[1]
    folder.mkdir()
    for k in range(count):
        Image.fromarray(video.frames[k]()).save(folder / f"{k:03d}.png")
    return ",".join(f"{v:g}" for v in video.boxes[0])


def test_a_folder_of_frames_is_tracked(finished, tmp_path, capsys):
    box = frames_in(tmp_path / "frames")
    (tmp_path / "frames/002.png").write_bytes(b"broken")
    frame = Image.open(tmp_path / "frames/004.png")
    frame.resize((frame.width // 2, frame.height // 2)).save(
        tmp_path / "frames/004.png"
    )
    flags = [f"--model={finished / 'lw_dna_search.tflite'}", f"--box={box}"]
    flags += [f"--video={tmp_path / 'frames'}", f"--output={tmp_path / 'out'}"]
    assert track.entry(flags) == 0
    said = capsys.readouterr().out
    assert "6 frames" in said and "1 could not be read" in said
    rows = list(csv.DictReader((tmp_path / "out/boxes.csv").open()))
    assert len(rows) == 6 and rows[2]["left"] == rows[1]["left"]
    ratio = float(rows[4]["width"]) / float(rows[3]["width"])
    assert 0.4 < ratio < 0.6
    first = (tmp_path / "out/boxes.txt").read_text().splitlines()[0]
    assert float(first.split(",")[0]) == pytest.approx(float(box.split(",")[0]) + 1)
    assert len(list((tmp_path / "out/frames").iterdir())) == 5
    assert track.entry(flags) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ("900,10,20,20", "outside of the frame"),
        ("10,10,0,20", "write left,top,width,height"),
        ("1,2,3", "write left,top,width,height"),
        ("nan,2,30,40", "write left,top,width,height"),
        (None, "--box is missing"),
    ],
)
def test_a_wrong_box_is_one_line(finished, tmp_path, capsys, box, said):
    frames_in(tmp_path / "frames", 2)
    flags = [f"--model={finished / 'lw_dna.keras'}", f"--output={tmp_path / 'out'}"]
    flags += [f"--video={tmp_path / 'frames'}", *([f"--box={box}"] if box else [])]
    assert track.entry(flags) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


def test_other_files_are_named(finished, tmp_path, capsys):
    box = frames_in(tmp_path / "frames", 2)
    rest = [f"--box={box}", f"--video={tmp_path / 'frames'}"]
    rest += [f"--output={tmp_path / 'out'}"]
    (tmp_path / "alone_search.tflite").write_bytes(b"")
    classifier = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    classifier.save(tmp_path / "classifier.keras")
    for name, said in (
        ("alone_search.tflite", "alone_exemplar.tflite does not exist"),
        ("classifier.keras", "1 inputs"),
        ("nothing.keras", "nothing.keras"),
        ("frames", "two files"),
    ):
        assert track.entry([f"--model={tmp_path / name}", *rest]) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.splitlines()) == 1
