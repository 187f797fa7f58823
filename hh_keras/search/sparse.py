"""Sparse search: in training, the scales of channels that do not matter become zero."""

import dataclasses
from typing import Any

import keras
import numpy as np

from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.cost_model import cost_model
from hh_keras.graph.opening.inline import ordinary
from hh_keras.graph.tracing import trace
from hh_keras.report import png
from hh_keras.report.channels import plot_left
from hh_keras.search.regularizers import (
    ChannelSparsity,
    attach_proximal,
    channel_costs,
)
from hh_keras.surgery.channel_scale import scale_layer
from hh_keras.surgery.scales import add_scales
from hh_keras.training import train
from hh_keras.training.fit import steps_per_epoch
from hh_keras.training.optimizers import schedule_of
from hh_keras.training.tensorboard import TensorBoard


def train_scales(
    model: keras.Model,
    data: Any,
    recipe: Any,
    strength: float | None = None,
    budget: Any = None,
    tensorboard: Any = None,
    **settings: Any,
) -> tuple:
    """Trains a network with a scale per channel, under a penalty on the scales.

    The penalty is L1, weighted by what a channel costs, as a soft threshold behind
    every step (see `ChannelSparsity`): scales become exactly zero. After every epoch
    the network that is left without their channels is costed.

    Args:
        model: the wide network; it is not changed.
        data, recipe: as for `hh_keras.training.train`. At the `image_shape` of the
            data, costs are counted.
        strength: of the penalty; a scale loses at most this, times the learning rate
            and the relative cost of its channel, per step. None: what takes a scale of
            a channel of mean cost, which the loss does not hold, to zero in half of
            the steps. (The paper's code has 1e-4, for trainings a hundred times as
            long.)
        budget: a `Budget`; once the network that is left fits it, training ends.
        tensorboard: a folder for TensorBoard's files: curves, a histogram of the
            scales of every group, and a picture of the channels that are left.
        **settings: of `hh_keras.training.train`.

    Returns:
        `(scaled, history)`: the trained network with scales, to be scored by
        "magnitude", and rows as of `train`, with macs, params and zeros (share of
        the removable channels) besides.

    Raises:
        What `train` raises.

    Reference: Liu et al., Network Slimming, arXiv:1708.06519; proximal form as in
    DHP, arXiv:2003.13683.
    """
    model = ordinary(model)
    channel_map = trace(model, getattr(data, "image_shape", None))
    if strength is None:
        strength = 2 / _sum_of_rates(recipe, steps_per_epoch(data.train))
    with model.distribute_strategy.scope():
        sparsity = ChannelSparsity(strength, channel_costs(channel_map), proximal=True)
        scaled = add_scales(model, channel_map, sparsity)
    # Latency is not followed while training: such a search goes on to its end.
    stops = budget and budget.latency_ms is None
    limits = budget.limits if stops else (-1, -1)
    falling = Falling(channel_map, scaled)
    callbacks = [falling, *settings.pop("callbacks", ())]
    if tensorboard:
        board = TensorBoard(tensorboard, falling.scales, falling.pictures)
        callbacks.append(board)
    trained = train(
        scaled,
        data,
        dataclasses.replace(recipe, patience=0),
        callbacks=callbacks,
        until=lambda rows: fits(rows[-1], limits),
        **settings,
    )
    return trained.model, trained.history


def _sum_of_rates(recipe, steps):
    """The learning rates of all steps of a training, added up."""
    schedule = schedule_of(recipe, steps)
    rates = schedule(np.arange(recipe.epochs * steps, dtype="float32"))
    return float(np.sum(rates))


def fits(row: dict, limits: tuple) -> bool:
    """Whether the network that was left after an epoch is within `(macs, params)`."""
    return row["macs"] <= limits[0] and row["params"] <= limits[1]


def surviving(channel_map: ChannelMap, gamma: Any) -> np.ndarray:
    """Channels left in every group if those with scale zero go, int `(groups,)`.

    One channel of a group always stays.
    """
    kept = (np.asarray(gamma) != 0) | ~channel_map.removable
    return np.array([max(1, kept[group.ids].sum()) for group in channel_map.groups])


class Falling(keras.callbacks.Callback):
    """Ties the soft threshold to the optimiser and costs what is left."""

    def __init__(self, channel_map: Any, scaled: Any) -> None:
        super().__init__()
        self.channel_map, self.gamma = channel_map, scale_layer(scaled).gamma
        self.cost = cost_model(channel_map)

    def on_train_begin(self, logs: dict | None = None) -> None:
        attach_proximal(self.model)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        gamma = keras.ops.convert_to_numpy(self.gamma)
        macs, params = self.cost(surviving(self.channel_map, gamma))
        zeros = (gamma[self.channel_map.removable] == 0).mean()
        logs.update(macs=macs, params=params, zeros=zeros)

    def scales(self) -> dict:
        """Group → its scales."""
        gamma = np.abs(keras.ops.convert_to_numpy(self.gamma))
        groups = [g for g in self.channel_map.groups if not g.frozen]
        return {f"scales/{group.name}": gamma[group.ids] for group in groups}

    def pictures(self) -> dict:
        """The channels of every group, and how many of them are left."""
        gamma = keras.ops.convert_to_numpy(self.gamma)
        sizes = [len(group) for group in self.channel_map.groups]
        names = [group.name for group in self.channel_map.groups]
        left = surviving(self.channel_map, gamma)
        return {"channels left": png(plot_left(names, sizes, left.tolist()))}
