"""Frames of video files and of folders, damaged ones among them."""

import sys

import numpy as np
import pytest

import hh_keras as hh
from hh_keras.tasks.tracking.data.footage import frames_of
from tests.data.conftest import encode


def test_a_folder_of_images(tmp_path):
    for number, value in ((2, 20), (10, 100), (1, 10)):
        (tmp_path / f"{number}.png").write_bytes(encode(value=value, kind="PNG"))
    (tmp_path / "3.png").write_bytes(b"damaged")
    (tmp_path / "4.png").write_bytes(b"")
    (tmp_path / "5.png").write_bytes(encode((20, 30), value=50, kind="PNG"))
    footage = frames_of(tmp_path)
    assert (footage.count, footage.fps) == (6, None)
    for _ in range(2):
        shown = [x if x is None else int(x[0, 0, 0]) for x in footage]
        assert shown == [10, 20, None, None, 50, 100]


def test_the_frames_inside_a_sequence(tmp_path):
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "0001.jpg").write_bytes(encode())
    assert [frame.shape for frame in frames_of(tmp_path)] == [(8, 10, 3)]


@pytest.fixture
def video(tmp_path):
    """30 frames at 25 a second, redder and redder."""
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "video.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48))
    noise = np.random.default_rng(0).integers(0, 60, (48, 64, 3), np.uint8)
    for k in range(30):
        noise[..., 2] = 6 * k
        writer.write(noise)
    writer.release()
    return path


def test_a_video_file(video):
    footage = frames_of(video)
    assert (footage.count, footage.fps) == (30, 25)
    for _ in range(2):
        shown = list(footage)
        assert len(shown) == 30 and shown[0].shape == (48, 64, 3)
        red = [float(frame[..., 0].mean()) for frame in shown]
        np.testing.assert_allclose(red, 6 * np.arange(30), atol=12)  # RGB, not BGR


def test_a_video_with_a_hole(video):
    content = bytearray(video.read_bytes())
    middle = len(content) // 2
    content[middle : middle + len(content) // 10] = bytes(len(content) // 10)
    video.write_bytes(content)
    shown = list(frames_of(video))
    assert len(shown) == 30 and shown[0] is not None and shown[-1] is not None
    assert 0 < sum(frame is None for frame in shown) < 10


def test_what_is_refused(tmp_path, monkeypatch):
    with pytest.raises(hh.DataError, match="does not exist"):
        frames_of(tmp_path / "nowhere.mp4")
    with pytest.raises(hh.DataError, match="holds no images"):
        frames_of(tmp_path)
    path = tmp_path / "video.mp4"
    for content in (b"", b"no video"):
        path.write_bytes(content)
        pytest.importorskip("cv2")
        with pytest.raises(hh.DataError, match="is not a video that OpenCV reads"):
            frames_of(path)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(hh.DataError, match=r"pip install 'hh_keras\[video\]'"):
        frames_of(path)
