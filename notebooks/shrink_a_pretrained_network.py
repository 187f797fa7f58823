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
# # Shrink a pretrained network in ten lines
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/)
#
# A trained network, some hundred images without labels, a budget: out comes a network with
# fewer channels that still answers as the large one does, before any training.
#
# It runs in a clone after `pip install .`; in Colab run `!pip install git+ADDRESS` first, of the
# repository (nothing is on PyPI yet).

# %%
import keras
import numpy as np

import hh_keras

# %% [markdown]
# ## A trained network
#
# Any Keras model will do: `keras.applications.MobileNetV2()` with its ImageNet weights, or
# your own file. So that nothing has to be downloaded here, a small one learns clothes
# first; that is the slow part of this page, and not what it is about.

# %%
clothes = hh_keras.data.load("embedded", limit=4000)
keras.utils.set_random_seed(0)
model = hh_keras.models.build("resnet8", clothes.image_shape, 10)
model.compile(
    keras.optimizers.Adam(3e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(clothes.train, epochs=4, verbose=2)


# %%
def accuracy(network):
    right = [
        np.mean(np.argmax(network(x, training=False), -1) == y)
        for x, y in clothes.validation.take(16)
    ]
    return f"{np.mean(right):.1%}"


accuracy(model)

# %% [markdown]
# ## Ten lines
#
# No labels are looked at.

# %%
images = hh_keras.data.first_images(clothes.search, 500)
before = hh_keras.cost(model)
found = hh_keras.shrink(
    model,
    budget=hh_keras.Budget(macs=0.6 * before.macs),
    weights="inherit",
    calibration=images,
)
small = found.model
small.save("small.keras")  # loads with keras.models.load_model, without hh_keras

# %% [markdown]
# How much of the outputs is left, on images that were held out, and which layer lost most:

# %%
print(
    f"{found.kept.share:.1%} of the output, {found.kept.agreement:.1%} of the answers"
)
print("least in", found.kept.worst)
accuracy(small)

# %% [markdown]
# ## What was removed

# %%
found

# %%
found.cost_after

# %% [markdown]
# ## Without compensation
#
# The same plan, when the kept weights stay as they were, as most tools leave them:

# %%
cut = hh_keras.rebuild(model, found.plan)
accuracy(cut)

# %% [markdown]
# ## Several sizes to choose from

# %%
for each in hh_keras.sweep(model, shares=(0.8, 0.6, 0.4), calibration=images):
    macs = each.cost_after.macs / before.macs
    print(
        f"{macs:.2f}x  {each.kept.agreement:.1%} same answers  {accuracy(each.model)}"
    )

# %% [markdown]
# ## Recovery
#
# Where that is not enough, the original teaches the small one, still without labels. Half a
# minute here; ten minutes are usual.

# %%
trained = hh_keras.recover(small, model, images, minutes=0.5, augment=False)
accuracy(trained.model)
