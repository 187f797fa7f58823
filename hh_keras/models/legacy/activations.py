"""Activations whose names stand for other functions today."""

from typing import Any

import keras

from hh_keras.errors import ModelError


@keras.saving.register_keras_serializable(package="hh_keras")
def keras_2_hard_sigmoid(x: Any) -> Any:
    """`clip(0.2 x + 0.5, 0, 1)`: what Keras 2 called `hard_sigmoid`.

    Keras 3 calls `relu6(x + 3) / 6` so. Only recurrent layers keep this function; see
    `in_todays_layers`.
    """
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def in_todays_layers(layer: Any) -> Any:
    """The layers that do what one layer does, none with a function of this package.

    The old function of x is today's of 1.2 x.

    Args:
        layer: a layer that is not built yet.

    Returns:
        A list of layers to be called one after the other, usually only `layer`.
    """
    of_rnn = isinstance(layer, keras.layers.RNN)
    if of_rnn or getattr(layer, "activation", None) is not keras_2_hard_sigmoid:
        return [layer]
    scaled = keras.layers.Rescaling(1.2, name=f"{layer.name}_scaled")
    if isinstance(layer, keras.layers.Activation):
        layer.activation = keras.activations.hard_sigmoid
        return [scaled, layer]
    layer.activation = keras.activations.linear
    name = f"{layer.name}_hard_sigmoid"
    return [layer, scaled, keras.layers.Activation("hard_sigmoid", name=name)]


def keras_2_activation(value: Any, name: str) -> Any:
    """Translates an activation as an old layer's description has it.

    Args:
        value: its name, a dict that describes it, or None.
        name: of the layer, for messages.

    Returns:
        What a layer of Keras 3 takes.

    Raises:
        ModelError: Keras 3 does not know it.
    """
    if isinstance(value, dict):
        described, config = value, value.get("config")
        if described.get("class_name") == "__lambda__":
            raise ModelError(
                f"its layer {name!r} has a Python lambda for an activation; files with "
                "code are not opened"
            )
        if described.get("class_name") != "function":
            return described  # a layer that serves as an activation
        value = config
    if value is None:
        return None
    if value == "hard_sigmoid":
        return keras.saving.serialize_keras_object(keras_2_hard_sigmoid)
    own = keras.saving.get_registered_object(value)
    if own is not None:
        return keras.saving.serialize_keras_object(own)
    try:
        found = keras.activations.get(value)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"its layer {name!r} has the activation {value!r}, which Keras 3 does not "
            "have; if it is your own, register it with "
            "keras.saving.register_keras_serializable and import it first"
        ) from error
    return keras.activations.serialize(found)
