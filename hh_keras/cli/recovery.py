"""Weights that were inherited: how the flags train them unless they say otherwise."""

from absl.flags import FlagValues

from hh_keras.flag import given, set_defaults
from hh_keras.training.recovery import RECOVERY

_GENTLE = ("optimizer", "learning_rate", "weight_decay", "frozen_statistics")


def inherits(args: FlagValues) -> bool:
    """Whether the command makes a network smaller that keeps its weights."""
    if "weights" not in args:
        return False
    return (args.weights or ("inherit" if args.pretrained else "fresh")) == "inherit"


def original_teaches(args: FlagValues) -> bool:
    """Whether the original, which is trained and stays as it is, is the teacher."""
    taught = given(args, "distill") not in (None, "none")
    return taught and inherits(args) and not args.teacher


def recovers(args: FlagValues) -> bool:
    """Whether weights are trained that must not get worse."""
    return given(args, "recover") is not None or original_teaches(args)


def complete(args: FlagValues) -> None:
    """Sets the flags that were not given to what suits inherited weights.

    The original is the teacher, unless its classifier is new (--pretrained=imagenet),
    or --config gives a protocol that has no teacher.
    """
    if "distill" not in args:
        return
    timed = given(args, "recover") is not None
    knows = inherits(args) and args.pretrained != "imagenet"
    if args.distill is None and (
        (knows and not args.config) or (timed and (knows or args.teacher))
    ):
        args.distill = "match"
    if recovers(args):
        share = RECOVERY.warmup_epochs / RECOVERY.epochs
        values = {name: getattr(RECOVERY, name) for name in _GENTLE}
        set_defaults(args, {**values, "warmup_epochs": share * args.epochs})
