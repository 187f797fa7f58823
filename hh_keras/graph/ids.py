"""Tensors of channel ids: what a model's tensors hold while it is traced.

Ids are kept only where they differ: an axis along which they are constant has size 1
in `ids`, whatever its size in the tensor. Negative ids stand for values that no layer
of the model produces as channels (an image, the output of a layer without a rule).
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

AS_BEFORE = "as before"


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class IdTensor:
    """A tensor of channel ids.

    Attributes:
        ids: int array of the tensor's rank; each axis has size 1 (ids constant along
            it) or the tensor's own size.
        shape: the tensor's shape, batch first, None where unknown.
        rows: how often one example stands along the batch axis: 1, more where
            positions were folded into the batch, a fraction where the batch has a
            fixed size; None if it is not known, `AS_BEFORE` for that of the inputs.
        dtype: of the tensor's values.
    """

    ids: np.ndarray
    shape: tuple
    rows: Any = AS_BEFORE
    dtype: str = "float32"

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def varying(self) -> tuple:
        """The axes along which ids differ."""
        shape = self.ids.shape
        if shape and shape[-1] == self.ids.size > 1:  # nearly always
            return (len(shape) - 1,)
        return tuple([i for i, n in enumerate(shape) if n > 1])

    @property
    def is_fixed(self) -> bool:
        """Whether the tensor holds one negative id only."""
        return self.ids.size == 1 and self.ids.flat[0] < 0

    def spread(self, axes: Iterable) -> np.ndarray:
        """The ids with the named axes at the tensor's own size."""
        shape = list(self.ids.shape)
        for axis in axes:
            shape[axis] = self.shape[axis]
        return np.broadcast_to(self.ids, shape)


def constant(id_: int, shape: Sequence) -> IdTensor:
    """A tensor that holds one id everywhere."""
    return IdTensor(np.full((1,) * len(shape), id_, dtype=np.int64), tuple(shape))


def on_axis(ids: np.ndarray, axis: int, shape: Sequence) -> IdTensor:
    """A tensor whose ids vary along one axis only."""
    axis = axis % len(shape)
    form = [1] * len(shape)
    form[axis] = len(ids)
    return IdTensor(np.asarray(ids).reshape(form), tuple(shape))


def collapse(ids: np.ndarray) -> np.ndarray:
    """Reduces every axis along which the ids are constant to size 1."""
    for axis, size in enumerate(ids.shape):
        if size == ids.size > 1 and ids.flat[0] != ids.flat[1]:
            return ids  # the usual case: one axis, all different
        if size > 1:
            first = ids.take([0], axis=axis)
            if (ids == first).all():
                ids = first
    return ids


def positions(shape: Sequence, rows: Any, without: Iterable = ()) -> Any:
    """How many entries of a tensor belong to one example.

    Args:
        shape: the tensor's shape; one unknown size is the batch.
        rows: see `IdTensor`.
        without: axes that are not counted.

    Returns:
        An int, a Fraction where the batch is not a whole number of examples, or None
        if sizes are unknown.
    """
    if rows is None or shape.count(None) > 1:
        return None
    without = [a % len(shape) for a in without]
    sizes = [n for i, n in enumerate(shape) if n is not None and i not in without]
    count = rows * math.prod(sizes)
    if type(count) is int:
        return count
    return int(count) if count.denominator == 1 else count


def rows_after(x: IdTensor, shape: Sequence) -> Any:
    """Rows of what a tensor becomes when it is reshaped: no number is lost."""
    before, one = positions(x.shape, x.rows), positions(shape, 1)
    return None if before is None or not one else Fraction(before) / one


def reshape(x: IdTensor, shape: Sequence) -> np.ndarray | None:
    """Reshapes ids as the tensor is reshaped.

    Axes are matched in blocks of equal size, so that only the axes that are really
    merged or split are written out. An unknown batch counts as the rows of one
    example, which lie together.

    Returns:
        An int array of rank `len(shape)`, or None if the ids vary along axes whose
        place in the result is not known (an unknown size in between, or the batch).
    """
    shape = tuple(shape)
    ids, rows = x.ids, rows_after(x, shape)
    if 0 in x.shape:
        return None
    old = _with_rows(x.shape, x.rows)
    new = _with_rows(shape, rows)
    if None in old or None in new or math.prod(old) != math.prod(new):
        old, new = tuple(x.shape), tuple(shape)
    full, target = [], []
    for old_axes, new_axes in _blocks(old, new):
        block_old = [old[i] for i in old_axes]
        block_new = [new[i] for i in new_axes]
        if not any(ids.shape[i] > 1 for i in old_axes):
            block_old, block_new = [1] * len(old_axes), [1] * len(new_axes)
        elif None in block_old or None in block_new:
            return None
        full += block_old
        target += block_new
    if math.prod(full) != math.prod(target):
        return None
    ids = collapse(np.broadcast_to(ids, full).reshape(target))
    batch = shape.index(None) if None in shape else 0
    return None if None in shape and ids.shape[batch] > 1 else ids


def _with_rows(shape, rows):
    """The shape of one example: its rows in place of an unknown batch."""
    if rows is None or Fraction(rows).denominator != 1 or None not in shape:
        return tuple(shape)
    at = shape.index(None)
    return (*shape[:at], int(rows), *shape[at + 1 :])


def _blocks(old, new):
    """Pairs of axis lists of equal size, from the front.

    Where a size is unknown, what lies between the equal ends is one block.
    """
    if None in old or None in new:
        head = _equal(old, new)
        tail = _equal(old[head:][::-1], new[head:][::-1])
        middle = (
            list(range(head, len(old) - tail)),
            list(range(head, len(new) - tail)),
        )
        ends = [([len(old) - k], [len(new) - k]) for k in range(tail, 0, -1)]
        return [*(([k], [k]) for k in range(head)), middle, *ends]
    blocks, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        a, b, size_a, size_b = [], [], 1, 1
        while not (a or b) or size_a != size_b:
            # The smaller side grows; at equal sizes (1) either may have to begin.
            if (size_a <= size_b and i < len(old)) or j == len(new):
                a, size_a, i = [*a, i], size_a * old[i], i + 1
            else:
                b, size_b, j = [*b, j], size_b * new[j], j + 1
        blocks.append((a, b))
    return blocks


def _equal(old, new):
    """How many sizes agree from the start on.

    An unknown size stands for itself only while both sides have it and more: what
    follows it may have been folded into it.
    """
    n = 0
    while n < min(len(old), len(new)) and old[n] == new[n]:
        if old[n] is None and not _same_rest(old[n + 1 :], new[n + 1 :]):
            break
        n += 1
    return n


def _same_rest(old, new):
    """Whether as many numbers follow on both sides, as far as sizes are known."""
    unknown = old.count(None), new.count(None)
    known = [math.prod(n for n in sizes if n is not None) for sizes in (old, new)]
    return unknown[0] == unknown[1] and known[0] == known[1]
