import dataclasses

import pytest

from hh_keras.errors import HHError
from hh_keras.training import Recipe


def test_json_round_trip():
    recipe = Recipe(epochs=7, learning_rate=0.05, schedule="step", warmup_epochs=0.5)
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_recipe_is_frozen_and_hashable():
    assert hash(Recipe()) == hash(Recipe())
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().epochs = 3


@pytest.mark.parametrize(
    "field, value",
    [
        ("epochs", 0),
        ("epochs", 1.5),
        ("epochs", True),
        ("batch_size", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", "0.1"),
        ("momentum", 1.0),
        ("nesterov", 1),
        ("weight_decay", -1e-4),
        ("label_smoothing", 1.0),
        ("schedule", "cosinus"),
        ("warmup_epochs", -1),
        ("augment", ""),
        ("seed", -1),
    ],
)
def test_bad_field_is_named(field, value):
    with pytest.raises(HHError, match=field):
        Recipe(**{field: value})


def test_warmup_longer_than_training():
    with pytest.raises(HHError, match="warmup_epochs"):
        Recipe(epochs=2, warmup_epochs=3)


@pytest.mark.parametrize("text", ["{", "[1]", '{"epoch": 3}', '{"epochs": "3"}'])
def test_bad_json(text):
    with pytest.raises(HHError, match="recipe"):
        Recipe.from_json(text)
