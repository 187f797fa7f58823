"""Settings, and those of a file that somebody edited."""

import dataclasses

import pytest

from hh_keras.errors import ModelError
from hh_keras.tasks.tracking.following.settings import Settings, read_settings


def told(**changed):
    settings = {**dataclasses.asdict(Settings()), "scales": [0.95, 1, 1.05]}
    return {"context": 3.0, "settings": {**settings, **changed}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", "fast"),
        ("rate", True),
        ("sides_rate", 1.5),
        ("renew_every", 0),
        ("scale_every", 1.5),
        ("lost", float("nan")),
        ("window", None),
        ("grow", 0.5),
        ("scales", []),
        ("scales", 1.0),
        ("scales", [0, 1]),
        ("scales", [0.9, 1.1]),
    ],
)
def test_a_wrong_value_is_named(name, value):
    with pytest.raises(ModelError, match=rf"net\.json: setting {name}="):
        read_settings(told(**{name: value}), "net.json")


def test_all_settings_are_told_and_no_others():
    assert read_settings(told(rate=0.5), "net.json").rate == 0.5
    with pytest.raises(ModelError, match="unknown setting, luck"):
        read_settings(told(luck=1), "net.json")
    old = told()
    del old["settings"]["scale_every"]
    with pytest.raises(ModelError, match=r"lacks the setting scale_every; export it"):
        read_settings(old, "net.json")
    with pytest.raises(ModelError, match='"context" is 2.0'):
        read_settings({**told(), "context": 2.0}, "net.json")
    for section in (None, [], {}, {"settings": [1]}):
        with pytest.raises(ModelError, match='has no "settings"'):
            read_settings(section, "net.json")
    with pytest.raises(ModelError, match="setting scales=1.0"):
        Settings(scales=1.0)
