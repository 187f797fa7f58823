"""From what a user calls a model to the model."""

import os
from collections.abc import Callable
from pathlib import Path

import keras

from hh_keras.errors import ModelError
from hh_keras.models import files, sources
from hh_keras.models.applications import application, list_applications
from hh_keras.models.denoising import dncnn_b, dncnn_s, dncnn_small, unet
from hh_keras.models.densenet import densenet40, densenet_bc100
from hh_keras.models.detection import detector_small
from hh_keras.models.imagenet_resnet import (
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
)
from hh_keras.models.mobilenet import (
    efficientnet_b0,
    efficientnet_lite0,
    mnasnet,
    mobilenetv1,
    mobilenetv2_small,
    mobilenetv2_tiny,
    mobilenetv3_large,
    mobilenetv3_small,
)
from hh_keras.models.regnet import regnetx, regnety
from hh_keras.models.resnet import (
    preresnet164,
    resnet8,
    resnet20,
    resnet32,
    resnet56,
    resnet110,
    wrn28_10,
)
from hh_keras.models.segmentation import (
    mobilenetv2_aspp,
    mobilenetv2_aspp_small,
    unet_bn,
    unet_bn_small,
)
from hh_keras.models.superresolution import edsr, edsr_large, edsr_small, srresnet
from hh_keras.models.vgg import vgg11_small
from hh_keras.suggestions import did_you_mean

_MODELS = {
    function.__name__: function
    for function in (
        densenet40,
        densenet_bc100,
        efficientnet_b0,
        efficientnet_lite0,
        mnasnet,
        mobilenetv1,
        mobilenetv2_small,
        mobilenetv2_tiny,
        mobilenetv3_large,
        mobilenetv3_small,
        preresnet164,
        regnetx,
        regnety,
        resnet8,
        resnet18,
        resnet20,
        resnet32,
        resnet34,
        resnet50,
        resnet56,
        resnet101,
        resnet110,
        resnet152,
        vgg11_small,
        wrn28_10,
    )
}
# From images to the boxes of their places; one class is enough.
_DETECTORS = {"detector_small": detector_small}
# From images to images: these have no classes, and their input may be of any size.
_RESTORATION: dict[str, dict[str, Callable]] = {
    "denoise": {
        "dncnn_b": dncnn_b,
        "dncnn_s": dncnn_s,
        "dncnn_small": dncnn_small,
        "unet": unet,
    },
    "sr": {
        "edsr": edsr,
        "edsr_large": edsr_large,
        "edsr_small": edsr_small,
        "srresnet": srresnet,
    },
}
# From images of any size to a class of every pixel.
_SEGMENTERS: dict[str, Callable] = {
    "mobilenetv2_aspp": mobilenetv2_aspp,
    "mobilenetv2_aspp_small": mobilenetv2_aspp_small,
    "unet_bn": unet_bn,
    "unet_bn_small": unet_bn_small,
}
_WITH_CLASSES: dict[str, Callable] = {**_MODELS, **_DETECTORS, **_SEGMENTERS}
_RESTORERS = {name: f for found in _RESTORATION.values() for name, f in found.items()}
_OWN = {**_WITH_CLASSES, **_RESTORERS}
_APPLICATIONS = "keras.applications."


def list_models(task: str | None = "classify") -> list[str]:
    """Names of the package's own networks.

    Args:
        task: what they are for: "classify", "detect", "denoise", "sr" or "segment";
            None lists all.

    Returns:
        A sorted list of names that `build` takes. It also takes
        `keras.applications.NAME`, `module:function`, and `.keras` and `.h5` files.

    Examples:
        >>> "resnet20" in hh_keras.models.list_models()
        True
        >>> hh_keras.models.list_models("sr")
        ['edsr', 'edsr_large', 'edsr_small', 'srresnet']
    """
    known: dict[str, dict] = {
        "classify": _MODELS,
        "detect": _DETECTORS,
        "segment": _SEGMENTERS,
        **_RESTORATION,
    }
    return sorted(_OWN if task is None else known[task])


def build(
    spec: str,
    image_shape: tuple | None = None,
    num_classes: int | None = None,
    weights: str | None = None,
    model_args: dict | None = None,
    scale: int | None = None,
) -> keras.Model:
    """Builds or loads a model.

    Networks of the registry and of keras.applications take raw pixels (0 to 255) and
    return logits. A user's function or file keeps its own input range and ending.

    Args:
        spec: a name of `list_models()`; `"keras.applications.NAME"`; an import path
            `"module:function"`; or the path of a `.keras` or `.h5` file.
        image_shape: `(height, width, channels)`. A file may leave it out. Networks
            that restore or segment images take None for height and width: any size.
        num_classes: number of classes. A file may leave it out and keeps its own;
            networks that restore images have none.
        weights: None, or the path of a weights file (`.weights.h5`, or a `.keras` file
            of the same network); for keras.applications also `"imagenet"`.
        model_args: dict of further arguments of the network, such as `width`.
        scale: how many times larger a network for super-resolution makes images; None
            is its own.

    Returns:
        A `keras.Model`.

    Raises:
        ModelError: an unknown name (the message gives the nearest), a file that cannot
            be loaded or takes images of another shape, arguments that the network
            does not take, or weights that do not fit.

    Examples:
        >>> hh_keras.models.build("resnet20", (32, 32, 3), 10).count_params()
        274042
    """
    is_file = names_file(spec)
    if not (is_file or ":" in spec or spec in _OWN):
        if not spec.startswith(_APPLICATIONS):
            raise ModelError(_unknown(spec))
    restores = spec in _RESTORERS or (":" in spec and num_classes is None)
    any_size = restores or is_file or spec in _SEGMENTERS
    if not is_file or image_shape is not None:
        image_shape = _checked_shape(image_shape, any_size)
    if not (is_file or restores):
        _check_classes(num_classes, 1 if spec in _DETECTORS else 2)
    if spec in _RESTORERS and num_classes is not None:
        raise ModelError(
            f"{spec} restores images and has no classes; choose a classifier, one of "
            f"{', '.join(list_models())}, or another task."
        )
    if spec.startswith(_APPLICATIONS):
        name = spec[len(_APPLICATIONS) :]
        if weights not in (None, "imagenet"):
            weights = _existing(weights)
        return application(name, image_shape, num_classes, weights, model_args)
    if weights == "imagenet":
        raise ModelError(
            f"There are no ImageNet weights for {spec}; only models of "
            "keras.applications have them."
        )
    model = _own_model(spec, image_shape, num_classes, model_args, scale)
    if weights is not None:
        _load_weights(model, _existing(weights), spec)
    return model


def names_file(spec: str) -> bool:
    """Whether a model is named by a path, of a file or of a folder.

    Args:
        spec: as for `build`.

    Returns:
        True for what ends as a file of Keras and for every path that exists, unless it
        is a name of the package's own networks; also for paths that do not exist, if
        they have a folder in them and cannot be an import path.

    Examples:
        >>> hh_keras.models.names_file("runs/model.keras")
        True
        >>> hh_keras.models.names_file("resnet20")
        False
    """
    if spec in _OWN or spec.startswith(_APPLICATIONS):
        return False
    return (
        files.is_keras_file(spec)
        or os.path.exists(spec)
        or (":" not in spec and os.path.dirname(spec) != "")
    )


def _own_model(spec, image_shape, num_classes, model_args, scale):
    if spec in _WITH_CLASSES:
        arguments = {
            **(model_args or {}),
            "image_shape": image_shape,
            "num_classes": num_classes,
        }
        return sources.call(_WITH_CLASSES[spec], arguments, spec)
    if spec in _RESTORERS:
        arguments = {**(model_args or {}), "image_shape": image_shape}
        if scale is not None and spec in _RESTORATION["sr"]:
            arguments.setdefault("scale", scale)
        return sources.call(_RESTORERS[spec], arguments, spec)
    if names_file(spec):
        if model_args:
            raise ModelError(f"{spec} is a file: it takes no model arguments.")
        model = sources.from_file(spec)
    else:
        model = sources.from_function(spec, image_shape, num_classes, model_args, scale)
    if image_shape is not None:
        _check_takes(model, image_shape, spec)
    return model


def _unknown(spec):
    applications = [_APPLICATIONS + name for name in list_applications()]
    # A bare "ResNet50" is nearer to the application than its full name shows.
    short = did_you_mean(spec, list_applications(), prefix=_APPLICATIONS)
    own = sorted(_OWN)
    hint = did_you_mean(spec, [*own, *applications]) or short
    return (
        f"Unknown model {spec!r}.{hint} Known are: {', '.join(own)}, "
        "keras.applications.NAME, module:function, and .keras and .h5 files."
    )


def _check_takes(model, image_shape, spec):
    """Refuses a model whose one input does not take images of this shape."""
    if len(getattr(model, "inputs", None) or ()) != 1:
        return
    takes = tuple(model.inputs[0].shape[1:])
    fits = len(takes) == 3 and all(
        size is None or asked is None or size == asked
        for size, asked in zip(takes, image_shape, strict=True)
    )
    if not fits:
        raise ModelError(
            f"{spec} takes inputs of shape {takes}, but the images are "
            f"{tuple(image_shape)}; ask for that image size and number of channels."
        )


def _checked_shape(image_shape, any_size=False):
    shape = tuple(image_shape) if image_shape is not None else ()
    known = [n for n in shape[:2] if not (any_size and n is None)] + [*shape[2:]]
    if len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in known):
        raise ModelError(
            "image_shape must be three positive integers (height, width, channels); "
            f"got {image_shape!r}."
        )
    return shape


def _check_classes(num_classes, least):
    if not isinstance(num_classes, int) or num_classes < least:
        raise ModelError(
            f"num_classes must be an integer of at least {least}; got {num_classes!r}."
        )


def _existing(weights):
    if not Path(weights).is_file():
        raise ModelError(f"There is no weights file {weights}.")
    return str(weights)


def _load_weights(model, weights, spec):
    try:
        if weights.endswith(".keras"):
            model.set_weights(sources.from_file(weights).get_weights())
        else:
            model.load_weights(weights)
    except ModelError:
        raise
    except Exception as error:  # corrupt files and other networks raise all sorts
        reason = " ".join(str(error).split())[:400]
        raise ModelError(
            f"The weights in {weights} do not fit {spec}: {reason}"
        ) from error
