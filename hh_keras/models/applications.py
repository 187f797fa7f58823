"""keras.applications as networks from raw pixels to logits.

Every application expects its own preprocessing. Here it becomes part of the graph,
so that all models take the same pixels and an exported file needs nothing around it.
"""

import re
import warnings

import keras
from keras import layers

from hh_keras.errors import ModelError
from hh_keras.suggestions import did_you_mean

# The mode of each family's `preprocess_input`; "own" ones have it in their graph.
_MODES = {
    "caffe": ("ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19"),
    "torch": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "tf": (
        "InceptionResNetV2",
        "InceptionV3",
        "MobileNet",
        "MobileNetV2",
        "NASNetLarge",
        "NASNetMobile",
        "ResNet50V2",
        "ResNet101V2",
        "ResNet152V2",
        "Xception",
    ),
    "own": (
        *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
        *(f"EfficientNetB{number}" for number in range(8)),
        *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
        "MobileNetV3Large",
        "MobileNetV3Small",
    ),
}
_MODE = {name: mode for mode, names in _MODES.items() for name in names}

_IMAGENET_CLASSES = 1000
_MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB, pixels 0..1
_STD = (0.229, 0.224, 0.225)
_CAFFE_MEAN = (103.939, 116.779, 123.68)  # of ImageNet, BGR, pixels 0..255


def list_applications() -> list[str]:
    """Names of the keras.applications that `build` knows.

    Returns:
        A sorted list of names such as `"ResNet50"`, only those that the installed
        Keras has.

    Examples:
        >>> hh_keras.models.list_applications()[:2]
        ['ConvNeXtBase', 'ConvNeXtLarge']
    """
    return sorted(name for name in _MODE if hasattr(keras.applications, name))


def application(
    name: str,
    image_shape: tuple | None,
    num_classes: int | None,
    weights: str | None = None,
    model_args: dict | None = None,
) -> keras.Model:
    """Builds one of keras.applications as a flat graph from raw pixels to logits.

    Args:
        name: `"ResNet50"` and so on, see `list_applications`.
        image_shape: `(height, width, channels)`.
        num_classes: number of logits.
        weights: None, `"imagenet"` or the path of a weights file. `"imagenet"` with
            other than 1000 classes loads the network without its classifier and puts
            average pooling and a fresh dense layer on top.
        model_args: further arguments of the application, for instance `alpha`.

    Returns:
        A functional model. Its preprocessing is the application's own
        `preprocess_input`; images that are not RGB are scaled to -1..1 instead.

    Raises:
        ModelError: unknown name, images that are too small, arguments that the
            application refuses, or weights that cannot be loaded.
    """
    if name not in list_applications():
        raise ModelError(
            f"There is no keras.applications.{name}."
            + did_you_mean(name, list_applications(), prefix="keras.applications.")
        )
    inputs = layers.Input(shape=image_shape, name="image")
    new_head = weights == "imagenet" and num_classes != _IMAGENET_CLASSES
    arguments = {
        "input_shape": tuple(inputs.shape[1:]),
        "input_tensor": _preprocess(inputs, name),
        "weights": weights,
        "include_top": not new_head,
        **(
            {"pooling": "avg"}
            if new_head
            else {"classes": num_classes, "classifier_activation": None}
        ),
    }
    model = _call(name, arguments, model_args or {})
    if not new_head:
        return model
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(model.output)
    return keras.Model(model.input, logits, name=model.name)


def _preprocess(inputs, name):
    """Puts what the application's `preprocess_input` does in front of it."""
    mode = _MODE[name]
    if inputs.shape[-1] != 3:
        # ImageNet's colour statistics mean nothing here. ConvNeXt leaves its own
        # normalisation out as well; the others that have their own keep it.
        mode = "own" if mode == "own" and not name.startswith("ConvNeXt") else "tf"
    if mode == "own":
        return inputs
    if mode == "tf":
        return layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(inputs)
    if mode == "torch":
        return layers.Rescaling(
            scale=[1 / (255 * std) for std in _STD],
            offset=[-mean / std for mean, std in zip(_MEAN, _STD, strict=True)],
            name="rescale",
        )(inputs)
    bgr = keras.ops.flip(inputs, axis=-1)
    offset = [-mean for mean in _CAFFE_MEAN]
    return layers.Rescaling(1.0, offset=offset, name="subtract_mean")(bgr)


def _call(name, arguments, model_args):
    """Calls the application; whatever it refuses becomes a ModelError."""
    clash = sorted(set(arguments) & set(model_args))
    if clash:
        raise ModelError(
            f"keras.applications.{name}: model_args may not set {', '.join(clash)}; "
            "the image shape, classes and weights have arguments of their own."
        )
    try:
        with warnings.catch_warnings():
            # Keras warns of sizes and channels that differ from ImageNet's: intended.
            warnings.simplefilter("ignore", UserWarning)
            return getattr(keras.applications, name)(**arguments, **model_args)
    except Exception as error:  # Keras raises bare Exception when a download fails
        raise ModelError(_explain(name, arguments, error)) from error


def _explain(name, arguments, error):
    height, width, channels = arguments["input_shape"]
    least = re.search(r"at least\s*(\d+)", str(error))
    if least:
        return (
            f"keras.applications.{name} takes images of at least "
            f"{least[1]}x{least[1]} pixels, these are {height}x{width}; "
            f"ask for a larger image size."
        )
    if arguments["weights"] == "imagenet" and channels != 3:
        return (
            f"The ImageNet weights of keras.applications.{name} take RGB images, "
            f"these have {channels} channel(s); use 3 channels, or no weights."
        )
    reason = " ".join(str(error).split())
    return f"keras.applications.{name} cannot be built: {reason}"
