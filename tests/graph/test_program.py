"""Steps of two networks of one graph, which Keras may run in different orders."""

import dataclasses

import keras

from hh_keras.graph.program import in_step, program
from tests.zoo import shared_layer


def test_independent_steps_find_their_twins():
    model = heads()
    first, second = program(model), program(model)
    *begin, left, right, ends, other = second.steps
    mixed = dataclasses.replace(second, steps=[*begin, right, left, other, ends])
    assert in_step(first, mixed).steps == second.steps
    assert in_step(first, dataclasses.replace(second, steps=second.steps[1:])) is None
    assert in_step(program(shared_layer()), second) is None


def heads():
    """One head at two places."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="near")(image)
    y = keras.layers.MaxPooling2D(name="pool")(x)
    head = keras.layers.Conv2D(2, 1, name="head")
    ends = [
        keras.layers.Flatten(name=f"flat{k}")(head(z)) for k, z in enumerate((x, y))
    ]
    return keras.Model(image, ends)
