# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The heterogeneity hypothesis on your data
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/)
#
# Are the widths that a network was published with the best ones for its cost? *The
# Heterogeneity Hypothesis* (CVPR 2021) says no: other widths, found layer by layer, are
# better at the same cost, trained by the same protocol. Here the original and three others of
# at most 0.95x its multiply-accumulates are trained alike, with the controls that such a claim
# needs.
#
# It runs in a clone after `pip install .`; in Colab run `!pip install git+ADDRESS` first, of the
# repository (nothing is on PyPI yet).

# %%
import keras
import matplotlib.pyplot as plt

import hh_keras
from hh_keras.tasks.classification.task import TASK
from hh_keras.training import Recipe, train

# %% [markdown]
# ## Data and network
#
# `"embedded"` are clothes that come with the package; give a folder with `train/CLASS/` and
# `val/CLASS/` for your own. The network is MobileNetV2 of a quarter of its width, whose
# last convolution is as wide as in the full one.


# %%
def data():
    return hh_keras.data.load("embedded", limit=800, batch_size=16)


def build():
    keras.utils.set_random_seed(0)
    return hh_keras.models.build("mobilenetv2_tiny", data().image_shape, 10)


original = build()
whole = hh_keras.cost(original)
limit = hh_keras.Budget(macs=0.95 * whole.macs, params=whole.params)

# %% [markdown]
# ## Four networks
#
# - *original*: as published;
# - *balanced*: the default search, counts that even out what layers cost;
# - *uniform*: all layers narrowed alike;
# - *random*: counts drawn blindly. A search that does not beat these has found nothing.

# %%
networks = {"original": original}
for criterion in ("balanced", "uniform", "random"):
    found = hh_keras.shrink(build(), budget=limit, width=1.5, criterion=criterion)
    networks[criterion] = found.model
for name, network in networks.items():
    cost = hh_keras.cost(network)
    print(f"{name:9} {cost.macs / 1e6:.2f} M MACs, {cost.params:,} parameters")

# %%
counts = {
    name: [layer.filters for layer in network.layers if hasattr(layer, "filters")]
    for name, network in networks.items()
}
plt.axhline(1, color="lightgrey", linewidth=6, label="original")
for name, marker in zip(("balanced", "uniform", "random"), "osx"):
    ratios = [n / of for n, of in zip(counts[name], counts["original"])]
    plt.plot(ratios, marker=marker, markersize=4, linewidth=1, label=name)
plt.xlabel("convolution, from the first to the last")
plt.ylabel("filters, times the original's")
plt.legend()
plt.show()

# %% [markdown]
# ## The same protocol for all
#
# Three epochs on 800 images and one seed: enough to see it run, far too little to
# conclude anything: of 800 validation images three points more or less are chance. (Batches
# are small because the statistics that BatchNormalization predicts with need a hundred steps
# or so to follow.) For a conclusion take five seeds and enough epochs, and choose nothing by
# the data that you report; `benchmarks/heterogeneity.md` is such a study.

# %%
recipe = Recipe(epochs=3, batch_size=16, learning_rate=0.03, warmup_epochs=0.5)
accuracy = {}
for name, network in networks.items():
    rows = train(network, data(), recipe, name=name, task=TASK).history
    accuracy[name] = rows[-1]["val_accuracy"]

# %%
plt.barh(list(accuracy), list(accuracy.values()))
plt.xlabel("validation accuracy, one seed")
plt.show()
