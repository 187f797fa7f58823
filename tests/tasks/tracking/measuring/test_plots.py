"""Pictures of tracking: what they show."""

import numpy as np
from matplotlib.patches import Rectangle

from hh_keras.report.style import png
from hh_keras.tasks.tracking.data.sequence import Video
from hh_keras.tasks.tracking.measuring.measures import measure
from hh_keras.tasks.tracking.measuring.plots import plot_boxes, plot_success


def video(name, count=8, size=(30, 40), damaged=()):
    boxes = np.array([[2.0 * k, 3, 8, 9] for k in range(count)])

    def frame(k):
        if k in damaged:
            raise ValueError("it is damaged")
        return np.full((*size, 3), 20 * k, np.uint8)

    return Video(name, [lambda k=k: frame(k) for k in range(count)], boxes)


def test_the_best_tracker_comes_first():
    truth = video("a").boxes
    trackers = {
        "a box that never moves": measure(np.repeat(truth[:1], 8, 0), truth),
        "original": measure(truth + (1, 0, 0, 0), truth),
        "lw_dna": measure(truth, truth),
        "lost": measure(truth * np.nan, truth),
    }
    figure = plot_success(trackers)
    legends = [axes.get_legend().get_texts() for axes in figure.axes]
    success, precision = ([text.get_text() for text in texts] for texts in legends)
    names = ["LW-DNA", "original", "a box that never moves", "lost"]
    assert [text.split("  ")[1] for text in success] == names
    # Nobody but the lost is further off than 20 pixels.
    assert [text.split("  ")[0] for text in precision] == ["1.000"] * 3 + ["0.000"]
    line = figure.axes[0].lines[0]
    np.testing.assert_array_equal(line.get_ydata(), trackers["lw_dna"].success)
    assert png(figure)


def test_every_frame_has_its_boxes():
    one, other = video("a", damaged=(7,)), video("b", size=(60, 30))
    one.boxes[:2] = np.nan
    found = {"lw_dna": one.boxes + 1, "csrt": np.full((8, 4), np.nan)}
    figure = plot_boxes([(one, found), (other, {"lw_dna": other.boxes})], columns=3)
    shown = figure.axes
    assert [len(axes.patches) for axes in shown] == [2] * 6
    assert [axes.texts[0].get_text() for axes in shown[:3]] == ["3", "5", "8"]
    mine, truth = shown[1].patches
    assert isinstance(mine, Rectangle)
    assert (*truth.get_xy(), truth.get_width()) == (8, 3, 8)
    assert (*mine.get_xy(), mine.get_width()) == (9, 4, 9)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["truth", "LW-DNA", "csrt"]
    assert png(figure)
