"""Networks of several outputs train like those of one, and as `model.fit` does."""

import types

import keras
import numpy as np
import pytest

from hh_keras.errors import HHError, ModelError
from hh_keras.goal import number
from hh_keras.tasks import from_compiled
from hh_keras.training import Recipe, Task, recover, strategy, train
from hh_keras.training.losses import losses
from hh_keras.training.objective import objective
from tests.two_answers import LOSSES, WEIGHTS, batches, both, task, two_answers

METRICS = {"metrics": {"kind": ["accuracy"]}, "weighted_metrics": {"light": ["mae"]}}
AS_FIT = Recipe(
    epochs=2,
    batch_size=8,
    learning_rate=0.05,
    schedule="constant",
    warmup_epochs=0,
    weight_decay=0.0,
)


def by_kind(kind, values):
    """Values by output as `model.compile` takes them: a dict, or a list in order."""
    return values if kind == "dict" else [values.get("light"), values.get("kind")]


def compiled(kind):
    model = two_answers(kind)
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        loss=by_kind(kind, LOSSES),
        loss_weights=by_kind(kind, {"kind": 1.0, **WEIGHTS}),
        **METRICS,
    )
    return model


def assert_same(one, two, tolerance=0.0):
    for mine, its in zip(one.variables, two.variables, strict=True):
        np.testing.assert_allclose(mine, its, atol=tolerance, err_msg=mine.path)


@pytest.mark.parametrize("kind, weights", [("dict", "each"), ("list", "one")])
def test_what_a_model_was_compiled_with_trains_as_fit_does(kind, weights):
    data = batches(kind, weights, examples=32)  # Keras' metrics of losses are per batch
    model = compiled(kind)
    task = from_compiled(model, goal="kind_accuracy")
    assert task.choices == ("kind",) and not task.goal.lower
    trained = train(two_answers(kind), data, AS_FIT, task=task)
    its = model.fit(
        data.train, epochs=2, validation_data=data.validation, shuffle=False, verbose=0
    ).history
    assert_same(trained.model, model, 1e-6)
    for name in its:
        mine = [row[name] for row in trained.history]
        assert mine == pytest.approx(its[name], abs=2e-5), name
    scores = task.evaluate(trained.model, data.validation)
    for name, value in scores.items():
        assert value == pytest.approx(trained.history[-1][f"val_{name}"], abs=2e-5)


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if batch == 3:
            raise KeyboardInterrupt


def test_it_goes_on_where_it_was(tmp_path):
    data, learnt = batches("dict", "each"), task(**METRICS)
    settings = {"workdir": tmp_path, "checkpoint_steps": 2, "task": learnt}
    with pytest.raises(KeyboardInterrupt):
        train(two_answers(), data, AS_FIT, callbacks=[Interrupt()], **settings)
    resumed = train(two_answers(), data, AS_FIT, **settings)
    whole = train(two_answers(), data, AS_FIT, task=learnt)
    assert_same(resumed.model, whole.model)
    for mine, its in zip(resumed.history, whole.history):
        del mine["seconds"], its["seconds"]
        assert mine == its


@pytest.mark.parametrize("kind, weights", [("dict", "each"), ("list", "one")])
def test_two_replicas_train_as_one_device(kind, weights):
    data = batches(kind, weights, batch_size=12)  # the last has 1
    learnt = task(**METRICS)
    one = train(two_answers(kind), data, AS_FIT, strategy("default"), task=learnt)
    two = train(
        lambda: two_answers(kind), data, AS_FIT, strategy("mirrored", 2), task=learnt
    )
    assert two.model.distribute_strategy.num_replicas_in_sync == 2
    assert_same(one.model, two.model, 1e-5)
    for mine, its in zip(one.history, two.history, strict=True):
        assert set(mine) == set(its)
        for name in set(mine) - {"seconds"}:
            assert mine[name] == pytest.approx(its[name], abs=2e-5), name


@pytest.mark.core
def test_every_example_counts_the_same():
    """Keras weighs a last, smaller batch as much as the others in NAME_loss."""
    data, model = batches("dict"), two_answers()
    scores = task(measures={}).evaluate(model, data.validation)
    images, labels = next(iter(batches("dict", batch_size=37).train))
    values = both(labels, model(images))
    for name, each in values.items():
        assert scores[f"{name}_loss"] == pytest.approx(np.mean(each), rel=1e-5)
    total = scores["kind_loss"] + 2 * scores["light_loss"]
    assert scores["loss"] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("distill", ["kd", "sp", "match"])
def test_a_teacher_of_several_outputs(distill):
    model, teacher = two_answers(seed=3), two_answers(seed=3)
    recipe = Recipe(distill=distill, feature_weight=0.5 * (distill == "match"))
    images, labels = next(iter(batches("dict").train))
    features, learn = objective(
        recipe, model, teacher, task=task(), images=[images] * (distill == "match")
    )
    outputs = keras.tree.flatten(model(images))
    ends = keras.Model(model.input, features)(images) if features else []
    found = learn(images, labels, [*outputs, *keras.tree.flatten(ends)])["loss"]
    values = both(labels, dict(zip(("kind", "light"), outputs)))
    expected = {  # a network that is its own teacher learns from labels alone
        "kd": 0.6 * values["kind"] + 2 * values["light"],
        "sp": values["kind"] + 2 * values["light"],
        "match": 0.0 * values["kind"],
    }
    np.testing.assert_allclose(found, expected[distill], atol=1e-5)
    other = two_answers(seed=4)
    _, learn = objective(recipe, model, other, task=task(), images=[images])
    if distill != "match":
        found = learn(images, labels, outputs)["loss"]
        assert not np.allclose(found, expected[distill], atol=1e-3)


def test_kd_wants_a_choice():
    model = two_answers()
    with pytest.raises(HHError, match="no output 'kinds'.*outputs are kind, light"):
        objective(Recipe(distill="kd"), model, model, task=task(choices=("kinds",)))


@pytest.mark.filterwarnings("ignore:training model")  # of a busy machine
def test_recovery_of_several_outputs():
    original, small = two_answers(seed=1), two_answers(seed=2)
    images = np.concatenate([x for x, _ in batches().train])
    recipe = Recipe(
        epochs=3, batch_size=8, optimizer="adam", learning_rate=0.01, distill="match"
    )
    done = recover(small, original, images, None, augment=False, recipe=recipe)
    assert done.history[-1]["loss"] < done.history[0]["loss"]
    assert 0 <= done.history[-1]["val_agreement"] <= 1


def test_keras_own_batches():
    class Pairs(keras.utils.PyDataset):
        passes = 0

        def __len__(self):
            return 3

        def __getitem__(self, index):
            rng = np.random.default_rng(index)
            images = rng.uniform(0, 255, (4, 6, 6, 1)).astype("float32")
            return images, [np.ones((4, 1), "float32"), np.full(4, index, "int32")]

        def on_epoch_end(self):
            self.passes += 1

    pairs = Pairs()
    data = types.SimpleNamespace(train=pairs, validation=None)
    done = train(two_answers("list"), data, AS_FIT, task=task())
    assert len(done.history) == 2 and pairs.passes == 2


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"loss": {"kind": "mse"}}, "output 'light' has no loss: give it one, or None"),
        (
            {"loss": {**LOSSES, "lihgt": "mse"}},
            "no output 'lihgt'.*kind, light. Did you mean light",
        ),
        ({"loss": LOSSES, "weights": {"knd": 2.0}}, "no output 'knd'.*mean kind"),
        ({"loss": ["mse"]}, "there are 1 for 2 outputs"),
        ({"loss": lambda y, p: y - p}, "loss=lambda model"),
        ({"loss": "mze"}, "output 'kind': Keras knows no loss 'mze'"),
        (
            {
                "loss": lambda model, label_smoothing=0.0: (
                    lambda y, p: {"kind": p["kind"]}
                )
            },
            "training data: output 'light' has no loss",
        ),
        (
            {"loss": {**LOSSES, "light": lambda y, p: keras.ops.mean(y - p)}},
            "output 'light' is one number for a whole batch",
        ),
        (
            {"loss": {**LOSSES, "light": keras.losses.MeanSquaredError("sum")}},
            "reduction='sum'",
        ),
        (
            {"loss": LOSSES, "metrics": {"kind": [keras.metrics.F1Score()]}},
            "metric",
        ),
        (
            {"loss": LOSSES, "metrics": {"knid": ["accuracy"]}},
            "metrics: the model has no output 'knid'.*Did you mean kind",
        ),
        (
            {"loss": LOSSES, "goal": number("light_mea"), "metrics": {"light": "mae"}},
            "goal is 'light_mea', but no .*Did you mean light_mae",
        ),
    ],
)
def test_losses_that_do_not_fit(settings, message):
    with pytest.raises(HHError, match=message) as caught:
        train(two_answers(), batches(), AS_FIT, task=Task(**settings))
    assert "\n" not in str(caught.value)


def test_metrics_that_learn_their_size_from_a_batch():
    """AUC of several labels makes its variables when it first sees some."""
    several = keras.metrics.AUC(multi_label=True, name="auc")
    judged = task(metrics={"light": [several]}, goal=number("light_auc"))
    row = train(two_answers(), batches(), AS_FIT, task=judged).history[-1]
    assert 0 <= row["val_light_auc"] <= 1


def test_labels_that_do_not_fit():
    data = batches()
    less = data.train.map(lambda x, y: (x, {"kind": y["kind"]}))
    one = data.train.map(lambda x, y: (x, y["kind"]))
    alone = data.train.map(lambda x, y: x)
    for dataset, message in (
        (
            less,
            "training data: the labels lack output 'light': there are some for kind",
        ),
        (one, "labels are 1 tensors, the outputs with a loss 2"),
        (alone, r"batches must be \(images, labels\)"),
    ):
        broken = types.SimpleNamespace(train=dataset, validation=None)
        with pytest.raises(HHError, match=message):
            train(two_answers(), broken, AS_FIT, task=task())
    good = types.SimpleNamespace(train=data.train, validation=less)
    with pytest.raises(HHError, match="validation data: the labels lack"):
        train(two_answers(), good, AS_FIT, task=task())
    only = types.SimpleNamespace(train=less, validation=one)  # labels of kinds suffice
    learnt = Task(loss={**LOSSES, "light": None})
    row = train(two_answers(), only, AS_FIT, task=learnt).history[-1]
    assert row["val_loss"] == row["val_kind_loss"] and "light_loss" not in row


def test_steps_weigh_as_examples_do():
    """Sample weights `(batch,)` of losses `(batch, height, width)`."""
    inputs = keras.Input((4, 5, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs))
    rng = np.random.default_rng(0)
    labels, outputs = rng.normal(size=(2, 3, 4, 5, 2)).astype("float32")
    weights = np.array([0.5, 0.0, 2.0], "float32")
    found = losses("mse", model)(labels, [outputs], weights)["loss"]
    expected = weights * np.square(labels - outputs).mean((1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_a_compilation_does_not_tell():
    with pytest.raises(ModelError, match="not compiled with a loss"):
        from_compiled(two_answers())

    class Own(keras.Model):
        def train_step(self, data):
            return {}

    inputs = keras.Input((2,))
    model = Own(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    with pytest.raises(ModelError, match="train_step of its own"):
        from_compiled(model)
    model = compiled("dict")
    assert from_compiled(model).goal.lower  # the loss
    assert from_compiled(model, goal="light_mae").goal.lower
    with pytest.raises(HHError, match="say lower="):
        from_compiled(model, goal="likeness")
