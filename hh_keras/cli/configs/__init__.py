"""Protocols, one per file: `--config=NAME` takes a file's CONFIG as flags' defaults.

A file's docstring tells where its settings come from, the command, and what it takes.
`--smoke` turns any of them into two training steps on small embedded images.
"""

import dataclasses
import importlib

from absl.flags import FlagValues

from hh_keras.cli import flags, recovery
from hh_keras.errors import HHError
from hh_keras.flag import Flag, given, set_defaults
from hh_keras.suggestions import did_you_mean
from hh_keras.tasks import registry
from hh_keras.training import Recipe


@dataclasses.dataclass(frozen=True)
class Config:
    """A run: what is searched in, and how both networks are trained.

    Attributes:
        recipe: the training protocol.
        task: what networks are for.
        model, dataset, image_size, macs, params, width_mult, min_keep, criterion,
        search_batches: as the flags of the same names are written.
    """

    recipe: Recipe
    model: str
    dataset: str
    task: str = "classify"
    image_size: str | None = None
    macs: str = "0.95x"
    params: str = "1.0x"
    width_mult: float = 2.0
    min_keep: tuple = ("0.1",)
    criterion: str | None = None
    search_batches: int = 8


def _check_defaults(args):
    """A default that no command has a flag for is a mistyped one."""
    if "task" not in args:
        return
    groups = [x if isinstance(x, tuple) else (x,) for x in vars(flags).values()]
    known = [flag.name for x in groups for flag in x if isinstance(flag, Flag)]
    known += [flag.name for flag in flags.workdir_flags(None)] + ["model"]
    for name in registry.application(args).task.defaults:
        if name not in known:
            near = did_you_mean(name, known)
            raise HHError(
                f"--task={args.task}: its defaults are of {name!r}, which is no flag."
                + near
            )


SMOKE = {
    "dataset": "embedded",
    "limit": 8,
    "batch_size": 4,
    "epochs": 1,
    "warmup_epochs": 0.0,
    "search_batches": 1,
    "check_images": 4,
}
"""Flags of a smoke test: two steps, of four images each."""

_SMALL = 64  # pixels of an image in a smoke test, at most


def complete(args: FlagValues) -> None:
    """Sets the flags that were not given to what --task, --config and --smoke say."""
    registry.prepare(args)
    _check_defaults(args)
    if args.config:
        config = importlib.import_module(f"{__name__}.{args.config}").CONFIG
        if given(args, "task", config.task) != config.task:
            raise HHError(
                f"--config={args.config} is a protocol for --task={config.task}; leave "
                f"it out with --task={args.task}."
            )
        values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
        set_defaults(args, {**dataclasses.asdict(values.pop("recipe")), **values})
    if args.smoke:
        set_defaults(args, {**SMOKE, **registry.smoke(args)})
        size = args.image_size
        small = tuple(min(n, _SMALL) for n in size) if size else None
        set_defaults(args, {"image_size": small})
    recovery.complete(args)
    taught = given(args, "distill") not in (None, "none")
    if taught and not (args.teacher or recovery.original_teaches(args)):
        raise HHError(f"--distill={args.distill} needs --teacher.")
