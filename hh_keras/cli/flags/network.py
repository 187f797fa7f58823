"""Flags: which network."""

import json

from hh_keras.flag import SWITCH, Checked, Flag, Text


def parse_object(text: str) -> dict:
    """Reads a JSON object."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def model_flag(default: str | None) -> Flag:
    """The --model flag with a default, None if it has to be given."""
    return Flag(
        "model",
        Text("MODEL"),
        default,
        "The network: a name of the package's registry (resnet20, resnet56, "
        "mobilenetv2_tiny, ...; dncnn_small, unet, edsr_small, srresnet, ... for "
        "--task=denoise and sr; detector_small for detect), keras.applications.NAME, "
        "an import path module:function (it may take image_shape, num_classes and "
        "scale), or a .keras or .h5 file with the whole model, of Keras 3, tf_keras or "
        "Keras 2.",
        required=default is None,
    )


MODEL_ARGS = (
    Flag(
        "model_args",
        Checked(parse_object, "JSON", 'write a JSON object such as {"alpha": 0.5}.'),
        None,
        "Further arguments of the network, a JSON object.",
    ),
    Flag(
        "inline",
        SWITCH,
        True,
        "Open networks and layers that are written as classes, so that channels within "
        "them can leave; --noinline keeps all of them closed.",
    ),
    Flag(
        "pretrained",
        Text("imagenet|FILE"),
        None,
        "Weights to start from: a weights file, or imagenet for keras.applications.",
    ),
)

FILE = Flag(
    "model",
    Text("FILE"),
    None,
    "The model: a .keras or .h5 file, a SavedModel folder or a .tflite file.",
    required=True,
)
