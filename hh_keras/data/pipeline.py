"""From the records of a split to batches of pixels: held in memory, or streamed."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from hh_keras.data.decoding import decode_cuts, unreadable
from hh_keras.data.source import Split, check_label
from hh_keras.data.views import cuts_of, number_of_cuts, random_cut
from hh_keras.errors import DataError

Batches = Callable[..., tf.data.Dataset]
"""`batches(size, seed, reshuffle, first)` gives a `tf.data.Dataset` of uint8 images of
shape `(batch, height, width, channels)` and int32 labels of shape `(batch,)`; of
several cuts per image, `(batch, cuts, height, width, channels)`. Stored order if `seed`
is None; else shuffled by it, anew in each iteration if `reshuffle`. The batches before
`first` are left out, and their images not decoded."""

RANDOM = "random"
"""The view of training images that are cut out at random."""

_DECODED_AT_ONCE = 256
_LEFT_OUT = -1  # the label of an image that cannot be read


def left_out(skipped: dict[str, str], on_bad_image: str) -> Callable:
    """Returns what to do with an image that cannot be read, `f(place, error)`.

    Args:
        skipped: gets the place and the reason.
        on_bad_image: "skip" warns, once per image, the first ten times; "fail" raises
            a `DataError`.

    Raises:
        DataError: `on_bad_image` is something else.
    """
    if on_bad_image not in ("skip", "fail"):
        raise DataError(f"on_bad_image '{on_bad_image}' is neither skip nor fail.")

    def note(place, error):
        told = unreadable(place, error)
        name = place.decode(errors="replace")
        if on_bad_image == "fail":
            raise told from error
        if name in skipped:
            return
        skipped[name] = str(getattr(error, "strerror", None) or error)
        if len(skipped) <= _TOLD:
            warnings.warn(f"{name} is left out: {skipped[name]}.", stacklevel=2)
        elif len(skipped) == _TOLD + 1:
            text = f"more than {_TOLD} images are left out; further ones are counted."
            warnings.warn(text, stacklevel=2)

    return note


_TOLD = 10


def stream(
    split: Split, image_shape: tuple, num_classes: int, view: str, note: Callable
) -> tuple[Batches, int]:
    """Decodes images whenever they are asked for.

    One that cannot be decoded leaves its batch smaller; the others stay where they
    are. Or it ends the iteration with a `tf.errors.OpError`, which `as_data_error`
    turns into one that names the image.

    Args:
        split: where the images are.
        image_shape: the `(height, width, channels)` to decode to.
        num_classes: labels must be below it.
        view: one of `VIEWS`, or `RANDOM`.
        note: what to do with bad images, see `left_out`.

    Returns:
        `Batches`, and the number of examples if none is bad.
    """
    several = number_of_cuts(view) > 1
    shape = (number_of_cuts(view), *image_shape) if several else image_shape

    atexit.register(end_decoding)

    def pixels(place, content, label, seed):
        answer()
        cuts = random_cut(tuple(seed)) if view == RANDOM else cuts_of(view, image_shape)
        record = place, content, label
        found, label = _pixels(split, record, image_shape, num_classes, cuts, note)
        return found if several else found[0], label

    def example(record, seed):
        kinds = [tf.uint8, tf.int32]
        image, label = tf.numpy_function(pixels, [*record, seed], kinds, False)
        return tf.ensure_shape(image, shape), tf.ensure_shape(label, ())

    def batches(size, seed, reshuffle, first=0):
        data = split.records(seed, reshuffle)
        if seed is not None:
            window = min(split.window, split.num)
            data = data.shuffle(window, seed, reshuffle_each_iteration=reshuffle)
        data = data.map(lambda *record: record).skip(first * size)
        own = new_seeds(seed) if reshuffle else step_seeds(seed or 0, first * size)
        data = tf.data.Dataset.zip(data, own)
        data = data.map(example, tf.data.AUTOTUNE, deterministic=True)
        return data.batch(size).map(_good, tf.data.AUTOTUNE, deterministic=True)

    return batches, split.num


_ending = threading.Event()
_last_call = [0.0]
_answers: set[object] = set()


def answer() -> None:
    """To be called first by every function that TensorFlow's threads call.

    Raises:
        StopIteration: Python is about to end; so does the stream.
    """
    _last_call[0] = time.monotonic()
    if _ending.is_set():
        raise StopIteration


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """`answer` for what may take long: Python waits for its end, half a minute."""
    answer()
    own = object()
    _answers.add(own)
    try:
        yield
    finally:
        _answers.discard(own)


def end_decoding() -> None:
    """Lets the streams that are still open run dry while Python is there to answer.

    TensorFlow decodes ahead in threads of its own and waits for them when it ends: for
    ever, if they wait for an interpreter that is gone.
    """
    _ending.set()
    now = time.monotonic()
    while (_answers and time.monotonic() < now + 30) or (
        time.monotonic() < min(now + 5, _last_call[0] + 0.1)
    ):
        time.sleep(0.02)


def _good(images, labels):
    """Without the examples that were left out."""
    good = labels != _LEFT_OUT
    return tf.cond(
        tf.reduce_all(good),
        lambda: (images, labels),
        lambda: (tf.boolean_mask(images, good), tf.boolean_mask(labels, good)),
    )


def hold(
    split: Split, image_shape: tuple, num_classes: int, view: str, note: Callable
) -> tuple[Batches, int]:
    """Decodes all images once, now, and keeps their pixels in memory.

    Args:
        split, image_shape, num_classes, view, note: as for `stream`, not `RANDOM`.

    Returns:
        `Batches`, and the number of examples.

    Raises:
        DataError: an image cannot be decoded, or none can, or a label is out of range.
    """
    several = number_of_cuts(view) > 1
    shape = (number_of_cuts(view), *image_shape) if several else image_shape
    images = np.empty((split.num, *shape), np.uint8)
    labels = np.empty(split.num, np.int32)
    cuts = cuts_of(view, image_shape)

    def place_pixels(record, position):
        found, label = _pixels(split, record, image_shape, num_classes, cuts, note)
        images[position] = found if several else found[0]
        labels[position] = label

    chunks = split.records(None, False).batch(_DECODED_AT_ONCE).prefetch(2)
    position = itertools.count()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for chunk in chunks.as_numpy_iterator():
                # Going through the results is what raises the workers' errors.
                for _ in pool.map(place_pixels, zip(*chunk), position):
                    pass
        except tf.errors.OpError as error:
            raise as_data_error(error) or error from error
    good = labels != _LEFT_OUT
    if not good.all():
        images, labels = images[good], labels[good]
    if not len(labels):
        raise DataError("not a single image of the data set can be read.")
    count = len(labels)
    with tf.device("CPU:0"):
        images, labels = tf.constant(images), tf.constant(labels)

    def batches(size, seed, reshuffle, first=0):
        # Whole batches are gathered: faster than single images, and shuffling holds
        # no second copy of them.
        order = tf.data.Dataset.range(count)
        if seed is not None:
            order = order.shuffle(count, seed, reshuffle_each_iteration=reshuffle)
        return (
            order.skip(first * size)
            .batch(size)
            .map(
                lambda chosen: (tf.gather(images, chosen), tf.gather(labels, chosen)),
                tf.data.AUTOTUNE,
                deterministic=True,
            )
        )

    return batches, count


def _pixels(split, record, image_shape, num_classes, cuts, note):
    """Decodes one record to uint8 `(cuts, *image_shape)` and its int32 label."""
    place, content, label = record
    check_label(place, label, num_classes)
    try:
        return decode_cuts(split.read(content), image_shape, cuts), np.int32(label)
    except (OSError, ValueError) as error:
        note(place, error)
    count = len(cuts(*image_shape[1::-1]))
    return np.zeros((count, *image_shape), np.uint8), np.int32(_LEFT_OUT)


def ready(
    data: tf.data.Dataset,
    change: Callable | None = None,
    seeds: tf.data.Dataset | None = None,
) -> tf.data.Dataset:
    """Makes batches fit to train on: augmented, float32, prefetched.

    Args:
        data: what `Batches` gave.
        change: `f(images, labels, seed)` that returns changed images and labels.
        seeds: two int32 for the change of each batch, shape `(2,)`.

    Returns:
        A `tf.data.Dataset` of (float32 images 0..255, labels) that several workers
        share example by example. Images of several kinds stay a tuple.
    """
    if change:
        data = tf.data.Dataset.zip(data, seeds).map(
            lambda xy, seed: change(*xy, seed),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    data = data.map(lambda x, y: (tf.nest.map_structure(_as_floats, x), y))
    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    # TensorFlow 2.21: an iterator that ends may fail to wake the thread that tunes, and
    # waits for the end of its pause: as long as it has lived itself, up to a minute.
    # Untuned, AUTOTUNE means as many calls as cores, at most 16.
    options.autotune.enabled = False
    return data.with_options(options).prefetch(tf.data.AUTOTUNE)


def _as_floats(images):
    return tf.cast(images, tf.float32)


def new_seeds(seed: int) -> tf.data.Dataset:
    """Seeds for `ready` that differ from one iteration to the next."""
    numbers = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    # Of the 32 random bits, those that make no negative number: NumPy takes none.
    return numbers.map(lambda n: tf.cast(tf.stack([n // 2, n % 2]), tf.int32))


def step_seeds(seed: int, first: int) -> tf.data.Dataset:
    """Seeds for `ready` that belong to the steps of one epoch, from `first` on."""
    steps = tf.data.Dataset.range(first, np.iinfo(np.int32).max)
    return steps.map(lambda step: tf.stack([seed, tf.cast(step, tf.int32)]))


def as_data_error(error: Exception) -> DataError | None:
    """Finds out whether bad data are what stopped a pipeline.

    Large sets are decoded while a network trains, so TensorFlow reports a damaged
    image, in its own many lines. This finds the one that names the file, or what a
    function of a user's raised.

    Args:
        error: what `fit`, or a loop over batches, raised.

    Returns:
        A `DataError` to raise or print instead; None if the data are not to blame.

    Examples:
        >>> import tensorflow as tf
        >>> cut_short = tf.errors.DataLossError(None, None, "truncated record at 42")
        >>> hh_keras.data.as_data_error(cut_short)
        DataError('a file of the data set is damaged (truncated record at ...
    """
    if not isinstance(error, tf.errors.OpError):
        return None
    raised = re.search(rf"\b{DataError.__name__}: ([^\n]+)", error.message)
    if raised:
        return DataError(raised[1].strip())
    if isinstance(error, tf.errors.DataLossError):
        text = error.message.splitlines()[0][:200]
        return DataError(
            f"a file of the data set is damaged ({text}). Prepare the data set again."
        )
    if _TRACEBACK in error.message:  # a Python function of a user's, within tf.data
        shown = error.message.partition(_TRACEBACK)[2]
        lines = re.findall(r"^([A-Za-z_][\w.]*: \S[^\n]*)$", shown, re.MULTILINE)
        if lines:
            return DataError(f"reading the data failed with {lines[-1]}")
    return None


_TRACEBACK = "Traceback (most recent call last)"
