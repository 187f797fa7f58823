"""Detectors and images with boxes, as the flags ask for them, fitted to each other."""

from collections.abc import Callable

import keras
from absl.flags import FlagValues

from hh_keras import models
from hh_keras.data import ImageData
from hh_keras.errors import ModelError
from hh_keras.flag import given
from hh_keras.models.detection import STRIDES, boxes_of_places
from hh_keras.tasks.detection.images import load_boxes
from hh_keras.tasks.detection.objects import Objects, open_objects
from hh_keras.tasks.detection.task import check_model
from hh_keras.tasks.tracking.networks.levels import levels

_USUAL = 256  # pixels of the longer side
_CLASSES = 10  # of a head that is cut off


def load(
    args: FlagValues, build: Callable, check: bool = True
) -> tuple[keras.Model, ImageData]:
    """Builds the detector of --model and loads --dataset as images that fit it.

    A network that is no detector becomes the backbone of one.

    Args:
        args, build, check: see `hh_keras.tasks.application.Application`; detectors are
            always checked.
    """
    objects = open_objects(args.dataset)
    model = network(args, build, objects)
    data = load_data(args, objects, tuple(model.inputs[0].shape[1:3]))
    check_model(model, data)
    return model, data


def network(args: FlagValues, build: Callable, objects: Objects) -> keras.Model:
    """The detector of --model.

    Raises:
        ModelError: it cannot be had, or has no features to detect on.
    """
    own = (*(args.image_size or usual_size(objects)), 3)
    ours = args.model in models.list_models("detect")
    theirs = ":" in args.model and not models.names_file(args.model)
    classes = len(objects.class_names) if ours or theirs else _CLASSES
    model = build(args, own, classes)
    if len(model.outputs) == 1 and len(model.outputs[0].shape) == 3:
        check_model(model)
        return model
    return with_boxes(model, len(objects.class_names))


def usual_size(objects: Objects) -> tuple[int, int]:
    """Height and width of images of 256 pixels, nearly as long as the data's are wide.

    Multiples of 32, by the first image whose size the data tell.
    """
    sizes = (image.size for image in objects.train if image.size)
    height, width = next(sizes, (1, 1))
    cells = [32 * round(_USUAL / 32 * n / max(height, width)) for n in (height, width)]
    return max(32, cells[0]), max(32, cells[1])


def with_boxes(
    backbone: keras.Model, num_classes: int, neck: int = 48, depth: int = 1
) -> keras.Model:
    """A detector on the features of another network, whose weights are taken over.

    Args:
        backbone: functional, of one image of a known size; its head is cut off.
        num_classes: of the boxes.
        neck, depth: see `hh_keras.models.detection.boxes_of_places`.

    Raises:
        ModelError: it has no features of stride 8 or finer.
    """
    known = levels(backbone)
    if not any(stride <= STRIDES[0] for stride in known):
        raise ModelError(
            f"model '{backbone.name}' has no features of stride 8 or finer on "
            f"{'x'.join(map(str, backbone.input_shape[1:3]))} pixels, only of "
            f"{', '.join(map(str, known)) or 'none'}: take another, or larger images "
            "by --image_size."
        )
    output = boxes_of_places(known, num_classes, neck, depth)
    return keras.Model(backbone.inputs[0], output, name=f"{backbone.name}_detector")


def load_data(args: FlagValues, objects: Objects, size: tuple[int, int]) -> ImageData:
    """Images and boxes at the size that a detector takes."""
    return load_boxes(
        objects,
        size,
        args.batch_size,
        given(args, "seed", 0),
        given(args, "augment", "none"),
        args.limit,
        memory_bytes=args.memory_mb * 2**20,
        on_bad_image=args.on_bad_image,
    )
