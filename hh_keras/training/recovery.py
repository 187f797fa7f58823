"""Recovery: a smaller network learns from its original, without labels."""

import dataclasses
import functools
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.data import unlabelled
from hh_keras.errors import DataError, HHError, ModelError
from hh_keras.goal import Goal
from hh_keras.graph.heads import gives_classes
from hh_keras.graph.opening.inline import inline
from hh_keras.progress import Verbose
from hh_keras.training.features import Match
from hh_keras.training.fit import Trained, train
from hh_keras.training.recipes import Recipe
from hh_keras.training.task import Task

RECOVERY = Recipe(
    epochs=20,
    batch_size=16,
    warmup_epochs=1.0,
    optimizer="adam",
    learning_rate=2e-4,
    weight_decay=0.0,
    distill="match",
    frozen_statistics=True,
)
"""What `recover` trains by: gentle to weights that were inherited.

Examples:
    >>> hh_keras.training.RECOVERY.distill, hh_keras.training.RECOVERY.learning_rate
    ('match', 0.0002)
"""

_MOST = 2000  # images of a folder
_HELD_OUT = 0.1  # of the images, if none are given to validate on
_LEAST_AREA = 0.35  # of a photograph, that is cut out


def recover(
    small: keras.Model,
    original: keras.Model,
    data: Any,
    minutes: float | None = 10.0,
    validation: Any = None,
    *,
    augment: bool = True,
    recipe: Recipe = RECOVERY,
    strategy: tf.distribute.Strategy | None = None,
    workdir: str | Path | None = None,
    name: str = "recovered",
    callbacks: Iterable[keras.callbacks.Callback] = (),
    verbose: Verbose = "auto",
) -> Trained:
    """Trains a smaller network to answer as its original does, on unlabelled images.

    It learns the original's outputs, and its features where it has kept them. It comes
    out no worse than it went in: unless its answers on the validation images are nearer
    to the original's afterwards, it keeps its weights.

    Args:
        small: what `shrink` or `rebuild` made of the original, with inherited weights;
            it is trained in place. Of several outputs, each is learnt.
        original: the network it was made of, for the same inputs.
        data: images: a folder of them (2,000 at most are taken), an array `(n, height,
            width, channels)`, or a tf.data dataset of batches of images, or of
            `(images, labels)`, whose labels are not looked at. They may be larger than
            what the network takes.
        minutes: wall-clock time it shall take. None trains for the epochs of the
            recipe.
        validation: more of the same. Default: a tenth of `data`.
        augment: whether to cut out pieces at random and mirror them. Images that must
            not be: False.
        recipe: how; batches of a dataset stay as they are.
        strategy, workdir, name, callbacks, verbose: see `hh_keras.training.train`; with
            a `workdir`, it can be stopped and goes on where it was.

    Returns:
        A `Trained`: the model, and a history with one row per epoch.

    Raises:
        DataError: no images, not images, or NaN in them.
        HHError: minutes that are none.
        ModelError: the networks do not belong together, or take several images.

    Examples:
        >>> from dataclasses import replace
        >>> recipe = replace(hh_keras.training.RECOVERY, epochs=1)
        >>> small = hh_keras.rebuild(model, plan)
        >>> trained = hh_keras.recover(
        ...     small, model, images, minutes=None, recipe=recipe, verbose=0
        ... )
        >>> trained.model is small, len(trained.history)
        (True, 1)
    """
    if minutes is not None and not minutes > 0:
        raise HHError(
            f"recover: minutes={minutes!r}: give a number above 0, or None for the "
            "epochs of the recipe."
        )
    if len(small.inputs) != 1:
        raise ModelError(
            f"recover: '{small.name}' takes {len(small.inputs)} inputs, and images are "
            "cut at random for one. Use hh_keras.training.train with its task's data, "
            "Recipe(distill='match') and the original as teacher."
        )
    original = inline(original, leaves=False)
    shape = tuple(small.inputs[0].shape[1:])
    size = shape[:2]
    data, validation = (_read(each, shape, recipe.seed) for each in (data, validation))
    images, held_out = _split(data, validation, recipe)
    if minutes is not None:
        recipe = dataclasses.replace(recipe, minutes=float(minutes))
    seen = _Seen(images, size, augment, recipe.seed)
    answered, answers = _answered(held_out, size, original)
    return train(
        small,
        types.SimpleNamespace(
            train=seen.epoch(0),
            epoch=seen.epoch,
            validation=answered,
        ),
        recipe,
        strategy,
        workdir,
        name,
        teacher=original,
        callbacks=callbacks,
        never_worse=True,
        verbose=verbose,
        task=_task(original, answers),
    )


def _read(data, shape, seed):
    """The images of a folder, an eighth larger than what the network takes."""
    if not isinstance(data, (str, Path)):
        return data
    if None in shape:
        raise DataError(
            f"recover: {data} may hold images of any size, as the network takes any; "
            "give an array of images."
        )
    larger = (round(shape[0] * 8 / 7), round(shape[1] * 8 / 7), shape[2])
    return unlabelled(str(data), larger, _MOST, seed)


def _split(data, validation, recipe):
    """Batches to learn from and to validate on, each a function of a seed."""
    if validation is not None:
        if isinstance(validation, tf.data.Dataset):  # its answers are noted down once
            validation = validation.cache()
        return _batches(data, recipe), _batches(validation, recipe)
    if isinstance(data, tf.data.Dataset):
        count = int(data.cardinality())
        held = max(1, round(_HELD_OUT * count))
        if count < 2:
            raise DataError(
                "recover: these batches cannot be divided; give validation= images."
            )
        if not _is_steady(data):
            raise DataError(
                "recover: these batches come in another order, or are changed, each "
                "time they are read, so that none can be held out. Give validation= "
                "images, or shuffle with reshuffle_each_iteration=False."
            )
        return _batches(data.skip(held), recipe), _batches(data.take(held), recipe)
    held = max(1, round(_HELD_OUT * len(data)))
    return _batches(data[held:], recipe), _batches(data[:held], recipe)


def _is_steady(data):
    """Whether a dataset begins with the same batch whenever it is read."""
    first, again = (keras.tree.flatten(next(iter(data))) for _ in range(2))
    return all(np.array_equal(a, b) for a, b in zip(first, again))


def _batches(data: Any, recipe: Recipe) -> Callable:
    """`batches(seed)`: batches of images in the order of a seed; None is their own."""
    if isinstance(data, tf.data.Dataset):
        spec = data.element_spec
        images = data.map(lambda x, *_: x) if isinstance(spec, tuple) else data
        return lambda seed: images
    data = np.asarray(data)
    if data.ndim != 4 or not len(data):
        raise DataError(
            f"recover: images of shape {data.shape} were given; they must be (images, "
            "height, width, channels), and one at least."
        )
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        bad = int((~np.isfinite(data.reshape(len(data), -1))).any(1).sum())
        raise DataError(
            f"recover: {bad} of {len(data)} images hold NaN or infinite values: leave "
            "them out."
        )
    pixels = tf.data.Dataset.from_tensor_slices(data)

    def batches(seed):
        order = pixels
        if seed is not None:
            order = pixels.shuffle(len(data), seed, reshuffle_each_iteration=False)
        return order.batch(recipe.batch_size)

    return batches


@dataclasses.dataclass(frozen=True)
class _Seen:
    """Images as the network sees them; what is drawn depends on seed and epoch only."""

    batches: Callable
    size: tuple
    augment: bool
    seed: int

    def epoch(self, number: int, first: int = 0) -> tf.data.Dataset:
        seed = self.seed + 1000 * number
        seeds = tf.data.Dataset.random(seed).batch(2, drop_remainder=True)
        both = tf.data.Dataset.zip(self.batches(seed), seeds).skip(first)

        def see(images, seed):
            images = cut(images, self.size, seed) if self.augment else images
            images = _resized(images, self.size)
            return images, tf.zeros(tf.shape(images)[:1])

        count = self.batches(seed).cardinality() - first
        seen = both.map(see, tf.data.AUTOTUNE, deterministic=True)
        known = tf.data.experimental.assert_cardinality(count) if count > 0 else None
        return (seen.apply(known) if known else seen).prefetch(2)


def cut(images: Any, size: tuple, seed: Any) -> tf.Tensor:
    """Cuts a random piece out of each image, mirrors half of them, and resizes.

    Args:
        images: `(batch, height, width, channels)`.
        size: height and width to resize to; with None, that of the images.
        seed: two integers.

    Returns:
        float32 `(batch, *size, channels)`. A piece has 35 to 100 % of the largest
        square of the image.
    """
    shape = tf.shape(images)
    draws = tf.random.stateless_uniform([4, shape[0]], seed)
    sides = tf.cast(shape[1:3], tf.float32)
    side = tf.sqrt(_LEAST_AREA + (1 - _LEAST_AREA) * draws[0]) * tf.reduce_min(sides)
    height, width = side / sides[0], side / sides[1]
    top, left = draws[1] * (1 - height), draws[2] * (1 - width)
    right, mirrored = left + width, draws[3] < 0.5
    boxes = [
        top,
        tf.where(mirrored, right, left),
        top + height,
        tf.where(mirrored, left, right),
    ]
    return tf.image.crop_and_resize(
        tf.cast(images, tf.float32),
        tf.stack(boxes, 1),
        tf.range(shape[0]),
        [wanted or shape[k + 1] for k, wanted in enumerate(size)],
    )


def _resized(images, size):
    images = tf.cast(images, tf.float32)
    if None in size or tuple(images.shape[1:3]) == size:
        return images
    return tf.image.resize(images, size, antialias=True)


def _answered(batches, size, original):
    """Validation images with the original's outputs as labels; and these."""
    images = batches(None).map(lambda x: _resized(x, size))
    answers = [
        tuple(map(_numbers, keras.tree.flatten(original(x, training=False))))
        for x in images
    ]
    labels = tf.data.Dataset.from_generator(
        lambda: iter(answers),
        output_signature=tuple(
            tf.TensorSpec((None, *each.shape[1:]), tf.float32) for each in answers[0]
        ),
    )
    both = tf.data.Dataset.zip(images, labels)
    known = tf.data.experimental.assert_cardinality(len(answers))
    return both.apply(known), [np.concatenate(each) for each in zip(*answers)]


def _numbers(x):
    return keras.ops.convert_to_numpy(x).astype("float32", copy=False)


def _task(original: keras.Model, answers: list[np.ndarray]) -> Task:
    """To be like the original: labels are its outputs, and all count alike.

    On few images, how many answers are the same is a coarse measure: the goal is a
    finer one.
    """
    ends = original.outputs
    floats = [k for k, end in enumerate(ends) if "float" in end.dtype]
    matched = {k: Match(ends[k], ends[k]) for k in floats}
    matched = {
        k: dataclasses.replace(match, spread=match.variance(answers[k]))
        for k, match in matched.items()
    }
    choices = [k for k in floats if gives_classes(ends[k])]

    def mean(value, places, labels, ours):
        pairs = list(zip(keras.tree.flatten(labels), keras.tree.flatten(ours)))
        return sum(value(k, *pairs[k]) for k in places) / len(places)

    def error(labels, ours):
        return mean(lambda k, y, x: matched[k].error(x, y), floats, labels, ours)

    measures = {"likeness": lambda *pair: 1 - error(*pair)}
    if choices:
        same = functools.partial(mean, lambda k, *pair: agreement(*pair), choices)
        measures["agreement"] = same
    return Task(
        name="recover",
        noun="network that recovers",
        loss=lambda model, label_smoothing=0.0: error,
        measures=measures,
        goal=Goal("likeness", "likeness", str, _change, str, str, _change),
        evaluate=lambda model, dataset: {},
        distills=("match",),
        labelled=False,
    )


def _change(first: Any, second: Any) -> str:
    return f"{first} {second}"


def agreement(labels: Any, outputs: Any) -> tf.Tensor:
    """Whether the largest output is the same, float32 `(batch,)`."""
    return tf.cast(tf.argmax(labels, -1) == tf.argmax(outputs, -1), tf.float32)
