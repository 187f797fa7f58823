"""Boxes stay on their objects, whatever chance does to an image."""

import numpy as np
import pytest

from hh_keras.tasks.detection.augmentation import AUGMENTATIONS, augmented
from hh_keras.tasks.detection.images import load_boxes
from hh_keras.tasks.detection.objects import open_objects
from tests import boxed


def batches(dataset):
    return [[np.array(x) for x in pair] for pair in dataset]


def loaded(root, **settings):
    objects = open_objects(str(boxed.coco(root)))
    return load_boxes(objects, (64, 96), 4, **settings)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_boxes_stay_on_their_objects(tmp_path, augment):
    data = loaded(tmp_path, augment=augment)
    seen = 0
    for epoch in range(3):
        for images, rows in batches(data.epoch(epoch)):
            assert images.shape[1:] == (64, 96, 3) and rows.shape[1:] == (2, 5)
            for image, own in zip(images, rows):
                objects = np.abs(image[..., 0] - image[..., 2]) > 60  # red or blue
                left_over = objects.copy()
                for left, top, right, low, kind in own[own[:, 2] > own[:, 0]]:
                    inner = np.s_[
                        int(np.ceil(top + 2)) : int(low - 2),
                        int(np.ceil(left + 2)) : int(right - 2),
                    ]
                    redder = image[inner][..., 0] > image[inner][..., 2]
                    assert objects[inner].all() and (redder == (kind == 1)).all()
                    outer = np.s_[
                        max(0, int(top - 2)) : int(low + 3),
                        max(0, int(left - 2)) : int(right + 3),
                    ]
                    left_over[outer] = False
                    seen += 1
                # In no box is at most three tenths of each object, 49 pixels a side.
                assert left_over.sum() <= 0.3 * 49**2 * 2
    assert seen > 15


def test_epochs_are_functions_of_their_number_and_go_on_anywhere(tmp_path):
    data = loaded(tmp_path, augment="detect", seed=3)
    first, again = batches(data.epoch(1)), batches(data.epoch(1))
    other, rest = batches(data.epoch(2)), batches(data.epoch(1, 1))
    for one, two in ((first, again), (first[1:], rest)):
        for x, y in zip(one, two, strict=True):
            np.testing.assert_array_equal(x[0], y[0])
            np.testing.assert_array_equal(x[1], y[1])
    assert np.abs(first[0][0] - other[0][0]).max() > 1
    same = batches(data.validation), batches(data.validation)
    np.testing.assert_array_equal(same[0][0][0], same[1][0][0])


def test_images_that_are_not_kept_are_the_same(tmp_path):
    kept = loaded(tmp_path / "a", augment="detect")
    read = loaded(tmp_path / "b", augment="detect", memory_bytes=0)
    for one, two in zip(batches(kept.epoch(0)), batches(read.epoch(0)), strict=True):
        np.testing.assert_array_equal(one[0], two[0])


@pytest.mark.parametrize("memory", [None, 0])
def test_damaged_images_and_other_sizes_are_named(tmp_path, memory):
    root = boxed.coco(tmp_path)
    (root / "images/train0.png").write_bytes(b"no image")
    boxed.picture(np.random.default_rng(0), (40, 64))[0].save(
        root / "images/train1.png"
    )
    objects = open_objects(str(root))
    with pytest.warns(UserWarning, match="is left out"):
        data = load_boxes(objects, (64, 96), 4, memory_bytes=memory)
        assert sum(len(x) for x, _ in batches(data.epoch(0))) == 4
    reasons = {k.rpartition("/")[2]: why for k, why in data.skipped.items()}
    assert set(reasons) == {"train0.png", "train1.png"}
    assert reasons["train1.png"] == "it has 64x40 pixels, its boxes are for 64x48"


def test_a_box_of_which_too_little_is_seen_is_no_box(monkeypatch):
    image = np.zeros((40, 60, 3), np.uint8)
    shares = np.array([0.2, 0.28, 0.32, 0.6])
    left = -20 * (1 - shares)  # 20 wide, pushed out of the image on the left
    boxes = np.stack([left, np.full(4, 5.0), left + 20, np.full(4, 25.0)], -1)
    monkeypatch.setattr(
        "hh_keras.tasks.detection.augmentation._part",
        lambda pixels, corners, size, rng: (image, corners.copy()),
    )
    rng = np.random.default_rng(0)
    _, found, seen = augmented(image, boxes, (40, 60), "detect", rng)
    assert seen.tolist() == [False, False, True, True]
    np.testing.assert_allclose(found[:, 2] - found[:, 0], 20 * shares)
