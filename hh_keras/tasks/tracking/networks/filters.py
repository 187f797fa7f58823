"""A filter that finds a target again, by ridge regression in closed form.

Of features x of the exemplar, with the target in the middle, and a Gaussian y there,
the filter minimises |Σ_c w_c * x_c - y|² + λ |w|², all shifts of x being examples. In
frequencies that is W_c = Y* X_c / (Σ_d |X_d|² + λ): products, a sum over channels and a
division, through which slopes flow, so features can be trained for it.

References: Henriques et al., High-speed tracking with kernelized correlation filters,
arXiv:1404.7584; Wang et al., DCFNet, arXiv:1704.04057, equations 2 to 6.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from hh_keras.graph.rules import Effect, RuleCall, register_rule
from hh_keras.tasks.tracking.networks import spectrum

_LEAST = 1e-6  # energy of an image without any structure


@keras.saving.register_keras_serializable("hh_keras")
class Spectrum(keras.Layer):
    """Features, of mean 0 and mean energy 1, under a cosine window, as frequencies.

    `(batch, side, side, channels)` to `(batch, side, side // 2 + 1, 2, channels)`, real
    and imaginary. The energy is summed over channels, so one that is 0 changes nothing.
    """

    def build(self, shape: tuple) -> None:
        side = shape[1]
        if shape[1] != shape[2] or side is None or side < 4:
            raise ValueError(
                f"layer '{self.name}' takes square maps of a known size of 4 and more, "
                f"got {tuple(shape[1:3])}: give the model square images."
            )
        self.window = spectrum.hann(side)[..., None]
        across, self.down = spectrum.forward(side)
        self.across = across / side  # unitary: frequencies have mean energy 1, too
        self.built = True

    def call(self, x: Any) -> Any:
        x = ops.cast(x, "float32")
        x = (x - ops.mean(x, (1, 2), keepdims=True)) * self.window
        energy = ops.mean(ops.sum(ops.square(x), -1, keepdims=True), (1, 2), True)
        x = x * ops.rsqrt(energy + _LEAST)
        x = ops.einsum("bhwc,kpw->bhkpc", x, self.across)
        return ops.einsum("bhkpc,gqhp->bgkqc", x, self.down)

    def compute_output_shape(self, shape: tuple) -> tuple:
        batch, side, _, channels = shape
        return batch, side, side // 2 + 1, 2, channels

    def compute_output_spec(self, x: Any) -> Any:
        return keras.KerasTensor(self.compute_output_shape(x.shape), "float32")


def _over_channels(x):
    """The sum over the last axis, kept: as a product, which TFLite does far faster."""
    return ops.matmul(x, np.ones((x.shape[-1], 1), "float32"))


@keras.saving.register_keras_serializable("hh_keras")
class Fit(keras.Layer):
    """The filter of an exemplar, in frequencies, of its `Spectrum` and as large.

    Args:
        sigma: of the Gaussian that is wanted of the exemplar, in cells.
        ridge: λ, in parts of the mean energy of a frequency.
    """

    def __init__(self, sigma: float, ridge: float = 1e-3, **settings: Any):
        super().__init__(**settings)
        self.sigma, self.ridge = sigma, ridge

    def build(self, shape: tuple) -> None:
        side = shape[1]
        across, down = spectrum.forward(side)
        wanted = spectrum.bump(side, self.sigma)
        wanted = (wanted @ across.transpose(1, 2, 0)).transpose(1, 2, 0)  # h, k, p
        wanted = ops.convert_to_numpy(ops.einsum("hkp,gqhp->gkq", wanted, down))
        # Y X*, whose conjugate the filter is, of pairs (a, b) and of their flip (b, a).
        real, imaginary = wanted[..., :1, None], wanted[..., 1:, None]
        self.own, self.flipped = np.concatenate([real, -real], 2), imaginary
        self.built = True

    def call(self, x: Any) -> Any:
        found = x * self.own + ops.flip(x, -2) * self.flipped
        energies = ops.sum(_over_channels(x * x), -2, keepdims=True)
        # By logarithms: in int8 an energy may be 0, which integers do not divide by.
        return found * ops.exp(-ops.log(energies + self.ridge))

    def compute_output_shape(self, shape: tuple) -> tuple:
        return shape

    def compute_output_spec(self, x: Any) -> Any:
        return keras.KerasTensor(x.shape, "float32")

    def get_config(self) -> dict:
        return {**super().get_config(), "sigma": self.sigma, "ridge": self.ridge}


@keras.saving.register_keras_serializable("hh_keras")
class Match(keras.Layer):
    """How a filter answers to a search image: about 1 where the target is.

    Of a `Spectrum` and a `Fit`: maps `(batch, size, size, 1)`.

    Args:
        size: places a side.
    """

    def __init__(self, size: int, **settings: Any):
        super().__init__(**settings)
        self.size = size

    def build(self, shapes: list) -> None:
        down, self.across = spectrum.backward(shapes[0][1], self.size)
        real, imaginary = down[..., :1], down[..., 1:]
        # Of ac, bd, ad, bc, the real part is the first less the second, and so on.
        self.down = np.concatenate([real, -real, imaginary, imaginary], -1)
        self.built = True

    def call(self, inputs: list) -> Any:
        x, found = inputs
        products = [
            _over_channels(x * each)[..., 0] for each in (found, ops.flip(found, -2))
        ]
        answer = ops.concatenate(products, -1)
        answer = ops.einsum("bgkq,ypgq->bykp", answer, self.down)
        return ops.einsum("bykp,xkp->byx", answer, self.across)[..., None]

    def compute_output_spec(self, inputs: list) -> Any:
        shape = (inputs[0].shape[0], self.size, self.size, 1)
        return keras.KerasTensor(shape, "float32")

    def get_config(self) -> dict:
        return {**super().get_config(), "size": self.size}


@register_rule(Spectrum)
def _spectrum(layer: Spectrum, call: RuleCall) -> Effect:
    ids = call.along(call.x, -1)
    side, half = call.shape[1:3]
    each = side * side * half * 2 + side * half * side * 4
    output = call.produced(ids)
    return Effect(output, contracts=((0, 3, ids),), products=((each, (ids,)),))


@register_rule(Fit)
def _fit(layer: Fit, call: RuleCall) -> Effect:
    ids = call.along(call.x, -1)
    each = 6 * call.shape[1] * call.shape[2]
    return Effect(
        call.produced(ids), contracts=((0, 4, ids),), products=((each, (ids,)),)
    )


@register_rule(Match)
def _match(layer: Match, call: RuleCall) -> Effect:
    x, found = call.inputs
    ids = call.along(x, -1)
    call.tie(ids, call.along(found, -1))
    side, half = x.shape[1:3]
    back = layer.size * half * side * 4 + layer.size**2 * half * 2
    return Effect(
        call.fixed(call.shape, "sum over channels"),
        contracts=((0, 4, ids),),
        products=((4 * side * half, (ids,)), (back, ())),
    )
