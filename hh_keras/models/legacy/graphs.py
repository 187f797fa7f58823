"""From the description of an old model to a Keras 3 model without its weights."""

from typing import Any

import keras

from hh_keras.errors import ModelError
from hh_keras.models.legacy.activations import in_todays_layers
from hh_keras.models.legacy.configs import layer_from_description
from hh_keras.models.legacy.operations import OPERATIONS, operation

_CONSTANT = "_CONSTANT_VALUE"


def model_from_description(described: dict) -> keras.Model:
    """Makes the model, with fresh weights.

    Args:
        described: what Keras 2 wrote as `model_config`, or tf_keras into `config.json`:
            a dict of `class_name` and `config`.

    Returns:
        A functional or Sequential Keras 3 model.

    Raises:
        ModelError: something in it has no counterpart in Keras 3; the message begins
            with "its ...".
    """
    return _Reader().model(described)


def inner_model(described: dict) -> Any:
    """The same of a model inside a wrapper; None if it is an ordinary layer."""
    return _Reader().model(described) if _is_model(described) else None


def children(described: dict) -> Any:
    """Name to description of a model's layers, in the order of the file."""
    layers = _layers(described)
    names = [_name(each) for each in layers]
    return dict(zip(names, layers, strict=True))


def todays_name(name: str) -> str:
    """A layer's name without the `/` that Keras 3 refuses."""
    return name.replace("/", "_")


def _is_model(described):
    config = described["config"]
    if isinstance(config, list):  # a Sequential of the first Keras 2 versions
        return True
    return "layers" in config and isinstance(config["layers"], list)


def _layers(described):
    config = described["config"]
    return config if isinstance(config, list) else config["layers"]


def _name(described):
    return described.get("name") or described["config"].get("name")


class _Reader:
    """Reads one file: what is shared in it is made once."""

    def __init__(self):
        self._shared = {}

    def model(self, described):
        name = described["class_name"].rpartition(">")[2]
        if not _is_model(described):
            raise ModelError(f"its outermost object is a {name}, no model of layers")
        if name == "Sequential":
            return self._sequential(described)
        if "input_layers" not in described["config"]:
            raise ModelError(
                f"its model {_name(described)!r} is a {name}, a class of its writer's"
            )
        return self._functional(described)

    def layer(self, described, name):
        key = described.get("shared_object_id")
        if key is not None and key in self._shared:
            return self._shared[key]
        if _is_model(described):
            made = self.model(described)
        else:
            made = layer_from_description(described, name, inner_model)
        if key is not None:
            self._shared[key] = made
        return made

    def _sequential(self, described):
        config, made = described["config"], []
        for each in _layers(described):
            shape = each["config"].get("batch_input_shape")
            if shape is not None and not made:
                made.append(_input(each["config"]))
            if each["class_name"] != _INPUT:
                layer = self.layer(each, todays_name(_name(each)))
                made += in_todays_layers(layer)
        own = config if isinstance(config, dict) else {}
        model = keras.Sequential(made, name=todays_name(own.get("name", "sequential")))
        if not model.built and own.get("build_input_shape"):
            model.build(own["build_input_shape"])
        return model

    def _functional(self, described):
        config = described["config"]
        made, tensors, calls = {}, {}, []
        for each in config["layers"]:
            name = _name(each)
            if each["class_name"] == _INPUT:
                tensors[name] = {0: [_input(each["config"])]}
                continue
            if each["class_name"] in OPERATIONS:
                made[name] = [operation(each["config"], name)]
            else:
                made[name] = in_todays_layers(self.layer(each, todays_name(name)))
            # A nested model's own inputs count as its first call in old files.
            first = int(_is_model(each) and _layers(each)[0]["class_name"] == _INPUT)
            tensors[name] = {}
            nodes = enumerate(each["inbound_nodes"], first)
            calls += [(name, index, node) for index, node in nodes]
        _make_calls(made, tensors, calls)
        inputs, outputs = (
            _unpacked(_filled(config[key], tensors), config[key])
            for key in ("input_layers", "output_layers")
        )
        return keras.Model(inputs, outputs, name=todays_name(config["name"]))


_INPUT = "InputLayer"


def _input(config):
    """The symbolic input that an `InputLayer`, or a first layer, describes."""
    shape = config.get("batch_input_shape", config.get("batch_shape"))
    name = config.get("name", "input")
    if config.get("ragged"):
        raise ModelError(f"its input {name!r} is ragged; Keras 3 has no such inputs")
    dtype = config.get("dtype") or "float32"
    return keras.Input(
        batch_shape=shape,
        dtype=dtype if isinstance(dtype, str) else "float32",
        sparse=bool(config.get("sparse")),
        name=todays_name(name),
    )


def _make_calls(made, tensors, calls):
    """Calls the layers, each once what it is called on is there.

    Args:
        made: name to what is called, one after the other.
        tensors: name to number of a call to its outputs; filled in.
        calls: list of name, number and what Keras 2 wrote of the call.
    """
    while calls:
        waiting = []
        for name, index, node in calls:
            try:
                args, kwargs = _arguments(node, tensors)
            except KeyError:
                waiting.append((name, index, node))
                continue
            first, *others = made[name]
            output = first(*args, **kwargs)
            for other in others:
                output = other(output)
            tensors[name][index] = keras.tree.flatten(output)
        if len(waiting) == len(calls):
            raise ModelError(
                f"its layer {waiting[0][0]!r} is called on layers that it does not hold"
            )
        calls = waiting


def _arguments(node, tensors):
    """What one call was given: `(args, kwargs)`; raises KeyError if not there yet."""
    kwargs = {}
    for entry in _entries(node):
        kwargs.update(entry[3] if len(entry) > 3 else {})
    inputs = _unpacked(_filled(node, tensors), node)
    return [inputs], {key: _filled(value, tensors) for key, value in kwargs.items()}


def _unpacked(values, written):
    """One tensor without its list: Keras 2 wrote lists, even of one."""
    single = isinstance(values, list) and len(values) == 1
    return values[0] if single and not _is_reference(written) else values


def _entries(node):
    if _is_reference(node):
        return [node]
    parts = node.values() if isinstance(node, dict) else node
    return [entry for part in parts for entry in _entries(part)]


def _is_reference(value):
    """Whether it is `[layer, call, output]`, perhaps with the call's arguments."""
    return (
        isinstance(value, (list, tuple))
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )


def _filled(value, tensors):
    """A structure with tensors for the references in it."""
    if _is_reference(value):
        name, call, output = value[:3]
        return output if name == _CONSTANT else tensors[name][call][output]
    if isinstance(value, dict) and "class_name" not in value:
        return {key: _filled(each, tensors) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(each, tensors) for each in value]
    return value
