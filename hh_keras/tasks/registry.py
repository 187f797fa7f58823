"""Which tasks there are, and what --task means for the other flags.

Nothing here imports TensorFlow before a task is opened.
"""

import dataclasses
import importlib
import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from absl.flags import FlagValues

from hh_keras.errors import HHError
from hh_keras.flag import Choice, Flag, set_defaults

if TYPE_CHECKING:
    from hh_keras.tasks.application import Application

FOLDERS = (
    "classification",
    "restoration",
    "segmentation",
    "detection",
    "tracking",
    "own",
)
"""The folders of `hh_keras.tasks`; a task is added here."""


@dataclasses.dataclass(frozen=True)
class TaskFlags:
    """What a folder's tasks are called, and the flags that go with them.

    Attributes:
        names: values of --task; none are for tasks of a user's modules.
        about: what such networks do, for --help.
        augmentations: values of --augment that make sense.
        flags: flags of the folder's own.
        own: names of flags, of these and of others, that mean nothing for the tasks of
            a folder that does not list them; messages say for which they are.
        smoke: flags of a smoke test, beside those of all tasks.
    """

    names: tuple[str, ...]
    about: str
    augmentations: tuple[str, ...] = ("none",)
    flags: tuple[Flag, ...] = ()
    own: tuple[str, ...] = ()
    smoke: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _all() -> Iterator[TaskFlags]:
    for folder in FOLDERS:
        yield importlib.import_module(f"hh_keras.tasks.{folder}.flags").FLAGS


def names() -> tuple[str, ...]:
    """The tasks of this package; others are "module:TASK"."""
    return tuple(name for each in _all() for name in each.names)


def is_own(task: str) -> bool:
    """Whether --task names a task of a user's module, "module:NAME"."""
    return bool(re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", task))


class Name(Choice):
    """Reads --task: one of the package's, or "module:TASK"."""

    others = ", or your own, MODULE:TASK"

    def __init__(self) -> None:
        super().__init__(names())
        self.syntactic_help += "|MODULE:TASK"

    def parse(self, argument: Any) -> Any:
        return argument if is_own(argument) else super().parse(argument)


def flags() -> tuple[Flag, ...]:
    """The flags of all folders' own."""
    return tuple(flag for each in _all() for flag in each.flags)


def augmentations() -> tuple[str, ...]:
    """All values of --augment, "none" first."""
    found = {name for each in _all() for name in each.augmentations}
    return ("none", *sorted(found - {"none"}))


def help_text() -> str:
    """The help of --task."""
    return "What the network is for: " + "; ".join(each.about for each in _all()) + "."


def application(args: FlagValues) -> "Application":
    """What the commands do for --task, once `prepare` has seen the flags.

    A command without the flag is for classifiers.
    """
    return _commands(args.task if "task" in args else "classify").application(args)


def prepare(args: FlagValues) -> None:
    """Sets the flags that were not given to the task's defaults.

    Raises:
        HHError: a flag was given that means nothing for the task.
    """
    if "task" not in args:
        return
    ours = _flags_of(args.task)
    for name in (name for other in _all() for name in other.own):
        if name not in ours.own:
            refuse(args, [name], f"it is for --task={_whose(name)}")
    _check_augmentation(args, ours.augmentations)
    _commands(args.task).prepare(args)
    defaults = dict(application(args).task.defaults)
    if "model" in args and args["model"].default is None:  # it has to be given
        defaults.pop("model", None)
    set_defaults(args, defaults)


def smoke(args: FlagValues) -> Mapping[str, Any]:
    """Flags of the task's smoke test."""
    return _flags_of(args.task).smoke if "task" in args else {}


def _whose(flag: str) -> str:
    """The tasks that a flag means something for."""
    tasks = [
        name for x in _all() if flag in x.own for name in x.names or ("MODULE:TASK",)
    ]
    return " and ".join(filter(None, (", ".join(tasks[:-1]), tasks[-1])))


def refuse(args: FlagValues, unfit: list[str], why: str) -> None:
    """Raises HHError if one of these flags was given."""
    for name in unfit:
        if name in args and args[name].present and args[name].value is not None:
            raise HHError(
                f"--{name} means nothing for --task={args.task}: {why}. Leave it out."
            )


def _check_augmentation(args, known):
    if "augment" in args and args["augment"].present and args.augment not in known:
        raise HHError(
            f"--augment={args.augment} is not for --task={args.task}; choose one of "
            f"{', '.join(known)}."
        )


def _folder(task: str) -> tuple[str, TaskFlags]:
    every = zip(FOLDERS, _all())
    return next(
        (folder, each)
        for folder, each in every
        if task in each.names or (is_own(task) and not each.names)
    )


def _flags_of(task: str) -> TaskFlags:
    return _folder(task)[1]


def _commands(task: str) -> ModuleType:
    return importlib.import_module(f"hh_keras.tasks.{_folder(task)[0]}.commands")
