"""The flags of all commands, as data: a file per group."""

from hh_keras.cli.flags.data import ALL_IMAGES, BATCH_SIZE, DATA, ONE_VIEW, VIEW
from hh_keras.cli.flags.devices import DEVICES
from hh_keras.cli.flags.export import ALL_FORMATS, CHECK_IMAGES, EXPORT, RUN, TILE
from hh_keras.cli.flags.network import FILE, MODEL_ARGS, model_flag
from hh_keras.cli.flags.run import (
    CONFIG,
    CONFIGS,
    DEBUG,
    IMPORT,
    NAME,
    OUTPUT,
    SEED,
    STAGE,
    workdir_flags,
)
from hh_keras.cli.flags.search import LATENCY, SEARCH, merge_min_keep
from hh_keras.cli.flags.task import TASK
from hh_keras.cli.flags.timing import TIMED_FILES, TIMING
from hh_keras.cli.flags.training import DISTILLATION, RECOVERY, RESUME, TRAINING
from hh_keras.flag import named

__all__ = [
    "ALL_IMAGES",
    "BATCH_SIZE",
    "CHECK_IMAGES",
    "CONFIG",
    "CONFIGS",
    "DATA",
    "DEBUG",
    "DEVICES",
    "DISTILLATION",
    "EXPORT",
    "FILE",
    "ALL_FORMATS",
    "IMPORT",
    "LATENCY",
    "MODEL_ARGS",
    "NAME",
    "ONE_VIEW",
    "OUTPUT",
    "RECOVERY",
    "RESUME",
    "RUN",
    "SEARCH",
    "SEED",
    "STAGE",
    "TASK",
    "TILE",
    "TIMED_FILES",
    "TIMING",
    "TRAINING",
    "VIEW",
    "merge_min_keep",
    "model_flag",
    "named",
    "workdir_flags",
]
