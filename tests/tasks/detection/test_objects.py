"""Images with boxes: what is read, what is left out, and what is said of it."""

import warnings

import pytest

from hh_keras.data.embedded import BLOOD_CELLS
from hh_keras.errors import DataError
from hh_keras.tasks.detection.objects import open_objects
from tests import boxed


def test_the_embedded_cells_have_the_original_parts_and_are_small():
    found = open_objects()
    assert found.class_names == ("Platelets", "RBC", "WBC") and not found.skipped
    assert (len(found.train), len(found.validation)) == (205, 87)
    assert len(open_objects(held_out="test").validation) == 72
    assert sum(len(x.names) for x in (*found.train, *found.validation)) == 3941
    assert sum(p.stat().st_size for p in BLOOD_CELLS.rglob("*")) < 3e6
    assert "MIT" in (BLOOD_CELLS / "LICENSE").read_text()


@pytest.mark.filterwarnings("ignore:blue")
def test_coco_and_voc_give_the_same_kind_of_boxes(tmp_path):
    for root in (boxed.coco(tmp_path / "coco"), boxed.voc(tmp_path / "voc")):
        found = open_objects(str(root))
        assert found.class_names == ("blue", "red")
        for image in (*found.train, *found.validation):
            sides = image.corners[:, 2:] - image.corners[:, :2]
            assert image.size == (48, 64) and sides.min() >= 10 and sides.max() < 20
    assert len(found.validation) == 1 and "every tenth" in found.description["text"]
    assert found.train[0].crowd.all() and not found.train[1].crowd.any()


def spoil(content, part):
    if part == "val":
        content["categories"].append({"id": 9, "name": "green"})
        content["annotations"][0]["category_id"] = 9
        return
    first, second, third, fourth, fifth = content["annotations"][:5]
    first["bbox"] = [10, 10, 0, 5]
    second["bbox"] = [200, 10, 5, 5]
    third["bbox"] = "none"
    fourth["bbox"] = [50, 10, 40, 20]  # reaches past the right side
    fifth["image_id"] = 1
    content["annotations"] += [
        {**fifth, "category_id": 77},
        {**fifth, "image_id": 88},
        {**fifth, "bbox": ["a", 1, 2, 3]},
        {**fifth, "bbox": [0.1, 0.2, 0.3, 0.3]},
    ]
    content["images"].append({"id": 99, "file_name": "lost.png"})


def test_bad_boxes_are_named_and_left_out(tmp_path):
    root = boxed.coco(tmp_path, change=spoil)
    with pytest.warns(UserWarning, match="is left out") as told:
        found = open_objects(str(root))
    reasons = {place.rpartition("/")[2]: why for place, why in found.skipped.items()}
    assert reasons == {
        "lost.png": "there is no such file",
        "train0.png#0": "its box is empty, 0x5 pixels",
        "train0.png#1": "its box lies outside of the image",
        "train1.png#0": "its box is not four numbers",
        "class 'green'": "no box to learn it from; its box is left out",
        "instances_train.json#12": "there is no such class in the file",
        "instances_train.json#13": "there is no such image in the file",
        "train1.png#3": "its box is not four numbers",
        "train1.png#4": "its box is 0.3x0.3 pixels, less than one (boxes are in "
        "pixels, not in shares of the image)",
    }
    assert len([x for x in told if "is left out" in str(x.message)]) == 9
    text = found.description["text"]
    assert "(1 without any)" in text and text.endswith("and were cut: 1")
    cut = next(x for x in found.train if x.place.endswith("train1.png"))
    assert cut.corners[0].tolist() == [50, 10, 64, 30]
    assert not next(x for x in found.train if x.place.endswith("train0.png")).names


def test_voc_files_that_note_other_names(tmp_path):
    """As labelling tools leave them: another name, an unnamed class, a BOM."""
    root = boxed.voc(tmp_path)
    for path in (root / "Annotations").iterdir():
        path.write_text(path.read_text().replace("<filename>", "<filename>C:"))
    path = root / "Annotations/01.xml"
    path.write_text(path.read_text().replace("blue", "").replace("red", ""))
    (root / "ImageSets/Main").mkdir(parents=True)
    (root / "ImageSets/Main/val.txt").write_text("03\n04\n", "utf-8-sig")
    with pytest.warns(UserWarning, match="01.png#. is left out: its class has no name"):
        found = open_objects(str(root))
    assert [len(part) for part in (found.train, found.validation)] == [9, 2]
    assert found.class_names == ("blue", "red") and len(found.skipped) == 2


def crowded(content, part):
    for each in content["annotations"]:
        each["iscrowd"] = 1


def not_measured(content, part):
    if part == "val":
        content["annotations"].clear()


def shares(content, part):
    for each in content["annotations"]:
        each["bbox"] = [n / 64 for n in each["bbox"]]


def test_a_class_that_is_not_measured_is_named(tmp_path):
    def only_red(content, part):
        if part == "val":
            rows = content["annotations"]
            content["annotations"] = [x for x in rows if x["category_id"] == 6]

    with pytest.warns(UserWarning, match="^blue: not a box to measure on"):
        open_objects(str(boxed.coco(tmp_path, change=only_red)))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda content, part: content.pop("categories"), "as COCO has them"),
        (lambda content, part: content["annotations"].clear(), "not one box to learn"),
        (crowded, "not one box to learn from: all are of crowds"),
        (not_measured, "not one box to measure on"),
        (shares, "not in shares of the image"),
    ],
)
def test_sets_without_boxes_are_refused(tmp_path, change, message):
    with warnings.catch_warnings(), pytest.raises(DataError, match=message):
        open_objects(str(boxed.coco(tmp_path, change=change)))


def test_a_folder_of_classes_is_no_set_of_boxes(tmp_path):
    with pytest.raises(DataError, match="holds no boxes: give a folder"):
        open_objects(str(tmp_path))
