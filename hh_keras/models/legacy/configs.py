"""From the description of an old layer to that of today's."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import keras

from hh_keras.errors import ModelError
from hh_keras.models.legacy.activations import keras_2_activation

# Entries that layers no longer take, and the values that mean what they do now.
ANY = object()
_GONE = {
    "batch_input_shape": ANY,  # the graph, or the Sequential, says it too
    "filters": (None,),  # of depthwise convolutions
    "function_type": ANY,
    "fused": ANY,  # how to compute, not what
    "groups": (1,),  # of depthwise, separable and transposed convolutions
    "implementation": ANY,
    "input_dim": ANY,
    "input_length": ANY,
    "jit_compile": ANY,
    "kernel_constraint": ANY,  # of layers whose kernels have names of their own
    "kernel_initializer": ANY,
    "kernel_regularizer": ANY,
    "key_shape": ANY,  # known again once the layer is called
    "num_constants": (None, 0),
    "noise_shape": (None,),
    "query_shape": ANY,
    "ragged": (False, None),
    "renorm": (False,),
    "rng_type": ANY,
    "robust_masking": (False, None),
    "softmax_robust_masking": (False, None),
    "sparse": (False, None),
    "time_major": (False,),
    "trainable": ANY,  # of layers without weights
    "value_shape": ANY,
    "virtual_batch_size": (None,),
}
_RENAMED = {
    "LeakyReLU": {"alpha": "negative_slope"},
    "ThresholdedReLU": {"theta": "threshold"},
}
_CLASSES = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "ThresholdedReLU": "ReLU",
}
# What an entry was before there was one.
_DEFAULTS = {"GRU": {"reset_after": False}, "GRUCell": {"reset_after": False}}
APPLICATIONS = {
    "CustomScaleLayer": "inception_resnet_v2",
    "LayerScale": "convnext",
    "StochasticDepth": "convnext",
}


def layer_from_description(described: dict, name: str, inner_model: Callable) -> Any:
    """Makes a layer that is no model.

    Args:
        described: dict of `class_name`, `config` and perhaps `registered_name`.
        name: what the layer is to be called.
        inner_model: makes a model inside a wrapper; None if it is an ordinary layer.

    Returns:
        A Keras 3 layer.

    Raises:
        ModelError: a class or an entry that Keras 3 does not have, or Python code.
    """
    class_name, config = described["class_name"], dict(described["config"])
    registered = _registered(described)
    if registered is not None:
        return registered.from_config(config)
    layer_class, module = _todays(class_name, name)
    config = _translated(class_name, layer_class, config, name, inner_model)
    if "name" in config:
        config["name"] = name
    described = {
        "module": module,
        "class_name": layer_class.__name__,
        "config": config,
        "registered_name": None,
    }
    return keras.saving.deserialize_keras_object(described, safe_mode=True)


def _registered(described):
    """A class of the user's, if it has been registered with Keras."""
    for key in ("registered_name", "class_name"):
        found = keras.saving.get_registered_object(described.get(key) or "")
        if inspect.isclass(found):
            return found
    return None


def _todays(class_name, name):
    if class_name in ("Lambda", "TFSMLayer", "TorchModuleWrapper"):
        raise ModelError(
            f"its layer {name!r} is a {class_name}, which holds code of its writer's; "
            "files with code are not opened. Rebuild the model with a layer class "
            "instead"
        )
    plain = class_name.rpartition(">")[2]
    if plain in APPLICATIONS:
        module = f"keras.src.applications.{APPLICATIONS[plain]}"
        return getattr(importlib.import_module(module), plain), module
    found = getattr(keras.layers, _CLASSES.get(class_name, class_name), None)
    if not (inspect.isclass(found) and issubclass(found, keras.layers.Layer)):
        raise ModelError(
            f"its layer {name!r} is of the class {class_name}, which Keras 3 does not "
            "have; if it is your own, register it with "
            "keras.saving.register_keras_serializable and import it first"
        )
    return found, "keras.layers"


def _translated(class_name, layer_class, config, name, inner_model):
    """The entries that today's class takes, with the same meaning."""
    config = {**_DEFAULTS.get(class_name, {}), **config}
    for old, new in _RENAMED.get(class_name, {}).items():
        if old in config:
            config[new] = config.pop(old)
    takes, found = _parameters(layer_class), {}
    if class_name == "SyncBatchNormalization":
        config["synchronized"] = True
    for key, value in config.items():
        if key in takes:
            found[key] = _value(key, value, name, inner_model)
        elif not _means_nothing(key, value):
            raise ModelError(
                f"its layer {name!r} has {key}={value!r}, which {layer_class.__name__} "
                "of Keras 3 does not have"
            )
    return found


def _means_nothing(key, value):
    accepted = _GONE.get(key, ())
    return accepted is ANY or value in accepted


def _parameters(layer_class):
    """Names that the constructor of a class takes, its parents' included."""
    names = {"activity_regularizer", "dtype", "name", "trainable"}
    for parent in layer_class.__mro__:
        if "__init__" not in vars(parent):
            continue
        parameters = inspect.signature(parent.__init__).parameters
        names.update(parameters)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return names - {"self", "args", "kwargs"}
    return names - {"self", "args", "kwargs"}


def _value(key, value, name, inner_model):
    if key == "dtype":
        return _policy(value)
    if "activation" in key:
        return keras_2_activation(value, name)
    if key == "axis" and isinstance(value, list) and len(value) == 1:
        return value[0]
    if key in ("layer", "cell", "backward_layer", "cells") and value is not None:
        if isinstance(value, list):
            return [_inner(each, inner_model) for each in value]
        return _inner(value, inner_model)
    if isinstance(value, dict) and "class_name" in value:
        return _object(value, name)
    return value


def _inner(described, inner_model):
    """The layer inside a wrapper, described as today."""
    inner = inner_model(described)
    if inner is None:
        name = described["config"].get("name", described["class_name"])
        inner = layer_from_description(described, name, inner_model)
    return keras.saving.serialize_keras_object(inner)


def _policy(value):
    """A dtype policy by its name."""
    while isinstance(value, dict):
        value = value["config"]
        value = value.get("name", value) if isinstance(value, dict) else value
    return value


def _object(described, name):
    """An initialiser, regulariser or constraint."""
    config = described.get("config")
    if described["class_name"].startswith("__"):
        if described["class_name"] in ("__lambda__", "__typespec__"):
            raise ModelError(
                f"its layer {name!r} holds code of its writer's; files with code are "
                "not opened"
            )
        return described
    if isinstance(config, dict):
        config = {k: v for k, v in config.items() if k != "dtype"}
    return {**described, "config": config}
