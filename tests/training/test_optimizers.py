import keras
import numpy as np
import pytest

from hh_keras.errors import HHError
from hh_keras.training import CoupledAdam, CoupledSGD, Recipe, RecipeSchedule, optimizer


@pytest.mark.parametrize("nesterov", [False, True])
def test_weight_decay_is_the_l2_penalty(nesterov):
    """Ten steps by hand: decay in the gradient, so it goes into the momentum."""
    rate, decay, momentum = 0.1, 0.05, 0.9
    rng = np.random.default_rng(0)
    weight, velocity = rng.normal(size=3).astype("float32"), 0.0
    variable = keras.Variable(weight)
    sgd = CoupledSGD(rate, coupled_decay=decay, momentum=momentum, nesterov=nesterov)
    for _ in range(10):
        gradient = rng.normal(size=3).astype("float32")
        sgd.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        coupled = gradient + decay * weight
        velocity = momentum * velocity - rate * coupled
        step = momentum * velocity - rate * coupled if nesterov else velocity
        weight = weight + step
    np.testing.assert_allclose(variable.numpy(), weight, rtol=1e-5)


@pytest.mark.parametrize("kind", [CoupledSGD, CoupledAdam])
@pytest.mark.parametrize("vectors", [False, True])
def test_vectors_are_decayed_only_if_they_shall_be(kind, vectors):
    matrix, vector = keras.Variable(np.ones((2, 3))), keras.Variable(np.ones(3))
    nothing = [keras.ops.zeros(each.shape) for each in (matrix, vector)]
    made = kind(0.1, coupled_decay=0.5, decay_vectors=vectors)
    made.apply(nothing, [matrix, vector])
    assert (matrix.numpy() < 1).all() and (vector.numpy() < 1).all() == vectors


def test_no_decay_is_plain_sgd():
    ours, theirs = keras.Variable([1.0, 2.0]), keras.Variable([1.0, 2.0])
    gradient = keras.ops.convert_to_tensor([0.3, -0.2])
    one, other = CoupledSGD(0.1, momentum=0.9), keras.optimizers.SGD(0.1, momentum=0.9)
    for _ in range(3):
        one.apply([gradient], [ours])
        other.apply([gradient], [theirs])
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def rates(schedule, steps):
    return np.array([float(schedule(step)) for step in range(steps)])


def test_cosine_goes_from_peak_to_zero():
    values = rates(RecipeSchedule(0.1, steps=100), 101)
    assert values[0] == pytest.approx(0.1)
    assert values[50] == pytest.approx(0.05, rel=1e-4)
    assert values[100] == pytest.approx(0, abs=1e-7)
    assert (np.diff(values) < 0).all()


def test_warmup_is_linear():
    values = rates(RecipeSchedule(0.4, 20, warmup_steps=4, shape="constant"), 20)
    np.testing.assert_allclose(values[:4], [0.1, 0.2, 0.3, 0.4], rtol=1e-5)
    np.testing.assert_allclose(values[4:], 0.4, rtol=1e-5)


def test_step_schedule_divides_by_ten_twice():
    values = rates(RecipeSchedule(1.0, 100, shape="step"), 100)
    np.testing.assert_allclose(
        values[[0, 49, 50, 74, 75, 99]], [1, 1, 0.1, 0.1, 0.01, 0.01], rtol=1e-5
    )


def test_optimizer_follows_the_recipe_and_survives_serialization():
    recipe = Recipe(epochs=4, warmup_epochs=0.5, learning_rate=0.2, nesterov=True)
    sgd = optimizer(recipe, steps_per_epoch=10)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(sgd))
    assert again.get_config() == sgd.get_config()
    assert sgd.coupled_decay == recipe.weight_decay
    assert sgd.get_config()["learning_rate"]["config"]["warmup_steps"] == 5
    with pytest.raises(HHError, match="not a single batch"):
        optimizer(recipe, steps_per_epoch=0)
