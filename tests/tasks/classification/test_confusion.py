"""The picture of confusions can be read, however many classes there are."""

import io
import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from hh_keras.report import png
from hh_keras.tasks.classification.confusion import plot_confusion


def counts_of(classes, each=50, seed=0):
    """Most right, each class sometimes taken for the next but one."""
    counts = np.random.default_rng(seed).integers(0, 2, (classes, classes))
    counts += np.eye(classes, dtype=int) * each
    return counts


def words(figure):
    """All that is written inside the axes."""
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def bounds(figure):
    """Boxes of everything but the matrix itself, in shares of the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = figure.axes[0]
    parts = [axes.xaxis.label, axes.yaxis.label, *axes.texts]
    parts += [*axes.get_xticklabels(), *axes.get_yticklabels()]
    size = figure.get_size_inches() * figure.dpi
    pen = canvas.get_renderer()
    boxes = [part.get_window_extent(pen) for part in parts if part.get_text()]
    return np.array([[*(box.min / size), *(box.max / size)] for box in boxes])


@pytest.mark.parametrize("classes", [1, 2, 10, 20, 45, 200])
def test_nothing_is_cut_off(classes):
    names = [f"a class with $many$ letters, the {k}th" for k in range(classes)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plot_confusion(counts_of(classes), names)
        boxes = bounds(figure)  # drawn once only, as a file is
        content = png(figure)
    assert boxes.min() >= 0 and boxes.max() <= 1
    assert Image.open(io.BytesIO(content)).size[0] > 400


def test_few_classes_have_names_and_shares():
    counts = np.array([[6, 2, 0], [0, 5, 0], [0, 0, 0]])
    figure = plot_confusion(counts, ["cat", "dog", "owl"])
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["cat", "dog", "owl"]
    *cells, beside = words(figure)
    assert cells == ["75", "25", "100"]
    assert "25  cat → dog" in beside and "dog → cat" not in beside
    assert "no images (1)" in beside
    assert figure.get_suptitle() == "84.62 % of 13 images are classified right"
    shown = axes.images[0].get_array()
    np.testing.assert_allclose(shown[:2], [[0.75, 0.25, 0], [0, 1, 0]])
    assert np.ma.getmaskarray(np.ma.masked_invalid(shown))[2].all()


def test_shares_that_round_to_nothing_are_left_out():
    figure = plot_confusion(np.array([[996, 4], [0, 10]]), ["cat", "dog"])
    assert words(figure)[:-1] == ["100", "100"]


def test_many_classes_have_a_list_instead():
    counts = counts_of(200)
    counts[17, 4] = 60
    figure = plot_confusion(counts, [f"n{k}" for k in range(200)])
    (beside,) = words(figure)
    assert len(figure.axes[0].get_xticks()) == 0
    lines = beside.splitlines()
    assert lines[1].split() == [f"{6000 / counts[17].sum():.0f}", "n17", "→", "n4"]
    assert len(lines) == 31


def test_nothing_confused():
    figure = plot_confusion(np.eye(3, dtype=int), ["a", "b", "c"])
    assert words(figure)[-1].splitlines()[1:] == ["none"]


def test_long_names_that_start_alike_can_be_told_apart():
    names = [f"a most remarkably long name {k}" for k in range(2)]
    figure = plot_confusion(np.array([[1, 1], [0, 2]]), names)
    first, second = (t.get_text() for t in figure.axes[0].get_yticklabels())
    assert first != second and len(first) <= 18
