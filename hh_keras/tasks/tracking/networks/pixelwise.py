"""Every cell of the exemplar's middle, looked for in the search image."""

from typing import Any

import keras
from keras import ops

from hh_keras.graph.rules import Effect, RuleCall, register_rule


@keras.saving.register_keras_serializable("hh_keras")
class Middle(keras.Layer):
    """The middle of a map: `(batch, side, side, c)` to `(batch, cells, cells, c)`.

    Args:
        cells: a side, as even or odd as the map's.
    """

    def __init__(self, cells: int, **settings: Any):
        super().__init__(**settings)
        self.cells = cells

    def call(self, x: Any) -> Any:
        first = (x.shape[1] - self.cells) // 2
        return x[:, first : first + self.cells, first : first + self.cells]

    def compute_output_shape(self, shape: tuple) -> tuple:
        return shape[0], self.cells, self.cells, shape[3]

    def get_config(self) -> dict:
        return {**super().get_config(), "cells": self.cells}


@keras.saving.register_keras_serializable("hh_keras")
class Pixelwise(keras.Layer):
    """Dot products of all cells of two maps, with each other.

    Of maps `(batch, n, n, c)` and `(batch, k, k, c)`: `(batch, n, n, k²)`, divided by
    `scale`. Channels of both leave together.

    Reference: Yan et al., Alpha-Refine, CVPR 2021, arXiv:2012.06815.
    """

    def __init__(self, scale: float = 1.0, **settings: Any):
        super().__init__(**settings)
        self.scale = scale

    def call(self, inputs: list) -> Any:
        x, z = inputs
        n, k, c = x.shape[1], z.shape[1], x.shape[3]
        cells = ops.reshape(z, (-1, k * k, c))
        found = ops.matmul(
            ops.reshape(x, (-1, n * n, c)), ops.transpose(cells, (0, 2, 1))
        )
        return ops.reshape(found, (-1, n, n, k * k)) / self.scale

    def compute_output_shape(self, shapes: list) -> tuple:
        (batch, n, m, _), (_, k, j, _) = shapes
        return batch, n, m, k * j

    def get_config(self) -> dict:
        return {**super().get_config(), "scale": self.scale}


@register_rule(Middle)
def _middle(layer: Middle, call: RuleCall) -> Effect:
    ids = call.along(call.x, -1)
    return Effect(call.produced(ids))


@register_rule(Pixelwise)
def _pixelwise(layer: Pixelwise, call: RuleCall) -> Effect:
    x, z = call.inputs
    ids = call.along(x, -1)
    call.tie(ids, call.along(z, -1))
    each = x.shape[1] ** 2 * z.shape[1] ** 2
    return Effect(
        call.fixed(call.shape, "products of cells"),
        contracts=((0, 3, ids),),
        products=((each, (ids,)),),
    )
