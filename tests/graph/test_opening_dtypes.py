"""Opening classes that compute in another dtype than float32."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import hh_keras as hh
from hh_keras.graph.opening.inline import opening
from tests.graph.test_inline import assert_equal
from tests.surgery.test_invariants import assert_same, random_plan
from tests.zoo import randomize


class Scaled(keras.Model):
    def __init__(self, dtype):
        super().__init__(dtype=dtype)
        self.conv = L.Conv1D(8, 3, dtype=dtype)
        self.norm = L.BatchNormalization(dtype=dtype)
        self.scale = self.add_weight((8,), "ones")
        self.head = L.Dense(3, dtype="float32")

    def call(self, x, training=None):
        y = self.norm(self.conv(x["signal"]), training=training) * self.scale
        return self.head(ops.mean(y, axis=1) * x["gain"])


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_models_with_a_dtype_of_their_own_open(dtype):
    rng = np.random.default_rng(0)
    x = {"signal": rng.normal(size=(2, 9, 4)), "gain": rng.normal(size=(2, 1))}
    x = {k: v.astype("float32") for k, v in x.items()}
    model = Scaled(dtype)
    model(x)
    found = opening(randomize(model), x)
    assert not found.closed
    assert_equal(model, found.model, x)
    assert found.model(x).dtype == model(x).dtype
    plan = random_plan(found.model)
    small = hh.rebuild(found.model, plan)
    assert small.count_params() < model.count_params()
    half = 1e-5 if dtype == "float64" else 2e-2
    assert_same(hh.mask(found.model, plan)(x), small(x), half)
