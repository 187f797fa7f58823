"""Boxes are found where the layouts have them, and rows of no use are named."""

import json
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import hh_keras as hh
from hh_keras.tasks.tracking import commands
from hh_keras.tasks.tracking.data.pictures import Picture
from hh_keras.tasks.tracking.data.regions import Geometry
from hh_keras.tasks.tracking.data.sequence import Video
from hh_keras.tasks.tracking.data.targets import are_whole, open_targets
from hh_keras.tasks.tracking.pairs import load_pairs
from tests.data.conftest import encode
from tests.data.test_prepared import store

SMALL = Geometry(exemplar_size=8, search_size=12)


def write(path, size=(40, 30), value=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(size, value, "PNG"))


def by_name(videos):
    return {video.name: video for video in videos}


def crops(root, sequences=3, stills=2, more=()):
    rows = []
    for number in range(sequences):
        for k in range(3):
            rows.append((f"videos/set/s{number}/{k:04d}.png", 10, 12))
    rows += [(f"images/set/{k:04d}.png", 16, 8) for k in range(stills)]
    for file, *_ in rows:
        write(root / file)
    # Frames are in order of their names, whatever the order of the rows.
    lines = [",".join(map(str, row)) for row in [*rows[::-1], *more]]
    (root / "boxes.csv").write_text("\n".join(["file,w,h", *lines]) + "\n")
    return root


def test_folders_of_crops(tmp_path):
    targets = open_targets(crops(tmp_path))
    found = by_name([*targets.train, *targets.validation])
    assert [v.name for v in targets.validation] == ["images/set/0001.png"]
    assert type(found["videos/set/s1"]) is Video and len(found["videos/set/s1"]) == 3
    still = found["images/set/0000.png"]
    assert type(still) is Picture and still.boxes.tolist() == [[12, 11, 16, 8]]
    assert found["videos/set/s2"].boxes.tolist() == [[15, 9, 10, 12]] * 3
    assert still.frames[0]().shape == (30, 40, 3)
    names = [frame.args[0][-8:] for frame in found["videos/set/s2"].frames]
    assert names == [b"0000.png", b"0001.png", b"0002.png"]
    assert load_pairs(tmp_path, SMALL).num_train == 3 * 20 + 1


def test_bad_rows_of_crops(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    bad = [("videos/gone.png", 9, 9), ("broken.png", 9, 9), ("images/no.png", "x", 9)]
    root = crops(tmp_path, more=[*bad, ("images/set/0000.png", 0, 9)])
    targets = open_targets(root)
    assert sorted(targets.skipped.values()) == [
        "No such file or directory",
        "it holds no image of a known format",
        "its box has no size",
        "its size is no number",
    ]
    assert len([*targets.train, *targets.validation]) == 5
    (root / "boxes.csv").write_text("file,w,h\nvideos/gone.png,9,9\n")
    with pytest.raises(hh.DataError, match="not one box .* 1 are of no use.*gone.png"):
        open_targets(root)
    (root / "boxes.csv").write_text("name,w\n")
    with pytest.raises(hh.DataError, match="no column file and no h"):
        open_targets(root)


def test_crops_in_parts(tmp_path):
    crops(tmp_path / "train", 11)
    crops(tmp_path / "validation", 1, 0)
    targets = open_targets(tmp_path)
    assert (len(targets.train), len(targets.validation)) == (13, 1)
    assert "a part of its own" in targets.description["text"]


def coco(root, name, boxes, folder="images"):
    """Each image has the boxes given, `(box, crowd)`."""
    images, rows = [], []
    for number, each in enumerate(boxes):
        file = f"{name}{number}.png"
        write(root / folder / file)
        sides = {"height": 30, "width": 40}
        images.append({"id": number, "file_name": file, **sides})
        rows += [
            {"image_id": number, "category_id": 1, "bbox": box, "iscrowd": crowd}
            for box, crowd in each
        ]
    path = root / "annotations" / f"instances_{name}2017.json"
    path.parent.mkdir(exist_ok=True)
    kinds = [{"id": 1, "name": "thing"}]
    content = {"images": images, "annotations": rows, "categories": kinds}
    path.write_text(json.dumps(content))
    return path


def test_coco(tmp_path):
    good = ([5, 6, 20, 10.5], 0)
    every = [[good, ([1, 1, 2, 2], 0), ([0, 0, 40, 30], 1)], [([1, 1, 9, 9], 0)] * 2]
    bad = [([1, 1, 0, 9], 0), ([90, 1, 9, 9], 0), (None, 0), good]
    coco(tmp_path, "train", [*every, bad, [good]], "images/train2017")
    coco(tmp_path, "val", [[good]], "val2017")
    (tmp_path / "annotations" / "captions_train2017.json").write_text("{}")
    (tmp_path / "images/train2017/train3.png").unlink()
    targets = open_targets(tmp_path)
    boxes = {
        k.split("/")[-1]: v.boxes.tolist() for k, v in by_name(targets.train).items()
    }
    assert boxes == {
        "train0.png": [good[0]],
        "train1.png": [[1, 1, 9, 9]] * 2,
        "train2.png": [good[0]],
    }
    assert [v.name.split("/")[-1] for v in targets.validation] == ["val0.png"]
    assert sorted((k.split("/")[-1], v) for k, v in targets.skipped.items()) == [
        ("train2.png#0", "its box has no size"),
        ("train2.png#1", "the middle of its box lies outside of the image"),
        ("train2.png#2", "its box has no size"),
        ("train3.png", "there is no such file"),
    ]
    data = load_pairs(tmp_path, SMALL)
    assert (data.num_train, data.num_validation) == (3, 1)
    (images, boxes), *_ = data.epoch(0)
    assert images[1].shape == (3, 12, 12, 3) and boxes.shape == (3, 4)
    coco(tmp_path, "train", []).write_text('{"images": [{}]}')
    with pytest.raises(hh.DataError, match="no boxes as COCO has them"):
        open_targets(tmp_path)


def voc(root, name, corners, size=True):
    write(root / "JPEGImages" / f"{name}.png")
    sides = "<size><width>40</width><height>30</height></size>" if size else ""
    keys = "xmin", "ymin", "xmax", "ymax"
    objects = "".join(
        "<object><bndbox>"
        + "".join(f"<{k}>{v}</{k}>" for k, v in zip(keys, each))
        + "</bndbox></object>"
        for each in corners
    )
    path = root / "Annotations" / f"{name}.xml"
    path.parent.mkdir(exist_ok=True)
    head = f"<annotation><filename>{name}.png</filename>{sides}"
    path.write_text(f"{head}{objects}</annotation>")


def test_voc(tmp_path):
    voc(tmp_path, "a", [(1, 1, 40, 30), (11, 6, 30, 15)])
    voc(tmp_path, "b", [(5, 5, 4, 20), (11, 6, 30, 15)], size=False)
    voc(tmp_path, "c", [(1, 1, 10, 10)])
    voc(tmp_path, "d", [("", 1, 10, 10)])
    voc(tmp_path, "e", [])
    (tmp_path / "Annotations/f.xml").write_text("<annotation>")
    listed = tmp_path / "ImageSets/Main/val.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("c\n")
    targets = open_targets(tmp_path)
    assert [v.boxes.tolist() for v in targets.train] == [
        [[0, 0, 40, 30], [10, 5, 20, 10]],
        [[10, 5, 20, 10]],
    ]
    assert [v.boxes.tolist() for v in targets.validation] == [[[0, 0, 10, 10]]]
    assert [k.split("/")[-1] for k in targets.skipped] == [
        "f.xml",
        "b.png#0",
        "d.png#0",
    ]
    listed.unlink()
    assert len(open_targets(tmp_path).train) == 2


def detections(count, boxes):
    def generate():
        for k in range(count):
            image = np.full((30, 40, 3), 10 * k, np.uint8)
            yield {"image": image, "objects": {"bbox": np.array(boxes, np.float32)}}

    signature = {
        "image": tf.TensorSpec((None, None, 3), tf.uint8),
        "objects": {"bbox": tf.TensorSpec((None, 4), tf.float32)},
    }
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(count))


def test_sets_of_tensorflow_datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    image = tfds.features.Image(encoding_format="png")
    objects = tfds.features.Sequence({"bbox": tfds.features.BBoxFeature()})
    boxes = [(0.2, 0.25, 0.6, 0.75), (0.5, 0.5, 0.5, 0.9)]
    splits = {"train": detections(5, boxes), "validation": detections(2, boxes[:1])}
    store(tmp_path, "things", splits, image=image, objects=objects)
    targets = open_targets("tfds:things")
    assert (len(targets.train), len(targets.validation)) == (5, 2)
    np.testing.assert_allclose(targets.train[0].boxes, [[10, 6, 20, 12]], atol=1e-4)
    reads = [
        by_name(targets.train)[name].frames[0]
        for name in sorted(by_name(targets.train))
    ]
    assert [read()[0, 0, 0] for read in reads] == [0, 10, 20, 30, 40]
    assert list(targets.skipped.values()) == ["its box has no size"] * 5
    assert load_pairs("tfds:things", SMALL).num_train == 5
    train_only = {"train": detections(3, boxes)}
    store(tmp_path, "few_things", train_only, image=image, objects=objects)
    assert len(open_targets("tfds:few_things").train) == 2
    store(tmp_path, "plain", {"train": detections(2, boxes).map(
        lambda each: {"image": each["image"]})}, image=image)  # fmt: skip
    with pytest.raises(hh.DataError, match="no images with boxes"):
        open_targets("tfds:plain")


@pytest.mark.parametrize("parts", [("train", "val"), ("train",), ()])
def test_folders_of_videos(monkeypatch, parts):
    def open_videos(spec, part=None):
        if part not in (None, *parts):
            raise hh.DataError(f"{spec} has no {part}/")
        return [Video(f"{part}{k}", [], np.zeros((0, 4))) for k in range(3)]

    fake = types.SimpleNamespace(open_videos=open_videos)
    monkeypatch.setitem(sys.modules, "hh_keras.tasks.tracking.data.sequences", fake)
    targets = open_targets("some_folder")
    names = [[v.name for v in part] for part in (targets.train, targets.validation)]
    if len(parts) == 2:
        assert names == [["train0", "train1", "train2"], ["val0", "val1", "val2"]]
    else:
        one = "train" if parts else "None"
        assert names == [[f"{one}0", f"{one}1"], [f"{one}2"]]


@pytest.mark.parametrize("part", ["", "train/"])
def test_networks_are_measured_on_what_they_have_not_learnt_from(tmp_path, part):
    for number in range(6):
        folder = tmp_path / f"{part}s{number}"
        write(folder / "img/0001.png")
        (folder / "groundtruth_rect.txt").write_text("9,9,8,8\n")
    targets = open_targets(tmp_path)
    args = types.SimpleNamespace(dataset=str(tmp_path), limit=None)
    held_out = commands.held_out(args)
    assert [v.name for v in held_out] == [v.name for v in targets.validation] == ["s4"]
    assert targets.whole and are_whole(tmp_path)


def test_what_is_no_whole_video_is_not_followed(tmp_path):
    crops(tmp_path / "crops")
    coco(tmp_path / "coco", "train", [[([5, 6, 20, 10], 0)]] * 3)
    for kind in ("crops", "coco"):
        args = types.SimpleNamespace(dataset=str(tmp_path / kind), limit=None)
        assert commands.held_out(args) == () and not are_whole(args.dataset)
    args = types.SimpleNamespace(dataset=str(tmp_path / "none"), limit=None)
    with pytest.raises(hh.DataError, match="does not exist"):
        commands.held_out(args)
