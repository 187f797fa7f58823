"""Data with numbers that are none are named by step, example and part."""

import numpy as np
import pytest

from hh_keras.training.not_finite import of_batches

GOOD, BAD = np.zeros((3, 2), "float32"), np.float32([[0, 1], [2, 3], [4, np.nan]])


@pytest.mark.parametrize(
    "batch, named",
    [
        (BAD, "example 3 of inputs"),
        (({"age": BAD, "name": np.array(["a"])}, GOOD), "example 3 of inputs['age']"),
        ((GOOD, [GOOD, BAD]), "example 3 of labels[1]"),
        ((GOOD, GOOD, np.float32([1, np.inf, 1])), "example 2 of weights"),
        ((GOOD, np.float32(np.nan)), "example 1 of labels"),
        ((GOOD, np.arange(3)), ""),
    ],
)
def test_the_first_example_that_is_none_is_named(batch, named):
    told = of_batches([(GOOD, GOOD), batch, (BAD, BAD)][: 2 if not named else 3])
    assert told == (f"step 2, {named}" if named else "")
