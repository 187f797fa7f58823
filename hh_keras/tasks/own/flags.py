"""Flags: what --task=module:TASK means for the others."""

from hh_keras.tasks.classification.flags import FLAGS as LABELLED
from hh_keras.tasks.registry import TaskFlags

FLAGS = TaskFlags(
    names=(),
    about="module:TASK is your own, with any loss, data and outputs",
    augmentations=LABELLED.augmentations,
    own=LABELLED.own,
)
