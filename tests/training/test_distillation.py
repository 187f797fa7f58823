"""Distillation against numpy, and in training."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hh_keras.errors import HHError, ModelError
from hh_keras.tasks.classification.task import TASK
from hh_keras.training import Recipe
from hh_keras.training.distillation import (
    check_teacher,
    feature_pairs,
    kd_loss,
    similarity_loss,
)
from hh_keras.training.features import matches
from hh_keras.training.objective import choices, objective
from tests.classifiers import train
from tests.training import test_replicas as models

L = keras.layers


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.core
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.5, 20), st.integers(2, 9))
def test_kd_is_the_divergence_of_softened_outputs(seed, temperature, classes):
    rng = np.random.default_rng(seed)
    # Shares below 1e-7 would be raised to it.
    student, teacher = rng.normal(0, 3, (2, 4, classes)).clip(-6, 6).astype("float32")
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    expected = temperature**2 * (p * np.log(p / q)).sum(-1)
    found = kd_loss(student, teacher, temperature)
    noise = 1e-6 * (temperature**2 + 1)  # of float32
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=noise)
    by_shares = kd_loss(softmax(student), softmax(teacher), temperature, False, False)
    np.testing.assert_allclose(by_shares, expected, rtol=1e-2, atol=10 * noise)
    same = kd_loss(student, student, temperature)
    np.testing.assert_allclose(same, 0, atol=noise)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_similarities_do_not_depend_on_rotations_and_scale(seed):
    rng = np.random.default_rng(seed)
    student = rng.normal(size=(5, 2, 3)).astype("float32")
    teacher = rng.normal(size=(5, 7)).astype("float32")

    def similarities(a):
        g = a.reshape(5, -1) @ a.reshape(5, -1).T
        return g / np.linalg.norm(g, axis=1, keepdims=True)

    expected = ((similarities(student) - similarities(teacher)) ** 2).mean()
    found = similarity_loss(student, teacher)
    assert float(found) == pytest.approx(expected, rel=1e-4)
    rotation = np.linalg.qr(rng.normal(size=(7, 7)))[0].astype("float32")
    turned = similarity_loss(student, 3 * teacher @ rotation)
    assert float(turned) == pytest.approx(expected, rel=1e-3)


def test_features_that_are_zero_have_a_gradient():
    features = tf.zeros((3, 4))
    with tf.GradientTape() as tape:
        tape.watch(features)
        loss = similarity_loss(features, np.eye(3, 4, dtype="float32"))
    assert np.isfinite(tape.gradient(loss, features)).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-5, 1e-3, 1.0, 1e3]))
def test_gradients_are_finite_whatever_the_scale(seed, scale):
    rng = np.random.default_rng(seed)
    student, teacher = tf.constant(rng.normal(size=(2, 4, 6)) * scale, "float32")
    shares = tf.nn.softmax(1e3 * student), tf.nn.softmax(1e3 * teacher)
    for loss, args in [
        (kd_loss, (student, teacher)),
        (kd_loss, (*shares, 4.0, False, False)),
        (similarity_loss, (student, teacher)),
    ]:
        with tf.GradientTape() as tape:
            tape.watch(args[0])
            value = loss(*args)
        assert (
            np.isfinite(value).all()
            and np.isfinite(tape.gradient(value, args[0])).all()
        )


def test_faint_features_count_as_much_as_strong_ones():
    student, teacher = np.random.default_rng(0).normal(size=(2, 5, 9)).astype("float32")
    expected = float(similarity_loss(student, teacher))
    for scale in (1e-5, 1e-3, 1e4):
        found = float(similarity_loss(scale * student, teacher))
        assert found == pytest.approx(expected, rel=1e-4)
        assert float(similarity_loss(student, student * scale)) < 1e-10


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_losses_are_float32_whatever_comes_in(dtype):
    student, teacher = np.random.default_rng(0).normal(size=(2, 5, 9))
    half = [tf.cast(tf.constant(x), dtype) for x in (student, teacher)]
    for loss in (kd_loss, similarity_loss):
        found = tf.function(loss)(*half)
        assert found.dtype == tf.float32
        exact = loss(*(tf.cast(x, tf.float32) for x in half))
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-6)
    # 300² does not fit into float16.
    assert np.isfinite(similarity_loss(half[0] * 300, half[1]))


def values(model, name):
    """What a layer found by name puts out within the model."""
    tensor = feature_pairs(model, model, [name])[0][0]
    return keras.Model(model.inputs, tensor).predict_on_batch(np.ones((2, 8, 8, 1)))


def test_layers_that_other_models_share_or_hold():
    conv, inputs = L.Conv2D(4, 3, name="conv"), keras.Input((8, 8, 1))
    pooled = L.GlobalAveragePooling2D(name="pool")(conv(inputs))
    body = keras.Model(inputs, pooled, name="body")
    inputs = keras.Input((8, 8, 1))
    holds = keras.Model(inputs, L.Dense(3)(body(inputs)))
    assert values(holds, "body").shape == (2, 4)
    inputs = keras.Input((8, 8, 1))
    shares = keras.Model(inputs, L.Dense(3)(L.Flatten()(conv(2 * inputs))))
    expected = conv(2 * np.ones((2, 8, 8, 1)))
    np.testing.assert_allclose(values(shares, "conv"), expected, rtol=1e-5, atol=1e-6)
    chain = keras.Sequential([keras.Input((8, 8, 1)), L.Flatten(name="flat")])
    assert values(chain, "flat").shape == (2, 64)
    with pytest.raises(ModelError, match="no layer 'body/conv'.*body"):
        feature_pairs(holds, holds, ["body/conv"])


def test_layers_are_found_by_name():
    student, teacher = models.network(), models.network()
    names = [layer.name for layer in student.layers]
    pairs = feature_pairs(student, teacher, [f"{names[2]}={teacher.layers[3].name}"])
    assert pairs[0][0] is student.layers[2].output
    assert pairs[0][1] is teacher.layers[3].output
    with pytest.raises(ModelError, match=f"no layer 'conv2'.*{names[2]}"):
        feature_pairs(student, teacher, ["conv2"])


def test_a_teacher_must_fit():
    student = models.network()
    other = keras.Sequential([keras.Input((6, 6, 1)), L.Flatten(), L.Dense(4)])
    with pytest.raises(ModelError, match=r"outputs of shape \(4,\).*\(3,\)"):
        check_teacher(student, other)
    other = keras.Sequential([keras.Input((5, 6, 1)), L.Flatten(), L.Dense(3)])
    with pytest.raises(ModelError, match=r"images of shape \(5, 6, 1\)"):
        check_teacher(student, other)


def agreement(model, teacher):
    images = np.concatenate([x for x, _ in models.images().train.as_numpy_iterator()])
    return np.mean(np.argmax(model(images), -1) == np.argmax(teacher(images), -1))


@pytest.fixture(scope="module")
def teacher():
    model = models.network()
    model.set_weights([3 * w for w in model.get_weights()])
    train(model, models.images(), Recipe(epochs=4, batch_size=8, seed=1))
    return model


@pytest.mark.parametrize("strategy", [None, "two"])
def test_a_student_takes_after_its_teacher(teacher, strategy):
    """The loss is the teacher's alone: the student must come to agree with it."""
    before = [w.copy() for w in teacher.get_weights()]
    recipe = Recipe(epochs=12, batch_size=8, distill="kd", distill_weight=1.0)
    where = models.two() if strategy else None
    trained = train(models.network(), models.images(), recipe, where, teacher=teacher)
    assert trained.history[-1]["loss"] < 0.5 * trained.history[0]["loss"]
    assert agreement(trained.model, teacher) > 0.8
    for mine, its in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_features_are_learnt_from(teacher):
    recipe = Recipe(
        epochs=2,
        batch_size=8,
        distill="sp",
        distill_layers=f"{{}}={teacher.layers[2].name}",
    )
    model = models.network()
    names = recipe.distill_layers.format(model.layers[2].name)
    recipe = Recipe(epochs=2, batch_size=8, distill="sp", distill_layers=names)
    with_features = train(model, models.images(), recipe, teacher=teacher)
    plain = Recipe(epochs=2, batch_size=8, distill="sp")
    without = train(models.network(), models.images(), plain, teacher=teacher)
    assert with_features.history[0]["loss"] != without.history[0]["loss"]
    assert np.isfinite(with_features.history[-1]["loss"])
    assert len(model.outputs) == 1


def test_what_does_not_go_together(teacher):
    data = models.images()
    with pytest.raises(HHError, match="no teacher"):
        train(models.network(), data, Recipe(batch_size=8, distill="kd"))
    with pytest.raises(HHError, match="choose kd, sp or match"):
        train(models.network(), data, Recipe(batch_size=8), teacher=teacher)
    with pytest.raises(HHError, match="distill_layers"):
        Recipe(distill="kd", distill_layers="conv")
    with pytest.raises(HHError, match="at most 1"):
        Recipe(distill="kd", distill_weight=2.0)


@pytest.mark.parametrize(
    ("units", "activation"), [(1, None), (1, "sigmoid"), (3, "sigmoid")]
)
def test_what_is_no_choice_is_not_softened(units, activation):
    """A softmax over one unit is constant: nothing would be learnt of it."""
    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Dense(units, activation)(image))
    with pytest.raises(HHError, match="choices among classes"):
        choices(model)


@pytest.mark.parametrize("weight", [0.25, 0.9])
def test_kd_and_the_tasks_loss_share_the_weight(weight):
    keras.utils.set_random_seed(0)
    image = keras.Input((5,))
    student, teacher = (
        keras.Model(image, keras.layers.Dense(4, kernel_initializer="normal")(image))
        for _ in range(2)
    )
    recipe = Recipe(distill="kd", distill_weight=weight, temperature=3.0)
    _, losses = objective(recipe, student, teacher, task=TASK)
    images = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    labels, ours, its = np.arange(6) % 4, student(images), teacher(images)
    found = losses(images, labels, [ours])["loss"]
    own = TASK.losses(student)(labels, [ours])["loss"]
    wanted = weight * np.array(kd_loss(ours, its, 3.0)) + (1 - weight) * np.array(own)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("weight", [0.5, 3.0])
def test_features_count_by_their_mean(weight):
    keras.utils.set_random_seed(0)

    def network():
        image = x = keras.Input((6, 6, 4))
        for k in range(2):
            y = L.Conv2D(4, 3, padding="same", activation="relu")(x)
            x = L.Add(name=f"add_{k}")([y, x])
        return keras.Model(image, L.Dense(3)(L.Flatten()(x)))

    student, teacher = network(), network()
    student.set_weights([1.1 * w for w in teacher.get_weights()])
    images = np.random.default_rng(0).normal(size=(8, 6, 6, 4)).astype("float32")
    labels = np.arange(8) % 3

    def loss(of_features):
        recipe = Recipe(distill="match", feature_weight=of_features)
        own, losses = objective(recipe, student, teacher, task=TASK, images=[images])
        outputs = keras.Model(student.inputs, [*student.outputs, *own])(images)
        return np.array(losses([images], labels, keras.tree.flatten(outputs))["loss"])

    found = matches(student, teacher, [images])[1:]
    errors = []
    for each in found:
        ours = keras.Model(student.inputs, each.student)(images)
        theirs = keras.Model(teacher.inputs, each.teacher)(images)
        errors.append(np.array(each.error(ours, theirs)))
    assert len(errors) == 2
    wanted = loss(0.0) + weight * np.mean(errors, 0)
    np.testing.assert_allclose(loss(weight), wanted, rtol=1e-4)
