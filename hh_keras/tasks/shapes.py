"""Which shape images come to, by flags, data and model."""

from collections.abc import Sequence

from absl.flags import FlagValues

from hh_keras.flag import given


def wanted_shape(args: FlagValues, own: Sequence) -> tuple:
    """The images' `(height, width, channels)` as far as flags and data decide it.

    Of several images, and of what is no image, shapes are the task's business.
    """
    if several(own) or len(own) != 3:
        return tuple(own)
    height, width = args.image_size or own[:2]
    rgb = given(args, "pretrained") == "imagenet"
    return (height, width, 3 if rgb else own[2])


def several(shape: Sequence) -> bool:
    """Whether a shape is a tuple of the shapes of several images."""
    return bool(shape) and isinstance(shape[0], (tuple, list))


def filled(takes: Sequence, wanted: Sequence) -> tuple:
    """A model's input shape with unknown sizes taken from the images'."""
    return tuple(
        own if size is None else size for size, own in zip(takes, wanted, strict=True)
    )
