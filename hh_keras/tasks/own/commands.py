"""What the commands do for a task of a user's module."""

import dataclasses
import functools
import re
from typing import Any

from absl.flags import FlagValues

from hh_keras.errors import HHError
from hh_keras.models.sources import call, import_module
from hh_keras.suggestions import did_you_mean
from hh_keras.tasks.application import Application
from hh_keras.tasks.own.data import load
from hh_keras.tasks.own.pictures import pictures
from hh_keras.tasks.plain import plain
from hh_keras.training import Task


def prepare(args: FlagValues) -> None:
    """Raises HHError unless --task can be had."""
    named(args.task)


def application(args: FlagValues) -> Application:
    """What the commands do for --task=module:TASK."""
    task = named(args.task)
    return dataclasses.replace(
        plain(task, functools.partial(load, task)),
        pictures=functools.partial(pictures, task),
    )


@functools.cache
def named(spec: str) -> Task:
    """The task of `module:NAME`: a `Task`, or a function without arguments for one.

    Raises:
        HHError: there is no such module, no such name in it, or it is no task.
    """
    module_name, _, name = spec.partition(":")
    module = import_module(module_name, f"--task={spec}")
    found: Any = getattr(module, name, None)
    if found is None:
        known = [n for n in vars(module) if n[0] != "_"]
        raise HHError(
            f"--task={spec}: {module_name} has no {name!r}.{did_you_mean(name, known)}"
        )
    if not isinstance(found, Task) and callable(found):
        found = call(found, {}, f"--task={spec}")
    if not isinstance(found, Task):
        raise HHError(
            f"--task={spec} is {type(found).__name__}; it must be a "
            "hh_keras.training.Task, or a function that returns one."
        )
    if found.name == "own":  # the report and the files call it by its module
        name = re.sub(r"\W", "_", module_name)
        found = dataclasses.replace(found, name=name)
    return found
