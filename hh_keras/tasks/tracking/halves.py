"""One tracker as two networks: of the exemplar, once, and of every search image."""

import dataclasses

import keras

from hh_keras.errors import ModelError
from hh_keras.graph import calls


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
    for call in calls.calls(model):
        sides = set().union(*(seen[id(t)] for t in call.inputs))
        if 1 in sides:
            kernel.update({id(t): t for t in call.inputs if seen[id(t)] == {0}})
        seen.update({id(t): sides for t in call.outputs})
    if not kernel or id(exemplar) in kernel or seen[id(model.outputs[0])] != {0, 1}:
        raise ModelError(
            f"model '{model.name}' does not compare its exemplar with its search "
            "image: features of both must meet in a layer."
        )
    tensors = list(kernel.values())
    inner = keras.Model([search, *tensors], model.outputs[0], name="inner")
    inputs = [
        keras.Input(batch_shape=t.shape, dtype=t.dtype, name=name)
        for t, name in zip(
            [search, *tensors],
            ["search", *map("kernel_{}".format, range(len(tensors)))],
        )
    ]
    return Halves(
        keras.Model(exemplar, tensors, name="exemplar"),
        keras.Model(inputs, inner(inputs), name="search"),
    )
