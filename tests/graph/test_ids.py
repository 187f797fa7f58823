"""Tensors of channel ids."""

import numpy as np
import pytest

from hh_keras.graph.ids import IdTensor


@pytest.mark.parametrize(
    "shape, axes",
    [
        ((), ()),
        ((1, 1), ()),
        ((1, 4), (1,)),
        ((4, 1), (0,)),
        ((3, 1, 4), (0, 2)),
        ((0,), ()),  # nothing differs where there is nothing
        ((5, 0), (0,)),
    ],
)
def test_ids_vary_along_axes_longer_than_one(shape, axes):
    assert IdTensor(np.zeros(shape, int), shape).varying == axes
