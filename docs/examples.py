"""What the examples of the reference start from: a network, and a smaller one."""

import keras
import numpy as np

import hh_keras
import hh_keras.data
import hh_keras.export
import hh_keras.latency
import hh_keras.models
import hh_keras.report
import hh_keras.training
from hh_keras.tasks.classification.task import TASK

model = keras.Sequential(
    [
        keras.Input((8, 8, 3), name="image"),
        keras.layers.Conv2D(16, 3, activation="relu", name="conv_1"),
        keras.layers.Conv2D(16, 3, activation="relu", name="conv_2"),
        keras.layers.GlobalAveragePooling2D(name="mean"),
        keras.layers.Dense(10, name="logits"),
    ],
    name="net",
)
images = np.random.uniform(size=(16, 8, 8, 3)).astype("float32")
labels = np.arange(16) % 10
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

channels = hh_keras.trace(model)
scores = hh_keras.score_channels(model, criterion="balanced")
budget = hh_keras.Budget(macs=0.5 * hh_keras.cost(model).macs)
plan = hh_keras.select_channels(channels, scores, budget)
small = hh_keras.rebuild(model, plan)


def described(network, accuracy):
    """What a report is told of a network; the command line does it."""
    cost, convolutions = hh_keras.cost(network), network.layers[:2]
    return {
        "accuracy": accuracy,
        "macs": cost.macs,
        "params": cost.params,
        "layers": [
            {"name": x.name, "type": x.type, "macs": x.macs, "params": x.params}
            for x in cost.layers
        ],
        "channels": {layer.name: layer.filters for layer in convolutions},
    }


networks = {"original": described(model, 0.871), "lw_dna": described(small, 0.868)}
results = {"title": "net on my data", "models": networks}
goal = TASK.goal  # accuracy
