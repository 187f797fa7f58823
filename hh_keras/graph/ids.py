"""Tensors of channel ids: what a model's tensors hold while it is traced.

Ids are kept only where they differ: an axis along which they are constant has size 1
in `ids`, whatever its size in the tensor. Negative ids stand for values that no layer
of the model produces as channels (an image, the output of a layer without a rule).
"""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class IdTensor:
    """A tensor of channel ids.

    Attributes:
        ids: int array of the tensor's rank; each axis has size 1 (ids constant along
            it) or the tensor's own size.
        shape: the tensor's shape, batch first, None where unknown.
    """

    ids: np.ndarray
    shape: tuple

    @property
    def rank(self):
        return len(self.shape)

    @property
    def varying(self):
        """The axes along which ids differ."""
        return tuple([i for i, n in enumerate(self.ids.shape) if n > 1])

    @property
    def is_fixed(self):
        """Whether the tensor holds one negative id only."""
        return self.ids.size == 1 and self.ids.flat[0] < 0

    def spread(self, axes):
        """The ids with the named axes at the tensor's own size."""
        shape = list(self.ids.shape)
        for axis in axes:
            shape[axis] = self.shape[axis]
        return np.broadcast_to(self.ids, shape)


def constant(id_, shape):
    """A tensor that holds one id everywhere."""
    return IdTensor(np.full((1,) * len(shape), id_, dtype=np.int64), tuple(shape))


def on_axis(ids, axis, shape):
    """A tensor whose ids vary along one axis only."""
    axis = axis % len(shape)
    form = [1] * len(shape)
    form[axis] = len(ids)
    return IdTensor(np.asarray(ids).reshape(form), tuple(shape))


def collapse(ids):
    """Reduces every axis along which the ids are constant to size 1."""
    for axis, size in enumerate(ids.shape):
        if size == ids.size > 1 and ids.flat[0] != ids.flat[1]:
            return ids  # the usual case: one axis, all different
        if size > 1:
            first = ids.take([0], axis=axis)
            if (ids == first).all():
                ids = first
    return ids


def reshape(x, shape):
    """Reshapes ids as the tensor is reshaped.

    Axes are matched in blocks of equal size, so that only the axes that are really
    merged or split are written out.

    Returns:
        An int array of rank `len(shape)`, or None if the ids vary along axes whose
        place in the result is not known (an unknown size in between).
    """
    out = []
    ids = x.ids
    for old_axes, new_axes in _blocks(x.shape, shape):
        block_old = [x.shape[i] for i in old_axes]
        block_new = [shape[i] for i in new_axes]
        varies = any(ids.shape[i] > 1 for i in old_axes)
        if not varies:
            out.append(([1] * len(old_axes), [1] * len(new_axes)))
        elif None in block_old or None in block_new:
            return None
        else:
            out.append((block_old, block_new))
    full = [n for old, _ in out for n in old]
    target = [n for _, new in out for n in new]
    return np.broadcast_to(ids, full).reshape(target)


def _blocks(old, new):
    """Yields pairs of axis lists of equal size; unknown sizes end up in one block."""
    i = j = 0
    blocks = []
    while i < len(old) or j < len(new):
        a, b = [], []
        if i < len(old) and j < len(new) and old[i] == new[j]:
            blocks.append(([i], [j]))
            i, j = i + 1, j + 1
            continue
        if None in old[i:] or None in new[j:]:
            tail = _equal_tail(old[i:], new[j:])
            a = list(range(i, len(old) - tail))
            b = list(range(j, len(new) - tail))
            blocks.append((a, b))
            blocks += [([len(old) - k], [len(new) - k]) for k in range(tail, 0, -1)]
            return blocks
        if i < len(old):
            a, i = a + [i], i + 1
        if j < len(new):
            b, j = b + [j], j + 1
        while True:
            size_a = math.prod(old[k] for k in a)
            size_b = math.prod(new[k] for k in b)
            if size_a == size_b and a and b:
                break
            if size_a < size_b and i < len(old):
                a, i = a + [i], i + 1
            elif j < len(new):
                b, j = b + [j], j + 1
            elif i < len(old):
                a, i = a + [i], i + 1
            else:
                break
        blocks.append((a, b))
    return blocks


def _equal_tail(old, new):
    n = 0
    while n < min(len(old), len(new)) and old[-1 - n] == new[-1 - n] is not None:
        n += 1
    return n
