"""One tracker as two networks: of the exemplar, once, and of every search image."""

import dataclasses

import keras

from hh_keras.errors import ModelError
from hh_keras.graph import calls
from hh_keras.tasks.tracking.networks.descent import Correlate, Descend
from hh_keras.tasks.tracking.networks.filters import Fit, Match, Spectrum

IMAGE = "image"
"""What the first input of both halves is called."""


@dataclasses.dataclass(frozen=True, eq=False)
class Halves:
    """Both share the tracker's layers and weights.

    Attributes:
        exemplar: image → the kernel, a list of tensors.
        search: `[image, *kernel]` → the tracker's output.
    """

    exemplar: keras.Model
    search: keras.Model


def halves(model: keras.Model) -> Halves:
    """Cuts a tracker where its two images meet.

    Args:
        model: functional, with two inputs, the exemplar first, and one output.

    Raises:
        ModelError: it has other inputs, or the images never meet.
    """
    if len(model.inputs) != 2 or len(model.outputs) != 1:
        raise ModelError(
            f"model '{model.name}' has {len(model.inputs)} inputs and "
            f"{len(model.outputs)} outputs; a tracker takes two images, exemplar and "
            "search, and makes one output."
        )
    exemplar, search = model.inputs
    # Which of the two a tensor depends on: a set of 0 and 1.
    seen = {id(exemplar): {0}, id(search): {1}}
    kernel: dict[int, keras.KerasTensor] = {}
    first: list = []
    second: list = []
    for call in calls.calls(model):
        sides = set().union(*(seen[id(t)] for t in call.inputs))
        seen.update({id(t): sides for t in call.outputs})
        (second if 1 in sides else first).append(call)
        if 1 in sides:
            kernel.update({id(t): t for t in call.inputs if seen[id(t)] == {0}})
    if not kernel or id(exemplar) in kernel or seen[id(model.outputs[0])] != {0, 1}:
        raise ModelError(
            f"model '{model.name}' does not compare its exemplar with its search "
            "image: features of both must meet in a layer."
        )
    tensors = list(kernel.values())
    # Servers know inputs and outputs by name only, and sort inputs by it.
    names = [f"kernel_{k:02d}" for k in range(len(tensors))]
    made = _again("exemplar", first, [exemplar], [IMAGE], tensors)
    outputs = [keras.layers.Identity(name=n)(t) for n, t in zip(names, made.outputs)]
    return Halves(
        keras.Model(made.inputs, outputs, name="exemplar"),
        _again("search", second, [search, *tensors], [IMAGE, *names], model.outputs[0]),
    )


def float_layers(model: keras.Model) -> list[str]:
    """The layers of a tracker, or of a half, for which 8 bits are too few.

    Filters are fitted to differences far smaller than features are, and the place of
    the target is the largest of many scores that are nearly equal.
    """
    return [
        layer.name
        for layer in model.layers
        if isinstance(layer, _FILTERS) or layer.name in _ANSWERS
    ]


_FILTERS = (Spectrum, Fit, Match, Descend, Correlate)
_ANSWERS = ("response", "both", "output")  # of `networks.trackers.compared`


def _again(name, every, tensors, names, outputs):
    """A model of some calls, made again on inputs in the place of tensors."""
    inputs = [
        keras.Input(batch_shape=t.shape, dtype=t.dtype, name=own)
        for t, own in zip(tensors, names)
    ]
    values = {id(t): x for t, x in zip(tensors, inputs)}
    for call in every:
        args, kwargs = call.arguments(values)
        results = keras.tree.flatten(call.op(*args, **kwargs))
        values.update((id(t), x) for t, x in zip(call.outputs, results))
    found = keras.tree.map_structure(lambda t: values[id(t)], outputs)
    return keras.Model(inputs, found, name=name)
