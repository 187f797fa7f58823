"""The network of --model: built, saved, described."""

import pathlib
import textwrap

import keras
from absl.flags import FlagValues

import hh_keras
from hh_keras import files, models
from hh_keras.cli.training import distribution
from hh_keras.data import ImageData, Unlabelled
from hh_keras.errors import ModelError
from hh_keras.flag import given
from hh_keras.graph.calls import as_graph, is_graph
from hh_keras.graph.opening.inline import opening
from hh_keras.models import sources
from hh_keras.models.saving import check_can_be_saved
from hh_keras.tasks import registry
from hh_keras.tasks.shapes import filled, several, wanted_shape

_USUAL = 224, 224
_IMAGENET_CLASSES = 1000


def load(args: FlagValues, check: bool = True) -> tuple[keras.Model, ImageData]:
    """Builds the model and loads the data, each fitted to the other.

    Args:
        args: flags of the model, data and training groups that the command has.
        check: whether the model must be one of the task.

    Returns:
        `(model, data)`; the images have the size and channels that the model takes.

    Raises:
        ModelError, DataError: either cannot be had, or they do not fit.
    """
    return registry.application(args).load(args, _saveable, check)


def alone(args: FlagValues) -> tuple[keras.Model, Unlabelled]:
    """Builds the model, for which there are images to calibrate with and no others.

    Raises:
        ModelError: it cannot be had, or takes images of any size.
    """
    sized = not models.names_file(args.model)
    pretrained = given(args, "pretrained") == "imagenet"
    if sized and ":" not in args.model and not pretrained:
        raise ModelError(
            f"--model={args.model} has learnt nothing that calibration could keep: add "
            "--pretrained=imagenet, or give the file of a trained model. Weights in a "
            "file of their own need --dataset, which tells the classes."
        )
    own = (*(_USUAL if sized else (None, None)), 3)
    model = _saveable(args, own, _IMAGENET_CLASSES if pretrained else None)
    shape = filled(model.inputs[0].shape[1:], wanted_shape(args, own))
    return model, Unlabelled(args.calibrate, _known(args, shape))


def bare(args: FlagValues) -> tuple[keras.Model, ImageData | Unlabelled]:
    """Builds a model that tells itself what it takes, for a search without data.

    Any number of inputs and outputs.

    Raises:
        ModelError: it cannot be had, or takes inputs of any size.
    """
    model = _saveable(args, None, None)
    if not _tells(model):  # data tell it what it takes
        return load(args)
    shapes = tuple(tuple(x.shape[1:]) for x in _inputs(args, model))
    if len(shapes) == 1 and len(shapes[0]) == 3 and args.image_size:
        shapes = (filled(shapes[0], (*args.image_size, None)),)
    for shape in shapes:
        _known(args, shape)
        _check_size(args, shape)
    return model, Unlabelled("no data", shapes[0] if len(shapes) == 1 else shapes)


def _known(args, shape):
    if None in shape:
        raise ModelError(
            f"--model={args.model} takes images of any size: say with --image_size at "
            "which it is used."
        )
    return shape


def _saveable(args, image_shape, num_classes):
    """The model, if the files that a command leaves can be read back."""
    model = build(args, image_shape, num_classes)
    if image_shape is None and not _tells(model):
        return model
    if ":" in args.model and not models.names_file(args.model):
        try:
            check_can_be_saved(model)
        except ModelError as error:
            return _saveable_once_opened(model, args, error)
    return model


def _saveable_once_opened(model, args, error):
    """The same network without the classes of its layers, if that can be saved."""
    found = opening(model)
    try:
        check_can_be_saved(found.model)
    except ModelError as still:
        raise ModelError(f"--model={args.model}: {still}") from error
    print(textwrap.indent(f"so that it can be saved, {found}", "  "), flush=True)
    return found.model


def build(
    args: FlagValues, image_shape: tuple | None, num_classes: int | None
) -> keras.Model:
    """Builds --model for images of the data's own shape, under the strategy.

    A file or a function may insist on another shape, which then wins; without data,
    `image_shape` None, it tells itself.
    """
    shape = image_shape and wanted_shape(args, image_shape)
    pretrained, model_args = given(args, "pretrained"), given(args, "model_args")
    scale = given(args, "scale")
    keras.utils.set_random_seed(given(args, "seed", 0))
    with distribution(args).scope():
        if models.names_file(args.model) or ":" in args.model:
            if models.names_file(args.model):
                model = models.build(args.model, model_args=model_args)
            else:
                model = sources.from_function(
                    args.model, shape, num_classes, model_args, scale
                )
            if shape is None and not _tells(model):
                return model
            model = _opened(model, shape)
            if shape is not None:
                shape = _insisted(args, model, shape)
            if not pretrained:
                return model
        model = models.build(
            args.model, shape, num_classes, pretrained, model_args, scale
        )
        return _opened(model, shape, tell=False)


def _tells(model):
    """Whether a model knows what it is called on."""
    return is_graph(model) or bool(getattr(model, "_build_shapes_dict", None))


def _opened(model, shape, tell=True):
    """The model with its classes opened; says so."""
    inputs = None
    if not _tells(model):
        tensors = [keras.KerasTensor((None, *each)) for each in _each(shape)]
        inputs = tensors if several(shape) else tensors[0]
    found = opening(model, inputs, leaves=False)
    if tell and (found.opened or found.closed):
        print(textwrap.indent(str(found), "  "), flush=True)
    return found.model


def _each(shape):
    return shape if several(shape) else (shape,)


def _insisted(args, model, wanted):
    """The shape that a user's own model takes, if it takes as many images as wanted."""
    inputs = _inputs(args, model)
    if len(inputs) != len(_each(wanted)):
        names = ", ".join(tensor.name for tensor in inputs)
        given = len(_each(wanted))
        raise ModelError(
            f"--model={args.model} has {len(inputs)} inputs; a model with {given} is "
            f"needed for these data. Data for {names} are those of a task of your own: "
            "--task=module:TASK (docs/own-task.md)."
        )
    found = []
    for tensor, each in zip(inputs, _each(wanted)):
        takes = tuple(tensor.shape[1:])
        if len(takes) != len(each):
            what = "images (height, width, channels)" if len(each) == 3 else each
            raise ModelError(
                f"--model={args.model} takes inputs of shape {takes}; it must take "
                f"{what}."
            )
        found.append(filled(takes, each))
    if several(wanted):
        return tuple(found)
    (shape,) = found
    _check_size(args, shape)
    return shape


def _inputs(args, model):
    try:
        return as_graph(model).inputs
    except ModelError as error:
        raise ModelError(f"--model={args.model}: {error}") from error


def _check_size(args, shape):
    if len(shape) == 3 and args.image_size and shape[:2] != tuple(args.image_size):
        raise ModelError(
            f"--image_size={args.image_size[0]}x{args.image_size[1]} does not fit: "
            f"--model={args.model} takes {shape[0]}x{shape[1]} images. "
            "Leave --image_size out."
        )


def save_model(model: keras.Model, path: pathlib.Path) -> None:
    """Writes a `.keras` file in one step."""
    files.replace(path, model.save)


def load_saved(path: pathlib.Path) -> keras.Model:
    """Reads a `.keras` file."""
    return sources.from_file(path)


def describe(model: keras.Model, image_shape: tuple) -> dict:
    """Cost and channel counts of a model, as the report wants them."""
    cost = hh_keras.cost(model, image_shape)
    channel_map = hh_keras.trace(model)
    producers = {name for group in channel_map.groups for name in group.producers}
    return {
        "macs": int(cost.macs),
        "params": int(cost.params),
        "layers": [
            {
                "name": layer.name,
                "type": layer.type,
                "macs": int(layer.macs or 0),  # None: not known
                "params": int(layer.params),
            }
            for layer in cost.layers
            if layer.macs or layer.params
        ],
        "channels": {
            name: len(ids)
            for name, ids in channel_map.outputs.items()
            if name in producers
        },
    }
