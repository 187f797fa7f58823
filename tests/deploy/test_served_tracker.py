"""The tracker's client: its loop here, the networks in a server of real SavedModels."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import hh_keras.models
from hh_keras import export
from hh_keras.tasks.tracking.data.sequences import open_videos
from hh_keras.tasks.tracking.following.about import PARTS, about
from hh_keras.tasks.tracking.networks.halves import halves
from hh_keras.tasks.tracking.networks.trackers import tracker
from hh_keras.tasks.tracking.opening import open_tracker
from tests.deploy import serving

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_serving") is None,
    reason="tensorflow-serving-api is not installed",
)
CLIENT = serving.CLIENT.with_name("track.py")
FRAMES = 9


def follow(*arguments):
    command = [sys.executable, str(CLIENT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=300, text=True)
    return done.returncode, [*map(json.loads, done.stdout.splitlines())], done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """SavedModels of a filter with a head, frames with one damaged, a .json."""
    folder = tmp_path_factory.mktemp("served")
    backbone = hh_keras.models.build("mobilenetv2_tiny", (48, 48, 3), 10)
    network = tracker(backbone, "filter", (2, 4, 8), width=8)
    parts, told = halves(network), about(network)
    for part in PARTS:
        half = getattr(parts, part[1:])
        export.saved_model(half, folder, f"net{part}")
        export.tflite(half, folder / f"net{part}.tflite", about=told[part])
    (video,) = (v for v in open_videos("embedded", "val") if v.name == "fig")
    (folder / "frames").mkdir()
    for number, frame in enumerate(video.frames[:FRAMES]):
        Image.fromarray(frame()).save(folder / f"frames/{number:03d}.png")
    (folder / "frames/004.png").write_bytes(b"no picture")
    models = "".join(
        f'config {{ name: "net{part}" base_path: "{folder}/net{part}" '
        'model_platform: "tensorflow" } '
        for part in PARTS
    )
    (folder / "models.config").write_text(f"model_config_list {{ {models} }}")
    return folder, video


def test_boxes_are_those_of_the_files(folder):
    folder, video = folder
    box = ",".join(map(str, video.boxes[0]))
    with serving.serving(folder / "models.config") as (_, ports):
        asked = f"--server=localhost:{ports['grpc']}", "--model=net", f"--box={box}"
        beside = f"--about={folder / 'net_search.json'}"
        status, rows, said = follow(*asked, beside, folder / "frames")
        assert status == 1 and len(rows) == FRAMES, said
        wrong = follow(*asked, "--side=64", folder / "frames")
        missing = follow(*asked[:1], "--model=other", *asked[2:], folder / "frames")
        outside = follow(*asked[:2], "--box=999,0,5,5", beside, folder / "frames")
    wanted = open_tracker(folder / "net_search.tflite")
    wanted.start(video.frames[0](), video.boxes[0])
    for row, frame in zip(rows[1:], video.frames[1:FRAMES]):
        if row["frame"] == 4:
            assert row["error"] == "cannot be read"
            assert row["box"] == rows[3]["box"]
            continue
        expected, score = wanted.update(frame())
        np.testing.assert_allclose(row["box"], expected, atol=0.05)
        assert abs(row["score"] - score) < 1e-3
    for (code, lines, text), exit_status, words in (
        (wrong, 2, "--side=64"),
        (missing, 4, "no model other_exemplar"),
        (outside, 2, "outside of the frame"),
    ):
        assert code == exit_status and not lines, text
        last = text.splitlines()[-1]  # TensorFlow may have said something before
        assert last.startswith("error: ") and words in last


def test_nothing_answers(folder):
    folder, _ = folder
    status, rows, said = follow(
        "--server=localhost:9", "--retry-for=0", "--model=net", "--box=1,1,9,9",
        folder / "frames",
    )  # fmt: skip
    assert status == 3 and not rows and "no connection" in said
