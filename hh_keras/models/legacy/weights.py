"""The weights of old files, laid into the model that their description gave."""

from typing import Any

import keras
import numpy as np

from hh_keras.errors import ModelError
from hh_keras.models.legacy.graphs import children, todays_name


def load_h5_weights(model: keras.Model, described: dict, group: Any) -> None:
    """Assigns the weights of a whole-model `.h5` file.

    Such a file holds one flat list per layer; that of a nested model is in an order
    that depends on what was trainable. Both are as `described` tells.

    Args:
        model: what `model_from_description(described)` returned.
        described: the description.
        group: the file's `model_weights`.

    Raises:
        ModelError: the file holds other weights; the message begins with "its ...".
    """
    for name, child in children(described).items():
        layer = _layer(model, name)
        if layer is None:
            continue
        trained, others = _in_order(layer, child)
        wanted = list({id(v): v for v in [*trained, *others]}.values())
        values = _datasets(group, name) if wanted else []
        shapes = [tuple(v.shape) for v in wanted], [v.shape for v in values]
        if shapes[0] != shapes[1]:
            raise ModelError(
                f"its layer {name!r} has weights of the shapes {shapes[0]}, but those "
                f"beside its description are {shapes[1]}"
            )
        for variable, value in zip(wanted, values, strict=True):
            variable.assign(np.asarray(value))
    for layer in model._flatten_layers(include_self=False):
        if hasattr(layer, "finalize_state") and layer.weights:
            layer.finalize_state()  # a Normalization computes with what it is told
    set_trainable(model, described)


def check_order(model: keras.Model, described: dict) -> None:
    """Raises ModelError unless the layers of a model come as its file lists them.

    tf_keras names the weights in `.keras` files by their place among the layers.
    """
    names = [todays_name(name) for name in children(described)]
    found = [layer.name for layer in model.layers if layer.weights]
    if found != [name for name in names if name in set(found)]:
        raise ModelError(
            f"its model {model.name!r} lists its layers in another order than Keras 3; "
            "save it as .h5 with tf_keras and give that file"
        )
    for name, child in children(described).items():
        layer = _layer(model, name)
        if isinstance(layer, keras.Model):
            check_order(layer, child)


def _layer(model, name):
    """The layer of that name in the file; None for what is no layer today."""
    found = {layer.name: layer for layer in model.layers}
    return found.get(todays_name(name))


def _in_order(layer, described):
    """Variables of a layer as Keras 2 lists them: those trained, and the others."""
    config = described["config"]
    trainable = config.get("trainable", True) if isinstance(config, dict) else True
    trained, others = [], []
    if isinstance(layer, keras.Model):
        for name, child in children(described).items():
            inner = _layer(layer, name)
            if inner is not None:
                parts = _in_order(inner, child)
                trained, others = trained + parts[0], others + parts[1]
    else:
        layer.trainable = True
        trained, others = layer.trainable_weights, layer.non_trainable_weights
    return (trained, others) if trainable else ([], [*trained, *others])


def set_trainable(model: keras.Model, described: dict) -> None:
    """What is trained, as the file says; a model first, as it sets its layers' too."""
    for name, child in children(described).items():
        layer, config = _layer(model, name), child["config"]
        if layer is not None and isinstance(config, dict):
            layer.trainable = config.get("trainable", True)
            if isinstance(layer, keras.Model):
                set_trainable(layer, child)


def _datasets(group, name):
    """What is stored of one layer, in the order in which it was written."""
    if name not in group:
        return []
    group = group[name]
    return [group[each] for each in _attribute(group, "weight_names")]


def _attribute(group, name):
    """A list of names, which may be written in numbered parts."""
    parts = [name] if name in group.attrs else []
    while not parts or parts[-1] != name:
        part = f"{name}{len(parts)}"
        if part not in group.attrs:
            break
        parts.append(part)
    found = [each for part in parts for each in group.attrs[part]]
    return [each.decode() if isinstance(each, bytes) else str(each) for each in found]
