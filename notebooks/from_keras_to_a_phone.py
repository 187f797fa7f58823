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
# # From Keras to a phone
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/)
#
# A network becomes smaller, then a `.tflite` file; each step is checked and timed.
#
# It runs in a clone after `pip install .`; in Colab run `!pip install git+ADDRESS` first, of the
# repository (nothing is on PyPI yet).

# %%
import keras

import hh_keras
from hh_keras import export

# %% [markdown]
# ## A network, and half of it
#
# Fresh weights here: what is shown is what files cost and whether they agree.

# %%
keras.utils.set_random_seed(0)
model = hh_keras.models.build("mobilenetv2_small", (64, 64, 3), 10)
before = hh_keras.cost(model)
found = hh_keras.shrink(model, budget=hh_keras.Budget(macs=0.5 * before.macs))
small = found.model
f"{found.cost_after.macs / before.macs:.2f}x the multiply-accumulates"

# %% [markdown]
# ## Files
#
# float32 says what Keras says; int8 rounds, and needs images to learn the ranges from.

# %%
import numpy as np

images = np.random.default_rng(0).uniform(0, 255, (64, 64, 64, 3)).astype("float32")
export.tflite(model, "original.tflite")
export.tflite(small, "small.tflite")
export.tflite(small, "small.int8.tflite", quantize="int8", representative=images)
for name in ("small.tflite", "small.int8.tflite"):
    told = export.parity(small, name, images)
    print(f"{name}: {told.relative:.1e} of the outputs' spread")

# %% [markdown]
# ## How long they take
#
# In turns, so that the ratios hold on a busy machine too; one thread, as on a phone.

# %%
names = ["original.tflite", "small.tflite", "small.int8.tflite"]
for name, took in zip(names, export.latencies(names, runs=30, seconds=1)):
    print(f"{name:18}  {took.median_ms:6.2f} ms  {took.ratio:.2f}x")

# %% [markdown]
# ## A budget in milliseconds
#
# Multiply-accumulates say little about time. A table of how long layers take, here or on
# the phone (`launch/latency.py`), makes latency itself the limit. Here the result is run
# beside the original, and the search repeated, a few times at most, until what is measured
# is within 2 % of the target, on either side.

# %%
tiny = hh_keras.models.build("resnet8", (32, 32, 3), 10)
table = hh_keras.latency.measure([tiny], rounds=5)
whole = hh_keras.latency.predict_latency(tiny, table)
limit = hh_keras.Budget(latency_ms=0.6 * whole, latency_table=table)
quick = hh_keras.shrink(tiny, budget=limit)
{name: round(ms, 3) for name, ms in quick.latency.items()}

# %% [markdown]
# ## In the app
#
# Kotlin, Swift and browsers: `deploy/tflite`. Every file carries its labels and says what
# it takes.

# %%
export.input_shape("small.tflite")
