"""A network written down as the steps it takes, so that it can be taken again.

A *step* is one call of one tf_keras layer on tensors. `Tape` makes them one by one;
each does one thing that an int8 kernel does: what a Keras layer does in one go
(a convolution and its activation, say) becomes several.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

from hh_keras.errors import ModelError
from hh_keras.export.quantizing.legacy import modules

# What a step's kernel does to the scale of the integers.
COMPUTES = "computes"  # its output has a range of its own
PASSES = "passes"  # its output holds values of its input: the same scale
UNIT, SYMMETRIC = "0..1", "-1..1"  # fixed by the format


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One call of one layer.

    Attributes:
        layer: the tf_keras layer.
        inputs: tf_keras tensors of the carried model.
        output: its one output tensor.
        scale: one of the constants above.
        source: path of the layer in the Keras 3 model.
    """

    layer: Any
    inputs: tuple
    output: Any
    scale: str
    source: str


class Tape:
    """Writes steps down while it makes them.

    Attributes:
        steps: those taken so far.
        forked: ids of tensors that several layers will take.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.forked: set[int] = set()
        self._layers: dict[Any, Any] = {}
        self._names: set[str] = set()

    def step(
        self,
        path: str,
        make: Callable,
        inputs: Sequence,
        *,
        weights: Any = None,
        scale: str = COMPUTES,
        key: Any = None,
    ) -> Any:
        """Takes a step.

        Args:
            path: of the layer in the Keras 3 model.
            make: function of a name that returns a tf_keras layer.
            inputs: a tensor or a list of them.
            weights: arrays for a layer that is new, in its own order.
            scale: see `Step`.
            key: steps with the same key share one layer.

        Returns:
            The output tensor.
        """
        new = key not in self._layers
        layer = make(self.name(path)) if new else self._layers[key]
        output = layer(inputs)
        if new and weights is not None:
            layer.set_weights(weights)
        if key is not None:
            self._layers[key] = layer
        flat = tuple(inputs) if isinstance(inputs, list) else (inputs,)
        self.steps.append(Step(layer, flat, output, scale, path))
        return output

    def compute(
        self, path: str, function: Callable, inputs: Sequence, scale: str = COMPUTES
    ) -> Any:
        """Takes a step that is a function without weights."""
        keras2, _ = modules()
        return self.step(
            path, lambda name: keras2.layers.Lambda(function, name=name), inputs,
            scale=scale,
        )  # fmt: skip

    def name(self, path: str) -> str:
        """A name that no layer has and that TensorFlow takes."""
        base = re.sub(r"[^A-Za-z0-9_.-]", "_", path).lstrip("_-.") or "layer"
        name, number = base, 1
        while name in self._names:
            name, number = f"{base}_{number}", number + 1
        self._names.add(name)
        return name


def refused(path: str, op: Any, reason: str) -> ModelError:
    """The error for a layer that cannot be trained for int8."""
    return ModelError(
        f"layer '{path}' ({type(op).__name__}) cannot be trained for int8: {reason}. "
        'Quantise after training instead: quantize="int8" with representative images '
        "(--formats=int8)."
    )
