"""Sequences in the layouts of OTB, VOT and GOT-10k, whole and damaged."""

import numpy as np
import pytest

import hh_keras as hh
from hh_keras.tasks.tracking.data.sequences import open_videos
from hh_keras.tasks.tracking.measuring.measures import measure
from tests.data.conftest import encode


def frames(folder, count, first=1, pattern="{:04d}.jpg", size=(12, 9)):
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(first, first + count):
        (folder / pattern.format(k)).write_bytes(
            encode(size, value=10 * (k - first) % 250)
        )


def otb(folder, rows, count=None, name="groundtruth_rect.txt", separator=","):
    lines = rows.splitlines() if isinstance(rows, str) else rows
    frames(folder / "img", len(lines) if count is None else count)
    text = "\n".join(separator.join(map(str, row)) for row in lines)
    (folder / name).write_text(rows if isinstance(rows, str) else text)


BOXES = [(1, 1, 4, 5), (2, 3, 4, 5), (3, 5, 4, 6)]


@pytest.mark.parametrize("separator", [",", "\t", " ", ", ", ";", "   "])
def test_otb(tmp_path, separator):
    otb(tmp_path / "Deer", BOXES, separator=separator)
    (video,) = open_videos(tmp_path)
    assert video.name == "Deer" and len(video) == 3
    np.testing.assert_array_equal(video.boxes[1], [1, 2, 4, 5])  # counted from 1
    shown = [frame() for frame in video.frames]
    assert all(x.shape == (9, 12, 3) and x.dtype == np.uint8 for x in shown)
    assert [int(x[0, 0, 0]) for x in shown] == [0, 10, 20]
    (same,) = open_videos(tmp_path / "Deer")  # a sequence's own folder
    assert same.name == "Deer"
    np.testing.assert_array_equal(same.boxes, video.boxes)


def test_absent_and_missing_rows(tmp_path):
    otb(
        tmp_path / "A", "\ufeff1,1,4,5\r\nNaN\tnan NaN,NaN\n\n3,3,0,5\n5 5 1 1\n\n\n", 7
    )
    (video,) = open_videos(tmp_path)
    there = [True, False, False, False, True, False, False]
    np.testing.assert_array_equal(np.isfinite(video.boxes).all(-1), there)
    np.testing.assert_array_equal(np.isnan(video.boxes).any(-1), ~np.array(there))


def test_several_targets(tmp_path):
    for number in (2, 1, 10):
        rows = [(number, 1, 4, 4)] * 2
        otb(tmp_path / "Jogging", rows, name=f"groundtruth_rect.{number}.txt")
    # As in OTB: one target's file is empty.
    otb(tmp_path / "Human4", BOXES[:2], name="groundtruth_rect.2.txt")
    (tmp_path / "Human4" / "groundtruth_rect.1.txt").write_text("\n")
    videos = open_videos(tmp_path)
    names = ["Human4", "Jogging.1", "Jogging.2", "Jogging.10"]
    assert [video.name for video in videos] == names
    assert [video.boxes[0, 0] for video in videos] == [0, 0, 1, 9]


@pytest.mark.parametrize("inside", ["color", "."])
def test_vot(tmp_path, inside):
    frames(tmp_path / "bag" / inside, 3, pattern="{:08d}.jpg")
    rows = "2,1,6,1,6,4,2,5\n3,2,4,1\nnan,nan,nan,nan,nan,nan,nan,nan\n"
    (tmp_path / "bag" / "groundtruth.txt").write_text(rows)
    (video,) = open_videos(tmp_path)
    np.testing.assert_array_equal(video.boxes[:2], [[2, 1, 4, 4], [3, 2, 4, 1]])
    assert np.isnan(video.boxes[2]).all() and video.frames[2]().shape == (9, 12, 3)


def test_got10k_and_its_parts(tmp_path):
    for part, rows in (("train", 3), ("val", 3), ("test", 1)):
        folder = tmp_path / part / f"GOT-10k_{part}_000001"
        frames(folder, 3, pattern="{:08d}.jpg")
        lines = "".join(f"{k}.0000,1.0000,4.0000,4.0000\n" for k in range(rows))
        (folder / "groundtruth.txt").write_text(lines)
        (folder / "absence.label").write_text("0\n1\n0\n"[: 2 * rows])
        (tmp_path / part / "list.txt").write_text(folder.name)
    (video,) = open_videos(tmp_path, "train")
    assert video.name == "GOT-10k_train_000001"
    np.testing.assert_array_equal(video.boxes[::2, 0], [0, 2])
    assert np.isnan(video.boxes[1]).all()
    (video,) = open_videos(tmp_path, "test")
    np.testing.assert_array_equal(np.isnan(video.boxes[:, 0]), [False, True, True])
    assert open_videos(tmp_path, "val")[0].name == "GOT-10k_val_000001"
    every = [video.name for video in open_videos(tmp_path)]
    assert every == [f"{x}/GOT-10k_{x}_000001" for x in ("test", "train", "val")]
    (folder / "absence.label").write_text("0\n1\n")
    with pytest.raises(hh.DataError, match="has 2 lines, groundtruth.txt 1"):
        open_videos(tmp_path, "test")


def test_a_folder_without_parts_is_measured_on(tmp_path):
    otb(tmp_path / "A", BOXES)
    assert [video.name for video in open_videos(tmp_path, "val")] == ["A"]
    with pytest.raises(hh.DataError, match="has no train/"):
        open_videos(tmp_path, "train")
    otb(tmp_path / "train" / "B", BOXES)
    with pytest.raises(hh.DataError, match="has no val/, validation/, test/"):
        open_videos(tmp_path, "val")


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    frames(tmp_path / "A" / "img", 12, pattern="frame{}.jpg")
    (tmp_path / "A" / "img" / "notes.txt").write_text("no frame")
    (tmp_path / "A" / "groundtruth_rect.txt").write_text("1 1 2 2\n" * 12)
    (video,) = open_videos(tmp_path)
    shown = [int(frame()[0, 0, 0]) for frame in video.frames]
    assert shown == list(range(0, 120, 10))


def test_damaged_frames_and_mixed_sizes(tmp_path):
    otb(tmp_path / "A", BOXES * 2)
    images = tmp_path / "A" / "img"
    whole = (images / "0002.jpg").read_bytes()
    (images / "0001.jpg").write_bytes(encode((30, 20)))
    (images / "0002.jpg").write_bytes(whole[: len(whole) // 2])
    (images / "0003.jpg").write_bytes(b"")
    (images / "0004.jpg").write_bytes(b"no image")
    (images / "0005.jpg").write_bytes(encode((12, 9), kind="PNG", mode="L"))
    (video,) = open_videos(tmp_path)
    assert video.frames[0]().shape == (20, 30, 3)
    for frame in video.frames[1:4]:
        with pytest.raises(ValueError):
            frame()
    assert video.frames[4]().shape == (9, 12, 3)


def test_missing_frames_keep_the_others_in_their_places(tmp_path):
    otb(tmp_path / "A", [(k, 1, 4, 4) for k in range(1, 7)])
    for number in (3, 4):
        (tmp_path / "A" / "img" / f"{number:04d}.jpg").unlink()
    (video,) = open_videos(tmp_path)
    np.testing.assert_array_equal(video.boxes[:, 0], range(6))
    with pytest.raises(OSError):
        video.frames[2]()
    assert int(video.frames[4]()[0, 0, 0]) == 40


def test_more_rows_than_frames(tmp_path):
    otb(tmp_path / "A", BOXES, count=2)
    with pytest.raises(hh.DataError, match="boxes for 3 frames, but there are 2 in"):
        open_videos(tmp_path)


def test_the_boxes_of_david_begin_late(tmp_path):
    otb(tmp_path / "David", BOXES[:2], count=302)
    (video,) = open_videos(tmp_path)
    assert np.flatnonzero(np.isfinite(video.boxes[:, 0])).tolist() == [299, 300]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,1,4,5\n1,1,4\n", r"groundtruth_rect.txt, line 2: 3 numbers"),
        ("1,1,4,5\n1,one,4,5\n", r"line 2: '1,one,4,5'. Numbers are expected"),
        ("\n\n", r"groundtruth_rect.txt is empty"),
        ("", r"groundtruth_rect.txt is empty"),
    ],
)
def test_rows_that_cannot_be_read(tmp_path, rows, message):
    otb(tmp_path / "A", rows, count=2)
    with pytest.raises(hh.DataError, match=message):
        open_videos(tmp_path)


def test_what_else_is_refused(tmp_path):
    with pytest.raises(hh.DataError, match="does not exist"):
        open_videos(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(hh.DataError, match="is a file, not a folder"):
        open_videos(tmp_path / "file")
    with pytest.raises(hh.DataError, match=r"no tracking sequences. Looked for: img/"):
        open_videos(tmp_path)
    frames(tmp_path / "A" / "img", 2)
    with pytest.raises(hh.DataError, match="A': it has no boxes. Looked for: img/"):
        open_videos(tmp_path)
    (tmp_path / "A" / "groundtruth.txt").write_text("m3,4,10,12,5\n")
    with pytest.raises(hh.DataError, match="line 1: .* Masks .* are not read"):
        open_videos(tmp_path)
    (tmp_path / "B").mkdir()
    (tmp_path / "B" / "groundtruth.txt").write_text("1,1,2,2\n")
    with pytest.raises(hh.DataError, match="B' has boxes, but no frames"):
        open_videos(tmp_path / "B")


def test_the_embedded_sequences_are_no_child_s_play():
    train, val = open_videos("embedded", "train"), open_videos("embedded", "val")
    assert (len(train), len(val), len(open_videos("embedded"))) == (8, 4, 12)
    for video in (*train, *val):
        still = np.repeat(video.boxes[:1], len(video), 0)
        assert measure(still, video.boxes).auc < 0.35
        height, width = video.frames[-1]().shape[:2]
        low, high = video.boxes[:, :2], video.boxes[:, :2] + video.boxes[:, 2:]
        assert (low >= 0).all() and (high <= np.array([width, height]) + 0.1).all()
        assert video.boxes[:, 2:].min() > 12
