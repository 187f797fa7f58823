"""Searches that need no data do without it, unless the task makes the network."""

import pytest
from absl.flags import FlagValues

from hh_keras.cli import search
from hh_keras.cli.commands import shrink


def parsed(*argv):
    args = FlagValues()
    for flag in (flag for group in shrink.GROUPS.values() for flag in group):
        flag.define(args)
    args(["launch", *argv])
    return args


@pytest.mark.parametrize(
    ("task", "alone"),
    [("classify", True), ("segment", True), ("detect", False), ("track", False)],
)
def test_a_backbone_is_completed_first(task, alone):
    flags = [f"--task={task}", "--model=network.keras"]
    balanced = [*flags, "--criterion=balanced"]
    assert search.without_data(parsed(*balanced)) is alone
    assert not search.without_data(parsed(*balanced, "--dataset=photos"))
    assert not search.without_data(parsed(*flags, "--criterion=gradient"))
