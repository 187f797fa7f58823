"""What a task's own preview shows, of both networks, for the report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hh_keras.models.sources import from_file
from hh_keras.report import Picture
from hh_keras.training import Task

_ROWS = 4
_NAMES = {"original": "original", "lw_dna": "LW-DNA"}


def pictures(task: Task, paths: Mapping[str, Path], data: Any) -> list[Picture]:
    """The rows of `task.preview` of each network, side by side.

    Args:
        task: its `preview` returns rows of uint8 images.
        paths: networks' `.keras` files by their names.
        data: has `validation`.
    """
    rows: list[dict[str, np.ndarray]] = [{} for _ in range(_ROWS)]
    for network, path in paths.items():
        shown = task.preview(from_file(path), data.validation, _ROWS)
        for row, images in zip(rows, shown):
            for name, image in images.items():
                if any(np.array_equal(image, other) for other in row.values()):
                    continue  # what does not depend on the network is shown once
                row[f"{name}, {_NAMES.get(network, network)}" if row else name] = image
    rows = [row for row in rows if row]
    if not rows:
        return []
    caption = "Validation examples, as the task's preview shows them."
    return [Picture("preview", "Preview", caption, _plot(rows))]


def _plot(rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    figure = Figure((2.9 * len(names), 3.1 * len(rows) + 0.3), layout="constrained")
    for row, places in zip(rows, figure.subplots(len(rows), len(names), squeeze=False)):
        for name, axes in zip(names, places):
            axes.set_axis_off()
            if name in row:
                image = row[name]
                grey = image.shape[-1] == 1
                axes.imshow(np.repeat(image, 3, -1) if grey else image)
                axes.set_title(name, loc="left", fontsize=10, color="#333333")
    return figure
