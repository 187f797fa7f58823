"""Flags: what the network is for; each task's own flags are in its folder."""

from hh_keras.flag import Choice, Flag
from hh_keras.tasks import registry

TASK = (
    Flag("task", Choice(registry.names()), "classify", registry.help_text()),
    *registry.flags(),
)
