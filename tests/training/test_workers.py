"""Two processes that train together train what one trains, and decide the same."""

import contextlib
import functools
import json
import pathlib
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras.training import Recipe
from hh_keras.training import train as hh_train
from tests.classifiers import train
from tests.training import test_replicas as models
from tests.two_answers import batches, task, two_answers

RECIPES = {
    "plain": Recipe(epochs=2, batch_size=8, clip_norm=0.05),
    "normalised": Recipe(epochs=2, batch_size=8, sync_batch_norm=True, ema=0.8),
}


def search():
    """A search by gradients; run by each worker, and by one device."""
    model = models.network(normalised=True)
    cost = hh.cost(model)
    return hh.shrink(
        model,
        models.images().train,
        "sparse_categorical_crossentropy",
        hh.Budget(macs=cost.macs, params=cost.params),
        batches=3,
    )


def inherit():
    """A search that learns from inputs, and a network that inherits weights."""
    model = models.network(normalised=True)
    budget = hh.Budget(macs=0.6 * hh.cost(model).macs)
    images = np.concatenate([x for x, _ in models.images().train.as_numpy_iterator()])
    return hh.shrink(
        model,
        budget=budget,
        width=1,
        weights="inherit",
        calibration=[images[k : k + 5] for k in range(0, len(images), 5)],
    )


def answers(together=None, folder=None):
    """A network of two outputs, with sample weights and metrics that have states."""
    return hh_train(
        lambda: two_answers(),
        batches(weights="each"),
        Recipe(epochs=2, batch_size=8),
        together,
        folder,
        "answers",
        task=task(
            metrics={"kind": [keras.metrics.SparseCategoricalAccuracy("right")]},
            weighted_metrics={"light": ["mae"]},
        ),
    )


@functools.cache
def alone(find):
    """What one process finds, on one device."""
    return find()


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [str(each.getsockname()[1]) for each in sockets]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    script, ports = pathlib.Path(__file__).with_name("worker.py"), free_ports(2)
    started = [
        subprocess.Popen(
            [sys.executable, script, str(k), *ports, folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in range(2)
    ]
    try:
        done = [process.communicate(timeout=240) for process in started]
    finally:
        for process in started:
            process.kill()
    for process, (_, errors) in zip(started, done):
        assert process.returncode == 0, errors[-3000:]
    assert "epoch 2/2" in done[0][0] and "epoch" not in done[1][0]
    return folder


@pytest.mark.parametrize("name", list(RECIPES))
def test_workers_agree_with_each_other_and_with_one_process(folder, name):
    first, second = (np.load(folder / f"{name}-{k}.npz") for k in range(2))
    recipe = RECIPES[name]
    one = train(models.network(recipe.sync_batch_norm), models.images(), recipe)
    for key, variable in zip(first.files, one.model.variables, strict=True):
        np.testing.assert_array_equal(first[key], second[key])
        np.testing.assert_allclose(first[key], variable, atol=2e-5)
    theirs = [json.loads((folder / f"{name}-{k}.json").read_text()) for k in range(2)]
    for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
        both = [[row[key] for row in rows] for rows in theirs]
        assert both[0] == both[1]
        assert both[0] == pytest.approx([r[key] for r in one.history], abs=2e-5)
    assert len(list((folder / "checkpoints").glob(f"{name}-*.npz"))) == 2


def test_workers_agree_on_several_outputs(folder):
    first, second = (np.load(folder / f"answers-{k}.npz") for k in range(2))
    one = alone(answers)
    for key, variable in zip(first.files, one.model.variables, strict=True):
        np.testing.assert_array_equal(first[key], second[key])
        np.testing.assert_allclose(first[key], variable, atol=2e-5)
    theirs = [json.loads((folder / f"answers-{k}.json").read_text()) for k in range(2)]
    for row, other, its in zip(*theirs, one.history, strict=True):
        assert set(row) == set(other) == set(its)
        for name in set(row) - {"seconds"}:
            assert row[name] == other[name], name
            assert row[name] == pytest.approx(its[name], abs=2e-5), name


def test_workers_find_the_plan_that_one_process_finds(folder):
    found = alone(search)
    for k in range(2):
        np.testing.assert_array_equal(np.load(folder / f"scores-{k}.npy"), found.scores)
        plan = hh.Plan.load(folder / f"plan-{k}.json")
        np.testing.assert_array_equal(plan.keep, found.plan.keep)


def test_workers_inherit_what_one_process_inherits(folder):
    found = alone(inherit)
    for k in range(2):
        plan = hh.Plan.load(folder / f"inherited-{k}.json")
        np.testing.assert_array_equal(plan.keep, found.plan.keep)
        weights = np.load(folder / f"inherited-{k}.npz")
        for key, variable in zip(weights.files, found.model.weights, strict=True):
            np.testing.assert_allclose(weights[key], np.asarray(variable), atol=1e-5)
    first, second = (np.load(folder / f"inherited-{k}.npz") for k in range(2))
    for key in first.files:
        np.testing.assert_array_equal(first[key], second[key])


def test_replicas_inherit_what_one_device_inherits():
    its = alone(inherit)
    with models.two().scope():
        found = inherit()
    np.testing.assert_array_equal(found.plan.keep, its.plan.keep)
    assert found.kept.held_out
    for v, w in zip(found.model.weights, its.model.weights, strict=True):
        np.testing.assert_allclose(np.asarray(v), np.asarray(w), atol=1e-6)
    assert found.kept.share == pytest.approx(its.kept.share, abs=1e-5)


def test_replicas_find_the_plan_that_one_device_finds():
    its = alone(search)
    with models.two().scope():
        found = search()
    np.testing.assert_array_equal(found.scores, its.scores)
    np.testing.assert_array_equal(found.plan.keep, its.plan.keep)
