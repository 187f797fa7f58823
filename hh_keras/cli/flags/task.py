"""Flags: what the network is for; each task's own flags are in its folder."""

from hh_keras.flag import Flag
from hh_keras.tasks import registry

TASK = (
    Flag("task", registry.Name(), "classify", registry.help_text()),
    *registry.flags(),
)
