"""What is none of what a function takes is named in one line, with what to do."""

import keras
import numpy as np
import pytest

import hh_keras as hh

HALF = hh.Budget(macs=1e9)


@pytest.fixture(scope="module")
def model():
    i = keras.Input((4,))
    return keras.Model(i, keras.layers.Dense(2)(keras.layers.Dense(8)(i)))


CALLS = {
    "a share is no budget": (lambda m: hh.shrink(m, budget=0.5), "0.5 [*] hh_keras.c"),
    "nor for a choice": (
        lambda m: hh.select_channels(hh.trace(m), np.ones(14), 0.5),
        "expected a hh_keras.Budget",
    ),
    "a model is no map": (
        lambda m: hh.select_channels(m, np.ones(14), HALF),
        "hh_keras.trace",
    ),
    "a path is no plan": (lambda m: hh.mask(m, "plan.json"), "hh_keras.Plan.load"),
    "a dict is no plan": (lambda m: hh.rebuild(m, {}), "expected a hh_keras.Plan"),
}
PATHS = {
    "shrink": lambda x: hh.shrink(x, budget=HALF),
    "inline": hh.inline,
    "opening": hh.opening,
    "trace": hh.trace,
    "cost": hh.cost,
    "widen": lambda x: hh.widen(x, 2),
    "add_scales": hh.add_scales,
}


@pytest.mark.parametrize("name", CALLS)
def test_it_is_named(model, name):
    call, match = CALLS[name]
    with pytest.raises(hh.HHError, match=match) as error:
        call(model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", PATHS)
def test_no_model_is_named(name):
    with pytest.raises(hh.ModelError, match="load_model"):
        PATHS[name]("small.keras")
    with pytest.raises(hh.ModelError, match="expected a keras.Model, got builtins"):
        PATHS[name](None)
