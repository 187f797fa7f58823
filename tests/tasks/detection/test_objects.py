"""Images with boxes: what is read, what is left out, and what is said of it."""

import warnings

import pytest

from hh_keras.data.annotations import open_coco
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


def with_doubtful_ids(content, part):
    """Ids of two images, an image of two ids, one of both parts; sizes are not told."""
    if part == "val":
        content["images"][0]["file_name"] = "train5.png"
        return
    images, rows = content["images"], content["annotations"]
    images[1]["id"] = images[0]["id"]
    for each in rows:
        each["image_id"] -= each["image_id"] == 1
    images += [{**images[2]}, {**images[3], "id": 33}]
    for each in rows:
        if each["image_id"] == 3:
            rows += [
                {**each, "image_id": 33},
                {**each, "image_id": 33, "bbox": [300, 10, 8, 8]},
                {**each, "image_id": 33, "bbox": [5, 5, 8, 8]},
            ]
            break
    for each in images:
        del each["width"], each["height"]


def test_boxes_of_doubtful_images(tmp_path):
    root = boxed.coco(tmp_path, change=with_doubtful_ids)
    with pytest.warns(UserWarning, match="is left out"):
        found = open_objects(str(root))
    reasons = {place.rpartition("/")[2]: why for place, why in found.skipped.items()}
    assert reasons == {
        "train0.png": "its id 0 is that of train1.png, too",
        "train1.png": "its id 0 is that of train0.png, too",
        "train5.png (to learn from)": "it is measured on, too",
        "train3.png#2": "its box lies outside of the image",
    }
    learnt = {x.place.rpartition("/")[2]: len(x.names) for x in found.train}
    assert learnt == {"train2.png": 2, "train3.png": 3, "train4.png": 2}


@pytest.mark.parametrize(
    "name, part",
    [
        ("instances_val2017", "val"),
        ("cells-validation", "val"),
        ("personTest", "test"),
        ("image_info_test-dev2017", "test"),
        ("instances_minival", "val"),
        ("instances_trainval", "train"),
        ("latest", "train"),
        ("values", "train"),
    ],
)
def test_words_of_names_tell_the_part(tmp_path, name, part):
    root = boxed.coco(tmp_path, parts=(("train", 2),))
    (root / "annotations/instances_train.json").rename(
        root / f"annotations/{name}.json"
    )
    assert list(open_coco(root, {})) == [part]


def test_voc_files_that_note_other_names(tmp_path):
    """As labelling tools leave them: another name, an unnamed class, a BOM."""
    root = boxed.voc(tmp_path)
    for path in (root / "Annotations").iterdir():
        path.write_text(path.read_text().replace("<filename>", "<filename>C:"))
    copied = root / "Annotations/02.xml"  # from 05, which is an image, too
    copied.write_text(copied.read_text().replace("C:02", "05"))
    path = root / "Annotations/01.xml"
    path.write_text(path.read_text().replace("blue", "").replace("red", ""))
    (root / "ImageSets/Main").mkdir(parents=True)
    (root / "ImageSets/Main/val.txt").write_text("03\n04\n", "utf-8-sig")
    with pytest.warns(UserWarning, match="01.png#. is left out: its class has no name"):
        found = open_objects(str(root))
    assert [len(part) for part in (found.train, found.validation)] == [9, 2]
    assert found.class_names == ("blue", "red") and len(found.skipped) == 2
    assert len({x.place for x in (*found.train, *found.validation)}) == 11


def test_a_voc_box_that_is_no_number_costs_no_other(tmp_path):
    root = boxed.voc(tmp_path)
    path = root / "Annotations/02.xml"
    content = path.read_text().replace("<height>48</height>", "<height>-</height>")
    path.write_text(content.replace("<xmin>", "<xmin>oops ", 1))
    path = root / "Annotations/05.xml"
    path.write_text(path.read_text().replace("bndbox>", "points>", 2))
    with pytest.warns(UserWarning, match="is left out"):
        found = open_objects(str(root))
    reasons = {place.rpartition("/")[2]: why for place, why in found.skipped.items()}
    assert reasons == dict.fromkeys(
        ("02.png#0", "05.png#0"), "its box is not four numbers"
    )
    images = {x.place.rpartition("/")[2]: x for x in (*found.train, *found.validation)}
    assert len(images["02.png"].names) == len(images["05.png"].names) == 1
    assert images["02.png"].size is None


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
        (
            lambda content, part: content["categories"][1].update(id=5),
            "calls class id 5 both 'blue' and 'red'",
        ),
        (crowded, "not one box to learn from: all are of crowds"),
        (not_measured, "not one box to measure on"),
        (shares, "not in shares of the image"),
    ],
)
def test_sets_without_boxes_are_refused(tmp_path, change, message):
    with warnings.catch_warnings(), pytest.raises(DataError, match=message):
        open_objects(str(boxed.coco(tmp_path, change=change)))


def test_one_image_is_too_few(tmp_path):
    root = boxed.coco(tmp_path, parts=(("train", 1),))
    with pytest.raises(DataError, match="0 images to learn from and 1 to measure on"):
        open_objects(str(root))


def test_a_folder_of_classes_is_no_set_of_boxes(tmp_path):
    with pytest.raises(DataError, match="holds no boxes: give a folder"):
        open_objects(str(tmp_path))
