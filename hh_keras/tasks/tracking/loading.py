"""Networks and pairs of images as the flags ask for them, each fitted to the other."""

import dataclasses
from collections.abc import Callable

import keras
from absl.flags import FlagValues

from hh_keras import models
from hh_keras.data import ImageData
from hh_keras.errors import ModelError
from hh_keras.flag import given
from hh_keras.tasks.tracking.networks.trackers import CONTEXT, tracker
from hh_keras.tasks.tracking.pairs.loading import DRAWING, Geometry, load_pairs

_SIDE = 192


def load(
    fits: Callable, args: FlagValues, build: Callable, check: bool = True
) -> tuple[keras.Model, ImageData]:
    """Builds the tracker of --model and loads --dataset as pairs that fit it.

    A network of one image gets the rest of a tracker; one of two images is one.

    Args:
        fits: `check` of the task.
        args, build, check: see `hh_keras.tasks.application.Application`; trackers are
            always checked.
    """
    model = network(args, build)
    fits(model)
    data = load_data(args, model)
    fits(model, data)
    return model, data


def network(args: FlagValues, build: Callable) -> keras.Model:
    """The tracker of --model.

    Raises:
        ModelError: it cannot be had, its images are not square, or flags ask for
            another tracker than it is.
    """
    if models.names_file(args.model):
        model = models.build(args.model, model_args=given(args, "model_args"))
        if len(model.inputs) == 2:
            _is_asked_for(args, model)
            return model
    height, width = args.image_size or (_SIDE, _SIDE)
    if height != width:
        raise ModelError(
            f"--image_size={height}x{width}: a tracker sees squares; give one number."
        )
    backbone = build(args, (height, width, 3), _CLASSES)
    return tracker(backbone, args.tracker, args.strides, args.sides)


def _is_asked_for(args, model):
    """Raises ModelError if flags tell what a finished tracker is to be."""
    side = model.inputs[0].shape[1]
    for name in ("tracker", "strides", "sides", "image_size"):
        if args[name].present and args[name].value not in (None, (side, side)):
            raise ModelError(
                f"--{name} has no effect: --model={args.model} is a whole tracker, on "
                f"images of {side} pixels. Leave it out, or give the network that its "
                "features are of."
            )


_CLASSES = 10  # of a head that is cut off


def load_data(args: FlagValues, model: keras.Model) -> ImageData:
    """Pairs of the sizes that a tracker takes."""
    exemplar, search = (tensor.shape[1] for tensor in model.inputs)
    drawing = dataclasses.replace(
        DRAWING,
        gap=given(args, "gap", DRAWING.gap),
        negatives=given(args, "negatives", DRAWING.negatives),
    )
    return load_pairs(
        args.dataset,
        Geometry(exemplar, search, CONTEXT, CONTEXT),
        drawing,
        args.batch_size,
        given(args, "seed", 0),
        given(args, "augment", "none"),
        args.limit,
        pairs_per_epoch=given(args, "pairs"),
        memory_bytes=args.memory_mb * 2**20,
        on_bad_image=args.on_bad_image,
    )
