"""The page that the benchmark of coverage wrote says what is claimed of it."""

import pathlib
import re

import keras

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "coverage.md"
ROW = re.compile(r"\| ([\w.+()\- ]+?) \| .*?(\d+)% \| .*?(\d\.\de[-+]\d+) \|")


def rows():
    """Network → (percent of channels that can leave, error)."""
    found = map(ROW.match, PAGE.read_text().splitlines())
    return {m[1]: (int(m[2]), float(m[3])) for m in found if m}


def test_more_than_four_fifths_of_every_application_can_leave_exactly():
    names = [
        name
        for name, f in vars(keras.applications).items()
        if name[0].isupper() and callable(f)
    ]
    table = rows()
    assert len(names) >= 40
    for name in names:
        share, error = table[name]
        assert share > 80 and error < 1e-5, name


def test_every_backbone_shrinks_exactly():
    hub = {k: v for k, v in rows().items() if k.startswith("keras_hub.")}
    assert len(hub) >= 35
    assert all(share > 80 and error < 1e-5 for share, error in hub.values()), hub
