"""What a search found, as it is printed."""

import keras
import numpy as np

import hh_keras as hh


def found(**settings):
    i = keras.Input((6, 8), name="words")
    x = keras.layers.Dense(16, name="made")(i)
    x = x + keras.layers.MultiHeadAttention(4, 4, name="heads")(x, x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(i, keras.layers.Dense(3, name="logits")(x))
    budget = hh.Budget(macs=0.6 * hh.cost(model).macs)
    return hh.shrink(model, budget=budget, verbose=0, **settings)


def cells(text):
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()}


def test_counts_are_given_widened_and_left():
    result = found(width=2)
    rows = cells(str(result))
    assert rows["layer"][:3] == ["original", "widened", "left"]
    small = {layer.name: layer for layer in result.model.layers}
    assert rows["made"][:3] == ["16", "32", str(small["made"].units)]
    heads = small["heads"].num_heads
    assert rows["heads.num_heads"] == ["4", "8", str(heads), f"{heads / 4:.0%}"]
    assert f"{result.cost_after.macs:,}" in repr(result)


def test_what_was_not_widened_has_no_such_column():
    rows = cells(str(found(width=1)))
    assert rows["layer"][:2] == ["original", "left"]
    assert rows["logits"] == ["3", "3", "100%"]


def test_plans_are_tables_of_groups_and_short_at_a_prompt():
    plan = found(width=1).plan
    kept = int(np.sum(plan.keep))
    assert repr(plan) == (
        f"Plan({kept} of {len(plan.keep)} channels of {len(plan.sizes)} groups)"
    )
    assert cells(str(plan))["logits"] == ["3", "3", "100%"]
    assert "<table>" in plan._repr_html_()
