"""Networks that take images of any size, as the flags ask for them."""

from collections.abc import Callable

import keras
from absl.flags import FlagValues

from hh_keras import models
from hh_keras.errors import ModelError
from hh_keras.export import input_shape


def network(
    args: FlagValues,
    build: Callable[..., keras.Model],
    classes: int | None,
    images: str,
) -> keras.Model:
    """Builds --model.

    Args:
        args, build: see `hh_keras.tasks.application.Application`.
        classes: how many the network is to tell apart; None if it makes images.
        images: what they are called in the message.

    Raises:
        ModelError: it is for another task, or takes images of one size only.
    """
    ours = models.list_models(args.task)
    others = set(models.list_models(None)) - set(ours)
    if args.model in others or args.model.startswith("keras.app"):
        raise ModelError(
            f"--model={args.model} is for another task; for --task={args.task} choose "
            f"one of {', '.join(ours)}, module:function, or a .keras or .h5 file."
        )
    model = build(args, (None, None, args.channels), classes)
    takes = tuple(model.inputs[0].shape[1:])
    if takes[:2] != (None, None):
        raise ModelError(
            f"--model={args.model} takes images of {'x'.join(map(str, takes[:2]))} "
            f"only, but {images} have any size; build it for (None, None, {takes[2]})."
        )
    return model


def channels(args: FlagValues, model: keras.Model) -> int:
    """Of the images: what --channels says, else what the network takes."""
    return args.channels if args["channels"].present else model.inputs[0].shape[-1]


def channels_of_file(args: FlagValues) -> int:
    """The channels that the file --model takes.

    Raises:
        ModelError: it takes no grey or RGB images, or --channels says otherwise.
    """
    takes = input_shape(args.model)
    if len(takes) != 3 or takes[2] not in (1, 3):
        raise ModelError(
            f"--model={args.model} takes inputs of shape {takes}; for "
            f"--task={args.task} it must take grey or RGB images."
        )
    if args["channels"].present and args.channels != takes[2]:
        raise ModelError(
            f"--channels={args.channels}: --model={args.model} takes {takes[2]}."
        )
    return takes[2]
