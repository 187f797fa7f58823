"""A small filter that finds a target again, by a few steps of steepest descent.

It minimises |Σ_c f_c * z_c - y|² + λ |f|² over filters of some cells, from a start that
is learnt, as is λ; every step has the length that lowers the loss most.

Reference: Bhat et al., DiMP, ICCV 2019, arXiv:1904.07220, sections 3.1 and 3.3 (their
loss is a learnt one; this is its quadratic case).
"""

from typing import Any

import keras
from keras import ops

from hh_keras.graph.rules import Effect, RuleCall, register_rule
from hh_keras.tasks.tracking.networks import spectrum

_LEAST = 1e-6


def _windows(x, cells):
    """What a filter sees at every place: `(batch, side², cells² · channels)`.

    What lies beyond the map's edges is 0. A matrix for each map, so that all that is
    done with it are products: converters take those of two axes at once for others.
    """
    side, channels, first = x.shape[1], x.shape[3], (cells - 1) // 2
    ends = (first, cells - 1 - first)
    padded = ops.pad(x, ((0, 0), ends, ends, (0, 0)))
    shifts = [
        padded[:, i : i + side, j : j + side]
        for i in range(cells)
        for j in range(cells)
    ]
    return ops.reshape(ops.concatenate(shifts, -1), (-1, side**2, cells**2 * channels))


def _normalised(x):
    """Of mean energy 1, summed over channels: one that is 0 changes nothing."""
    x = ops.cast(x, "float32")
    energy = ops.mean(ops.sum(ops.square(x), -1, keepdims=True), (1, 2), keepdims=True)
    return x * ops.rsqrt(energy + _LEAST)


@keras.saving.register_keras_serializable("hh_keras")
class Descend(keras.Layer):
    """The filter of an exemplar: `(batch, side, side, c)` to `(batch, cells², c)`.

    Args:
        cells: a side of the filter, odd.
        sigma: of the Gaussian y that is wanted of the exemplar, in cells.
        steps: of descent.
    """

    def __init__(self, cells: int, sigma: float, steps: int = 5, **settings: Any):
        super().__init__(**settings)
        self.cells, self.sigma, self.steps = cells, sigma, steps

    def build(self, shape: tuple) -> None:
        side, channels = shape[1], shape[3]
        self.wanted = spectrum.bump(side, self.sigma).reshape(1, -1, 1)
        self.gain = self.add_weight(
            name="gain", shape=(channels,), initializer=keras.initializers.Constant(0.1)
        )
        self.ridge = self.add_weight(
            name="ridge", shape=(), initializer=keras.initializers.Constant(-3.0)
        )
        self.built = True

    def call(self, x: Any) -> Any:
        x = _normalised(x)
        windows = _windows(x, self.cells)
        side, k = x.shape[1], self.cells
        first = (side - k) // 2
        middle = x[:, first : first + k, first : first + k] * self.gain / k**2
        found = ops.reshape(middle, (-1, k * k * x.shape[3], 1))
        ridge = ops.exp(self.ridge)
        back = ops.transpose(windows, (0, 2, 1))
        for _ in range(self.steps):
            wrong = ops.matmul(windows, found) - self.wanted
            slope = ops.matmul(back, wrong) + ridge * found
            bend = ops.matmul(windows, slope)
            size = ops.sum(ops.square(slope), (1, 2), True)
            bent = ops.sum(ops.square(bend), (1, 2), True) + ridge * size + _LEAST
            found = found - size / bent * slope
        return ops.reshape(found, (-1, k * k, x.shape[3]))

    def compute_output_shape(self, shape: tuple) -> tuple:
        return shape[0], self.cells**2, shape[3]

    def compute_output_spec(self, x: Any) -> Any:
        return keras.KerasTensor(self.compute_output_shape(x.shape), "float32")

    def get_config(self) -> dict:
        own = {"cells": self.cells, "sigma": self.sigma, "steps": self.steps}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("hh_keras")
class Correlate(keras.Layer):
    """A filter's answer everywhere: of maps and a filter, `(batch, n, n, 1)`.

    Args:
        cells: a side of the filter.
    """

    def __init__(self, cells: int, **settings: Any):
        super().__init__(**settings)
        self.cells = cells

    def call(self, inputs: list) -> Any:
        x, found = inputs
        x = _normalised(x)
        found = ops.reshape(found, (-1, self.cells**2 * x.shape[3], 1))
        answer = ops.matmul(_windows(x, self.cells), found)
        return ops.reshape(answer, (-1, x.shape[1], x.shape[1], 1))

    def compute_output_spec(self, inputs: list) -> Any:
        shape = (*inputs[0].shape[:3], 1)
        return keras.KerasTensor(shape, "float32")

    def get_config(self) -> dict:
        return {**super().get_config(), "cells": self.cells}


@register_rule(Descend)
def _descend(layer: Descend, call: RuleCall) -> Effect:
    ids = call.along(call.x, -1)
    each = layer.cells**2 * call.x.shape[1] ** 2 * 3 * layer.steps
    return Effect(
        call.produced(ids),
        contracts=((0, 3, ids),),
        weights={"gain": (ids,), "ridge": ()},
        products=((each, (ids,)),),
    )


@register_rule(Correlate)
def _correlate(layer: Correlate, call: RuleCall) -> Effect:
    x, found = call.inputs
    ids = call.along(x, -1)
    call.tie(ids, call.along(found, -1))
    each = layer.cells**2 * x.shape[1] ** 2
    return Effect(
        call.fixed(call.shape, "sum over channels"),
        contracts=((0, 3, ids),),
        products=((each, (ids,)),),
    )
