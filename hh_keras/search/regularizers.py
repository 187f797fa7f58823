"""Sparsity of the channel scales: weighted L1, and its proximal form."""

from typing import Any

import keras
import numpy as np

from hh_keras.errors import ModelError
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.cost_model import cost_model
from hh_keras.surgery.channel_scale import scale_layer


def channel_costs(channel_map: ChannelMap) -> np.ndarray:
    """MACs that each channel costs, relative to the mean; float `(size,)`.

    Raises:
        ModelError: the size of the model's input is unknown.

    Examples:
        >>> costs = hh_keras.channel_costs(channels)
        >>> costs.shape
        (45,)
        >>> [round(float(costs[ids[0]]), 2) for ids in channels.outputs.values()]
        [1.17, 0.83, 0.83, 0.0]
    """
    marginal = cost_model(channel_map).marginal()
    if np.isnan(marginal).any():
        raise ModelError(
            f"what channels of '{channel_map.model_name}' cost depends on its input "
            "size: trace it with input_shape=(height, width, channels)."
        )
    sizes = [len(g) for g in channel_map.groups]
    costs = np.repeat(marginal, sizes) * channel_map.removable
    mean = costs[costs > 0].mean() if (costs > 0).any() else 1.0
    return costs / mean


@keras.saving.register_keras_serializable("hh_keras")
class ChannelSparsity(keras.regularizers.Regularizer):
    """L1 penalty on channel scales, weighted by what a channel costs.

    loss = strength · Σ_c cost_c · |γ_c|. In the proximal form the penalty is no part
    of the loss; instead each training step ends with the soft threshold
    γ ← sign(γ) · max(|γ| − lr · strength · cost, 0), which makes exact zeros.

    Args:
        strength: weight of the penalty.
        costs: float `(size,)`, see `channel_costs`; None weighs all alike.
        proximal: use the soft threshold. Then call `attach_proximal(model)` after
            `model.compile`, so that it follows the optimiser's learning rate.

    Examples:
        >>> costs = hh_keras.channel_costs(channels)
        >>> sparsity = hh_keras.ChannelSparsity(1e-3, costs)
        >>> scaled = hh_keras.add_scales(model, channels, sparsity)
        >>> len(scaled.losses)  # Keras adds it to what is minimised
        1
    """

    def __init__(
        self, strength: Any = 1e-4, costs: Any = None, proximal: Any = False
    ) -> None:
        self.strength = float(strength)
        self.costs = None if costs is None else np.asarray(costs, "float32")
        self.proximal = proximal
        self.constraint = SoftThreshold(strength, costs) if proximal else None

    def __call__(self, x: Any) -> Any:
        if self.proximal:
            return keras.ops.zeros((), x.dtype)
        size = keras.ops.absolute(x)
        if self.costs is not None:
            size = size * keras.ops.convert_to_tensor(self.costs, x.dtype)
        return self.strength * keras.ops.sum(size)

    def get_config(self) -> dict:
        costs = None if self.costs is None else self.costs.tolist()
        return {"strength": self.strength, "costs": costs, "proximal": self.proximal}


@keras.saving.register_keras_serializable("hh_keras")
class SoftThreshold(keras.constraints.Constraint):
    """The proximal step of a weighted L1 penalty, applied after each update."""

    def __init__(self, strength: Any, costs: Any = None) -> None:
        self.strength = float(strength)
        self.costs = None if costs is None else np.asarray(costs, "float32")
        self.optimizer = None

    def __call__(self, x: Any) -> Any:
        if self.optimizer is None:
            raise ValueError(
                "the proximal ChannelSparsity does not know the learning rate: call "
                "hh_keras.attach_proximal(model) after model.compile."
            )
        threshold = self.strength * keras.ops.cast(
            self.optimizer.learning_rate, x.dtype
        )
        if self.costs is not None:
            threshold = threshold * keras.ops.convert_to_tensor(self.costs, x.dtype)
        return keras.ops.sign(x) * keras.ops.maximum(
            keras.ops.absolute(x) - threshold, 0.0
        )

    def get_config(self) -> dict:
        costs = None if self.costs is None else self.costs.tolist()
        return {"strength": self.strength, "costs": costs}


def attach_proximal(model: keras.Model) -> None:
    """Ties the soft threshold of a compiled model's scales to its optimiser.

    Raises:
        ModelError: no scales with a proximal `ChannelSparsity`, or not compiled.

    Examples:
        >>> sparsity = hh_keras.ChannelSparsity(0.1, proximal=True)
        >>> scaled = hh_keras.add_scales(model, channels, sparsity)
        >>> scaled.compile(keras.optimizers.SGD(1.0), loss)
        >>> hh_keras.attach_proximal(scaled)
        >>> _ = scaled.fit(images, labels, verbose=0)
        >>> bool((scaled.get_layer("channel_scale").gamma.numpy() < 1).any())
        True
    """
    scales = scale_layer(model)
    constraint = scales and scales.gamma.constraint
    if not isinstance(constraint, SoftThreshold):
        raise ModelError(
            f"attach_proximal: the scales of '{model.name}' have no soft threshold; "
            "add them with ChannelSparsity(..., proximal=True)."
        )
    if model.optimizer is None:
        raise ModelError(f"attach_proximal: compile '{model.name}' first.")
    constraint.optimizer = model.optimizer
