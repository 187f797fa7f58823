"""`.h5` files of Keras 3: an old frame around descriptions of today.

Keras writes them without the modules of the classes and then takes what `keras.layers`
calls so: operations are unknown, an addition becomes a layer, and axes get lost.
"""

import importlib
import inspect

import keras

from hh_keras.errors import ModelError
from hh_keras.models.legacy.configs import APPLICATIONS

_OPERATIONS = ("numpy", "nn", "core", "math", "image", "linalg")
_MODELS = {
    "Functional": "keras.src.models.functional",
    "Model": "keras.src.models.functional",
    "Sequential": "keras",
}


def model_with_modules(described: dict) -> keras.Model:
    """Makes the model, with fresh weights.

    Args:
        described: what Keras 3 wrote as `model_config`.

    Raises:
        ModelError: a class that Keras does not know; the message begins with "its ...".
    """
    return keras.saving.deserialize_keras_object(_complete(described), safe_mode=True)


def _complete(described):
    """The description with the module of every class."""
    kind, config = described["class_name"], described["config"]
    layers = config.get("layers")
    if isinstance(layers, list):
        config = {**config, "layers": [_complete(each) for each in layers]}
    registered = inspect.isclass(keras.saving.get_registered_object(kind))
    return {
        **described,
        "module": described.get("module") or _module(kind, config, registered),
        "class_name": "Functional" if kind == "Model" else kind,
        "config": config,
        "registered_name": kind if registered else None,
    }


def _module(kind, config, registered):
    if registered:
        return "registered"
    if kind in _MODELS:
        return _MODELS[kind]
    if kind in APPLICATIONS:
        return f"keras.src.applications.{APPLICATIONS[kind]}"
    if "dtype" not in config:  # layers have one, operations have not
        for name in _OPERATIONS:
            module = f"keras.src.ops.{name}"
            if hasattr(importlib.import_module(module), kind):
                return module
    if hasattr(keras.layers, kind):
        return "keras.layers"
    raise ModelError(
        f"its layer {config.get('name')!r} is of the class {kind}, which Keras does "
        "not know; if it is your own, register it with "
        "keras.saving.register_keras_serializable and import it first"
    )
