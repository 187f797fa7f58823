"""Batches of patches that are cut out of images at random.

Every batch is a function of a seed and of its number, see `hh_keras.data.seeded`.
"""

import atexit
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from hh_keras.data import ImageData
from hh_keras.data.pipeline import answer, end_decoding, ready
from hh_keras.data.seeded import anew, called, numbered, own_seed
from hh_keras.errors import DataError

SEARCH, VALIDATION = -1, -2
"""In place of an epoch's number, for `hh_keras.data.seeded.own_seed`."""


def check_patches(
    side: Any,
    multiple: Any,
    counts: Mapping[str, Any],
    channels: Any,
    augment: str,
    known: Sequence[str],
) -> None:
    """Checks what patches are asked for.

    Args:
        side: of the patches.
        multiple: what the sides of a network's images must be multiples of.
        counts: names of further arguments that must be whole numbers from 1 on, or
            None.
        channels: of the patches.
        augment: one of `known`.

    Raises:
        DataError: one of them is not what it must be.
    """
    counts = {"patch": side, "multiple": multiple, **counts}
    for name, value in counts.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise DataError(f"{name}={value!r}: use a whole number of at least 1.")
    if channels not in (1, 3):
        raise DataError(f"channels={channels!r}: use 1 (grey) or 3 (RGB).")
    if augment not in known:
        raise DataError(f"augment '{augment}' is none of {', '.join(known)}.")
    if side % multiple:
        raise DataError(
            f"patch={side}: the network takes multiples of {multiple} only, such as "
            f"--patch={math.ceil(side / multiple) * multiple}."
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Patches:
    """What training and search cut out of images.

    Attributes:
        cut: `cut(chosen, rng, augment)` returns the arrays of one batch, cut out of the
            images of those numbers; fewer where images turn out to be bad.
        images: how many there are.
        times: how often an epoch cuts from each.
        window: how many images fit into the memory at a time.
        batch_size: patches per step.
        gives: `tf.TensorSpec`s of a batch.
        seed: of order and patches.
        augment: of training; search gets "none".
    """

    cut: Callable
    images: int
    times: int
    window: int
    batch_size: int
    gives: Any
    seed: int
    augment: str

    @property
    def count(self) -> int:
        """Patches of an epoch."""
        return self.images * self.times

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return math.ceil(self.count / self.batch_size)

    def train(self) -> tf.data.Dataset:
        """Batches of one epoch, others in every iteration."""
        return self._batches(anew(self.seed, self.steps), self.augment)

    def epoch(self, number: int, first: int = 0) -> tf.data.Dataset:
        """The batches of one epoch, from batch `first` on."""
        own = own_seed(self.seed, number)
        return self._batches(numbered(own, first, self.steps), self.augment)

    def search(self) -> tf.data.Dataset:
        """Batches without augmentation, always the same."""
        own = own_seed(self.seed, SEARCH)
        return self._batches(numbered(own, 0, self.steps), "none")

    def data(self, whole: Callable, num: int, gives: Any, **facts: Any) -> ImageData:
        """Patches to learn from, whole images to validate on.

        Args:
            whole: `whole(index, own)` returns the arrays of one validation image,
                batches of one (or none); `own` is a seed.
            num: how many validation images there are.
            gives: their `tf.TensorSpec`s.
            **facts: what else `hh_keras.data.ImageData` tells.
        """

        def image(own, step):
            answer()
            return whole(int(step), int(own))

        atexit.register(end_decoding)
        every = numbered(own_seed(self.seed, VALIDATION), 0, num)
        return ImageData(
            train=self.train(),
            epoch=self.epoch,
            validation=ready(called(image, every, gives)),
            search=self.search(),
            num_train=self.count,
            num_validation=num,
            **facts,
        )

    def _batches(self, seeds, augment):
        order = functools.lru_cache(4)(
            functools.partial(_order, self.images, self.times, self.window)
        )

        def pick(own, step):
            answer()
            own, start = int(own), int(step) * self.batch_size
            chosen = order(own)[start : start + self.batch_size]
            return self.cut(chosen, np.random.default_rng([own, int(step)]), augment)

        return ready(called(pick, seeds, self.gives))


def _order(count, times, window, own):
    """Which image each patch of an epoch is cut from, int array `(count * times,)`.

    Images come in blocks of `window`, so that no more need be in memory at a time.
    """
    rng = np.random.default_rng([own, 2**32])
    images = rng.permutation(count)
    blocks = [images[k : k + window] for k in range(0, count, window)]
    return np.concatenate([rng.permutation(np.repeat(b, times)) for b in blocks])
