"""What the `.json` beside a tracker's two files tells an app, and Python again."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import hh_keras
from hh_keras.errors import ModelError
from hh_keras.export import formats
from hh_keras.tasks.tracking.following.about import PARTS, about, files_of
from hh_keras.tasks.tracking.following.settings import Settings
from hh_keras.tasks.tracking.networks.halves import halves
from hh_keras.tasks.tracking.networks.trackers import tracker
from hh_keras.tasks.tracking.opening import open_tracker


@pytest.fixture(scope="module", params=[True, False])
def files(request, tmp_path_factory):
    """The folder of both files, and whether the network tells sides."""
    backbone = hh_keras.models.build("resnet8", (48, 48, 3), 10)
    model = tracker(backbone, "filter", (1, 2, 4), boxes=request.param, width=8)
    folder, parts = tmp_path_factory.mktemp("tracker"), halves(model)
    for half, (part, told) in zip((parts.exemplar, parts.search), about(model).items()):
        path = folder / f"net{part}.tflite"
        formats.write(half, path, "float32", (48, 48, 3), None, about=told)
    return folder, request.param


def told(folder, part):
    return json.loads((folder / f"net{part}.json").read_text())


def test_an_app_is_told_what_it_needs(files):
    folder, sides = files
    exemplar, search = (told(folder, part) for part in PARTS)
    assert exemplar["tracker"].pop("part") == "exemplar"
    assert search["tracker"].pop("part") == "search"
    assert exemplar["tracker"] == search["tracker"]
    assert search["tracker"]["context"] == 3 and search["tracker"]["sides"] is sides
    cells = search["tracker"]["cells"]
    assert search["output"]["shape"] == [1, cells, cells, 5 if sides else 1]
    settings = {**search["tracker"]["settings"]}
    settings["scales"] = tuple(settings["scales"])
    assert Settings(**settings) == Settings()


def test_the_kernel_is_no_image(files):
    folder, _ = files
    exemplar, search = (told(folder, part) for part in PARTS)
    image, *kernel = search["input"]
    for each in (exemplar["input"], image):
        assert each["range"] == [0, 255] and each["channels"] == "RGB"
        assert "square around the target" in each["resize"]
    assert [each["shape"] for each in kernel] == [
        each["shape"] for each in exemplar["output"]
    ]
    plain = {"name", "shape", "dtype"}
    for each in (*kernel, search["output"]):
        assert set(each) == plain
    # Of several outputs each has the network's own name as well.
    for each in exemplar["output"]:
        assert set(each) - {"keras_name"} == plain


def test_settings_are_those_of_the_file(files, tmp_path):
    folder, _ = files
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path, beside = tmp_path / "net_exemplar.tflite", tmp_path / "net_search.json"
    described = json.loads(beside.read_text())
    settings = described["tracker"]["settings"]
    settings["rate"], settings["scales"] = 0.5, [0.9, 1, 1.1]
    beside.write_text(json.dumps(described))
    wanted = dataclasses.replace(Settings(), rate=0.5, scales=(0.9, 1.0, 1.1))
    assert open_tracker(path).settings == wanted
    assert open_tracker(path, Settings(rate=0)).settings == Settings(rate=0)
    settings["luck"] = 1
    beside.write_text(json.dumps(described))
    with pytest.raises(
        ModelError, match=r"net_search.json has an unknown setting, luck"
    ):
        open_tracker(path)
    beside.write_text(json.dumps(described)[:-9])  # half of it was copied
    with pytest.raises(ModelError, match=r"net_search.json, .* is damaged"):
        open_tracker(path)
    beside.unlink()
    assert open_tracker(path).settings == Settings()


def test_files_are_known_by_the_last_part_of_their_names():
    def both(path):
        return [str(each) for each in files_of(Path(path))]

    wanted = ["a/my_search_exemplar.tflite", "a/my_search_search.tflite"]
    for path in wanted:
        assert both(path) == wanted
    wanted = ["m/net_exemplar/12", "m/net_search/12"]
    for path in wanted:
        assert both(path) == wanted
    assert both("old_search/net.tflite") == both("net.tflite") == both("1") == []


def test_files_follow(files):
    folder, _ = files
    followed = open_tracker(folder / "net_search.tflite")
    frame = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype("uint8")
    followed.start(frame, (30, 20, 15, 20))
    box, _ = followed.update(frame)
    assert np.isfinite(box).all()
