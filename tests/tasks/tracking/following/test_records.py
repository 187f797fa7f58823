"""What a tracked video leaves, and what it leaves alone."""

import numpy as np
import pytest
from PIL import Image

from hh_keras.errors import WorkdirError
from hh_keras.tasks.tracking.data.footage import frames_of
from hh_keras.tasks.tracking.following.records import Record
from hh_keras.tasks.tracking.following.steps import Step

FRAME = np.zeros((12, 16, 3), np.uint8)
BOX = np.array([2.0, 3, 4, 5])


@pytest.fixture
def footage(tmp_path):
    (tmp_path / "clip/frames").mkdir(parents=True)
    Image.fromarray(FRAME).save(tmp_path / "clip/frames/000001.jpg")
    return frames_of(tmp_path / "clip/frames")


def write(folder, footage, steps, **options):
    with Record(
        str(folder), footage, True, **{"overwrite": False, **options}
    ) as record:
        for number, frame in enumerate(steps):
            box = BOX if frame is not None else np.full(4, np.nan)
            record.add(Step(number, frame, box, 1.0, 0.1))
    return record


def lines(folder):
    return (folder / "boxes.csv").read_text().splitlines()


def test_what_comes_before_the_first_frame_is_told(footage, tmp_path):
    record = write(tmp_path / "out", footage, [None, FRAME, FRAME])
    assert (record.frames, record.damaged) == (3, 1)
    assert [line.split(",")[0] for line in lines(tmp_path / "out")[1:]] == [*"012"]
    assert lines(tmp_path / "out")[1].startswith("0,nan")


def test_nothing_found_replaces_nothing(footage, tmp_path):
    write(tmp_path / "out", footage, 3 * [FRAME])
    before = lines(tmp_path / "out")
    write(tmp_path / "out", footage, [None], overwrite=True)
    assert lines(tmp_path / "out") == before
    # Nor does it stand in the way of the next.
    write(tmp_path / "new", footage, [])
    write(tmp_path / "new", footage, [FRAME])
    assert len(lines(tmp_path / "new")) == 2


def test_earlier_results_are_replaced_as_a_whole(footage, tmp_path):
    write(tmp_path / "out", footage, 3 * [FRAME])
    (tmp_path / "out/frames/notes.txt").write_text("mine")
    with pytest.raises(WorkdirError, match="--overwrite"):
        write(tmp_path / "out", footage, [FRAME])
    write(tmp_path / "out", footage, [FRAME], overwrite=True)
    left = sorted(path.name for path in (tmp_path / "out/frames").iterdir())
    assert left == ["000001.jpg", "notes.txt"]


def test_frames_are_never_drawn_over(footage, tmp_path):
    before = (tmp_path / "clip/frames/000001.jpg").read_bytes()
    for overwrite in (False, True):
        with pytest.raises(WorkdirError, match="--output"):
            write(tmp_path / "clip", footage, [FRAME], overwrite=overwrite)
    assert (tmp_path / "clip/frames/000001.jpg").read_bytes() == before
