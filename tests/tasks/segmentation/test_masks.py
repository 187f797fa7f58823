"""Lists of classes, mask files, folders: what is read, and what is refused."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from hh_keras.errors import DataError
from hh_keras.tasks.segmentation.classes import IGNORED, parse_classes
from hh_keras.tasks.segmentation.crops import load_crops
from hh_keras.tasks.segmentation.folders import open_masked
from hh_keras.tasks.segmentation.masks import mask_values

VALUES = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)


def encoded(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def palette(values):
    image = Image.fromarray(values).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 7, 7, 7] + [0] * 759)
    image.putdata(values.ravel().tolist())
    return image


def test_lists_of_classes():
    plain = parse_classes(["sky", "road", "", "ignore"])
    assert plain.names == ("sky", "road") and plain.values == {0: 0, 1: 1, 2: IGNORED}
    told = parse_classes(["0\tsky", "11 void (ignore)", "7:tree trunk"], 255)
    assert told.names == ("sky", "tree trunk")
    assert told.values == {0: 0, 11: IGNORED, 7: 1, 255: IGNORED}
    assert parse_classes(["a", "b", "c"], 1).values == {0: 0, 1: IGNORED, 2: 1}
    remarked = parse_classes(["# of our town", "sky", "#", "road"])
    assert remarked.values == {0: 0, 1: 1} and remarked.names == ("sky", "road")
    colours = parse_classes(["#000000 ground", "#FF8000 car"])
    assert colours.colours and colours.values == {0: 0, 0xFF8000: 1}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["sky"], "1 classes"),
        (["sky,road"], "each in a line"),
        (["sky", "3 road"], "some lines have a value"),
        (["3 sky", "#000003 road"], "or a colour"),
        (["3 sky", "3 road"], "'road' or its value is there twice"),
        (["sky", "sky"], "twice"),
        (["#000000 sky", "#ff00 road"], "'#ff00 road' is no colour"),
        ([f"c{n}" for n in range(256)], "256 classes"),
    ],
)
def test_lists_that_are_refused(lines, words):
    with pytest.raises(DataError, match=words):
        parse_classes(lines, where="mine.txt")


def test_mask_files_of_all_kinds():
    rgb = Image.fromarray(np.stack([VALUES * 100, VALUES * 0, VALUES], -1))
    grey16 = Image.fromarray(VALUES.astype(np.uint16) * 1000)
    for image, wanted in (
        (Image.fromarray(VALUES), VALUES),
        (palette(VALUES), VALUES),
        (Image.fromarray(VALUES > 0), VALUES > 0),
        (grey16, VALUES.astype(int) * 1000),
        (Image.fromarray(np.stack([VALUES] * 3, -1)), VALUES),
        (Image.fromarray(np.stack([VALUES] * 2, -1)), VALUES),
    ):
        np.testing.assert_array_equal(mask_values(encoded(image)), wanted)
    found = mask_values(encoded(rgb), colours=True)
    wide = VALUES.astype(int)
    np.testing.assert_array_equal(found, wide * 100 * 65536 + wide)
    with pytest.raises(ValueError, match="#rrggbb NAME"):
        mask_values(encoded(rgb))
    with pytest.raises(ValueError, match="JPEG"):
        mask_values(encoded(Image.fromarray(VALUES), "JPEG"))
    for broken in (b"", b"no image", encoded(Image.fromarray(VALUES))[:40]):
        with pytest.raises(ValueError):
            mask_values(broken)


def test_values_become_classes():
    classes = parse_classes(["2 car", "0 road"], 1)
    found = classes.masked(VALUES.astype(int))
    np.testing.assert_array_equal(found, [[1, 255, 0], [0, 255, 1]])
    assert found.dtype == np.uint8
    with pytest.raises(ValueError, match="holds 9, which is no class.*ignore_index=9"):
        classes.masked(VALUES.astype(int) * 0 + 9)
    with pytest.raises(ValueError, match="holds #000009, which is no class"):
        parse_classes(["#000001 a", "#000002 b"]).masked(np.full((1, 1), 9))


def write(root, part, name, mask, size=(20, 16)):
    """An image of noise and a mask, PART/images and PART/masks."""
    rng = np.random.default_rng(len(name))
    for kind in ("images", "masks"):
        (root / part / kind).mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(root / part / "images" / f"{name}.jpg")
    if mask is not None:
        Image.fromarray(mask).save(root / part / "masks" / f"{name}.png")


GOOD = np.arange(320, dtype=np.uint8).reshape(16, 20) % 2


def folder(root):
    for part in ("train", "val"):
        write(root, part, "good", GOOD)
    (root / "classes.txt").write_text("0 back\n1 front\n")
    return root


def test_bad_masks_are_left_out_and_named(tmp_path):
    root = folder(tmp_path)
    write(root, "train", "none", None)
    write(root, "train", "other_size", GOOD[:9])
    write(root, "train", "unknown", GOOD + 5)
    write(root, "train", "broken", GOOD)
    path = root / "train/masks/broken.png"
    path.write_bytes(path.read_bytes()[:50])
    write(root, "train", "torn", GOOD)
    path = root / "train/images/torn.jpg"
    path.write_bytes(path.read_bytes()[:300])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        data = load_crops(root, 8, batch_size=2)
    assert data.num_train == 1 and len(told) == len(data.skipped) == 5
    reasons = {place.split("/")[-1]: why for place, why in data.skipped.items()}
    assert "there is no none.png in" in reasons["none.jpg"]
    assert "has 20x16 pixels, its mask is for 20x9" in reasons["other_size.jpg"]
    assert "holds 5, 6, which is no class" in reasons["unknown.jpg"]
    assert "its mask cannot be used" in reasons["broken.jpg"]
    assert "mask" not in reasons["torn.jpg"]
    with pytest.raises(DataError, match="broken.jpg"):
        load_crops(root, 8, on_bad_image="fail")


def test_large_sets_are_read_while_they_are_used(tmp_path):
    root = folder(tmp_path)
    write(root, "train", "unknown", GOOD + 5)
    with pytest.warns(UserWarning, match="unknown.jpg is left out"):
        data = load_crops(root, 8, batch_size=2, memory_bytes=0)
        ((images, masks),) = data.epoch(0).as_numpy_iterator()
    assert images.shape == (1, 8, 8, 3) and masks.shape == (1, 8, 8)
    assert list(data.skipped)[0].endswith("unknown.jpg")


def test_a_set_of_which_nothing_can_be_used(tmp_path):
    root = folder(tmp_path)
    write(root, "train", "good", GOOD * 255)
    with pytest.warns(UserWarning), pytest.raises(DataError, match="holds 255, which"):
        load_crops(root, 8)
    write(root, "val", "good", GOOD * 255)
    source = open_masked(root, "0:back,255:front")
    assert load_crops(source, 8).class_names == ("back", "front")


def test_classes_of_one_part_only(tmp_path):
    root = folder(tmp_path)
    (root / "classes.txt").write_text("0 back\n1 front\n2 side\n9 ignore\n")
    write(root, "train", "side", GOOD * 2)
    with pytest.warns(UserWarning, match="^class 'side' is in no validation mask"):
        load_crops(root, 8)
    with warnings.catch_warnings():  # of a part of the images, nothing is said
        warnings.simplefilter("error")
        load_crops(root, 8, limit=2)
    write(root, "val", "good", GOOD * 0 + 9)
    with pytest.raises(DataError, match="not a pixel of the validation masks counts"):
        load_crops(root, 8, limit=2)


def test_lists_of_other_editors(tmp_path):
    root = folder(tmp_path)
    (root / "classes.txt").write_text("back\r\nfront\r\n", "utf-8-sig")
    assert open_masked(root).classes.names == ("back", "front")
    (root / "classes.txt").write_text("Vordergrün\n", "latin-1")
    with pytest.raises(DataError, match="not in UTF-8"):
        open_masked(root)


def test_layouts(tmp_path):
    made = folder(tmp_path / "first")
    second, third = tmp_path / "second", tmp_path / "third"
    for part, other in (("train", "train"), ("val", "test")):
        for kind, name in (("images", "images"), ("masks", "annotations")):
            (second / name).mkdir(parents=True, exist_ok=True)
            (made / part / kind).rename(second / name / other)
    data = load_crops(open_masked(second, "back,front"), 8)
    assert (data.num_train, data.num_validation) == (1, 1)
    for part, other in (("train", "train"), ("test", "val")):
        for name, ending in (("images", ""), ("annotations", "annot")):
            third.mkdir(exist_ok=True)
            (second / name / part).rename(third / f"{other}{ending}")
    data = load_crops(open_masked(third, "back,front"), 8)
    assert (data.num_train, data.num_validation) == (1, 1)


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        open_masked(tmp_path / "nowhere")
    write(tmp_path, "train", "good", GOOD)
    with pytest.raises(DataError, match="measure on"):
        open_masked(tmp_path)
    write(tmp_path, "val", "good", GOOD)
    with pytest.raises(DataError, match=r"good.png holds 0, 1.*--classes"):
        open_masked(tmp_path)
    with pytest.raises(DataError, match="--classes names 1"):
        open_masked(tmp_path, "back")


def test_the_embedded_set():
    source = open_masked()
    assert (len(source.train), len(source.validation)) == (240, 60)
    assert source.classes.names[0] == "background"
    data = load_crops(source, 64, limit=20, batch_size=20)
    ((images, masks),) = data.epoch(0).as_numpy_iterator()
    assert images.shape == (20, 64, 64, 3) and masks.dtype == np.uint8
    assert set(np.unique(masks)) - {IGNORED} == set(range(6))
