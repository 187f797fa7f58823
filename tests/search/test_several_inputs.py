"""Networks of several images are searched and shrunk like those of one."""

import numpy as np
import pytest

import hh_keras as hh
from hh_keras.search.sparse import train_scales
from hh_keras.training import Recipe
from tests.siamese import TASK, loss, pairs, siamese, train


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("criterion", ["gradient", "taylor", "fisher", "obs"])
def test_channels_are_scored(nested, criterion):
    model = siamese(nested=nested)
    scores = hh.score_channels(model, pairs().search, loss, criterion, batches=2)
    assert np.isfinite(scores).all() and np.ptp(scores) > 0


@pytest.mark.parametrize("nested, labelled", [(False, True), (True, False)])
def test_weights_are_inherited(nested, labelled):
    model, data = siamese(8, nested, True), pairs(120, 20)
    gentle = {"optimizer": "adam", "weight_decay": 0.0}
    recipe = Recipe(epochs=5, batch_size=20, learning_rate=0.01, **gentle)
    assert train(model, data, recipe).history[-1]["val_accuracy"] > 0.9
    found = hh.shrink(
        model,
        data.search,
        loss,
        hh.Budget(macs=0.6 * hh.cost(model).macs),
        weights="inherit",
        round_to=1,
        calibration=data.search if labelled else data.search.map(lambda x, y: x),
    )
    assert hh.cost(found.model).macs < 0.6 * hh.cost(model).macs
    assert found.kept.share > 0.6 and found.kept.agreement > 0.9
    recipe = Recipe(epochs=1, batch_size=20, learning_rate=1e-4, **gentle)
    rows = train(found.model, data, recipe, never_worse=True).history
    assert rows[-1]["val_accuracy"] > 0.9


def test_scales_are_trained():
    recipe = Recipe(epochs=2, batch_size=8, optimizer="adam", learning_rate=0.01)
    scaled, rows = train_scales(siamese(), pairs(), recipe, 20.0, task=TASK)
    assert rows[-1]["zeros"] > 0
    assert np.isfinite(hh.score_channels(scaled, criterion="magnitude")).all()
