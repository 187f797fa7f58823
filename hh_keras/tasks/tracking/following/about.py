"""What an app must know to follow a target with a tracker's two files."""

import dataclasses
import re
from pathlib import Path

import keras

from hh_keras import export as exporting
from hh_keras.export import About
from hh_keras.tasks.tracking.following.running import of_model
from hh_keras.tasks.tracking.following.settings import Settings, read_settings
from hh_keras.tasks.tracking.networks.halves import IMAGE
from hh_keras.tasks.tracking.networks.trackers import CONTEXT

PARTS = ("_exemplar", "_search")
"""What the names of a tracker's files end in; the first makes the kernel."""

_VERSION = re.compile(r"\d+")  # a SavedModel lies in a folder with this name
_SECTION = "tracker"
_CUT = "bilinear, antialiased, a square around the target, mean colour outside"


def about(model: keras.Model, settings: Settings | None = None) -> dict[str, About]:
    """What the `.json` beside each of a tracker's `.tflite` files says, by `PARTS`.

    Their section "tracker" has `part`; `context`, see `networks.trackers.CONTEXT`;
    `cells` on a side of the score map; `sides`, whether it tells them;
    and `settings`, a `Settings`.
    """
    tracker = of_model(model, settings)
    told = {
        "context": CONTEXT,
        "cells": model.output_shape[1],
        "sides": tracker.sides,
        "settings": dataclasses.asdict(tracker.settings),
    }
    return {
        part: About({IMAGE: _CUT}, {_SECTION: {"part": part[1:], **told}})
        for part in PARTS
    }


def files_of(path: Path) -> list[Path]:
    """Both files of a tracker, in the order of `PARTS`, by one of them.

    Args:
        path: of a `.tflite` file, or of a SavedModel, as a folder with a version.

    Returns:
        Two paths, of which the one may be missing; [] if it is called like neither.
    """
    if _VERSION.fullmatch(path.name):
        return [each / path.name for each in files_of(path.parent)]
    name = path.name
    # The last: a network may itself be called my_search.
    place, part = max((name.rfind(part), part) for part in PARTS)
    if place < 0:
        return []
    rest = name[place + len(part) :]
    return [path.with_name(name[:place] + each + rest) for each in PARTS]


def settings_beside(path: str | Path) -> Settings | None:
    """The settings that the `.json` beside a `.tflite` file tells.

    Returns:
        A `Settings`; None if there is no such file, it is of another `.tflite` file, or
        tells none.

    Raises:
        ModelError: it is damaged, or tells others than there are.
    """
    section = (exporting.told(path) or {}).get(_SECTION)
    if section is None:
        return None
    return read_settings(section, str(Path(path).with_suffix(".json")))
