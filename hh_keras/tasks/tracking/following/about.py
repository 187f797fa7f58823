"""What an app must know to follow a target with a tracker's two files."""

import dataclasses
from pathlib import Path

import keras

from hh_keras import export as exporting
from hh_keras.errors import ModelError
from hh_keras.export import About
from hh_keras.tasks.tracking.following.running import of_model
from hh_keras.tasks.tracking.following.tracker import Settings
from hh_keras.tasks.tracking.networks.halves import IMAGE
from hh_keras.tasks.tracking.networks.trackers import CONTEXT

PARTS = ("_exemplar", "_search")
"""What the names of a tracker's files end in; the first makes the kernel."""

_SECTION = "tracker"
_CUT = "bilinear, antialiased, a square around the target, mean colour outside"


def about(model: keras.Model, settings: Settings | None = None) -> dict[str, About]:
    """What the `.json` beside each of a tracker's `.tflite` files says, by `PARTS`.

    Their section "tracker" has `part`; `context`, see `networks.CONTEXT`; `cells` on a
    side of the score map; `sides`, whether it tells them; and `settings`, a `Settings`.
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


def settings_beside(path: str | Path) -> Settings | None:
    """The settings that the `.json` beside a `.tflite` file tells.

    Returns:
        A `Settings`; None if there is no such file, it is of another `.tflite` file, or
        tells none.

    Raises:
        ModelError: it tells others than there are.
    """
    section = (exporting.told(path) or {}).get(_SECTION)
    if section is None:
        return None
    try:
        found = {**section["settings"]}
        found["scales"] = tuple(map(float, found["scales"]))
        return Settings(**found)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{Path(path).with_suffix('.json')} has other settings of a tracker than "
            "this version of hh_keras knows: export it again, or update hh_keras."
        ) from error
