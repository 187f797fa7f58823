"""The data of a task of one's own: its function, called with the flags it asks for."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf
from absl.flags import FlagValues

from hh_keras.data import ImageData
from hh_keras.data.batches import as_dataset
from hh_keras.errors import DataError, HHError
from hh_keras.flag import given
from hh_keras.graph.calls import as_graph, match_inputs
from hh_keras.models.registry import names_file
from hh_keras.models.sources import call
from hh_keras.tasks.classification import data as labelled
from hh_keras.training import Task
from hh_keras.training.trainee import unpacked

OFFERED: Mapping[str, Any] = {
    "batch_size": 64,
    "seed": 0,
    "dataset": "embedded",
    "image_size": None,
    "augment": "none",
    "view": None,
}
"""Flags that `Task.data` may ask for, by the names of its arguments; and what they are
where a command does not have them."""


def load(
    task: Task, args: FlagValues, build: Callable, check: bool = True
) -> tuple[keras.Model, ImageData]:
    """Reads the task's data and builds --model; see `Application`.

    Without data of its own, a task learns from labelled images, those of --dataset.

    Raises:
        DataError: the data cannot be used; it says why.
    """
    if task.data is None:
        model, data = labelled.load(args, build, check=False)
    else:
        train, validation = _read(task, args)
        shapes = tf.nest.map_structure(
            lambda x: tuple(x.shape[1:]), unpacked(train.element_spec)[0]
        )
        shape = _flat(shapes)
        if ":" not in args.model and not names_file(args.model) and len(shape) != 3:
            raise HHError(
                f"--model={args.model} takes images, but the data of --task="
                f"{args.task} are {shape}, without the batch: give a network of your "
                "own, --model=MODULE:FUNCTION or a .keras file, or name one in the "
                "task, defaults={'model': ...}."
            )
        model = build(args, shape, None)
        train, validation = (_as_taken(model, each) for each in (train, validation))
        _check_shapes(model, train, args)
        data = _described(task, train, validation)
    if check:
        task.check(model, data)
    return model, data


def _read(task, args):
    """The task's batches, of both kinds."""
    found = _called(task, args)
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise DataError(
            f"--task={args.task}: its data must return (train, validation), two data "
            "sets of batches (x, y) or (x, y, sample_weight)."
        )
    limit, size = given(args, "limit"), given(args, "batch_size", 64)
    both = []
    for part, batches in zip(("training", "validation"), found):
        try:
            if limit and isinstance(batches, tf.data.Dataset):  # which may be endless
                batches = batches.unbatch().take(limit).batch(size)
            dataset = as_dataset(batches)
            unpacked(dataset.element_spec)
        except DataError as error:
            raise DataError(f"--task={args.task}: {part} data: {error}") from error
        if limit and dataset is not batches:
            dataset = dataset.unbatch().take(limit).batch(size)
        both.append(dataset)
    return both


def _called(task, args):
    offered = {name: given(args, name, usual) for name, usual in OFFERED.items()}
    takes = inspect.signature(task.data).parameters
    for name in set(offered) & set(args) - {"seed"}:
        if args[name].present and name not in takes:
            raise HHError(
                f"--{name} is given, but the data of --task={args.task} take no such "
                f"argument: write def data({name}, ...), or leave it out."
            )
    wanted = {name: value for name, value in offered.items() if name in takes}
    return call(task.data, wanted, f"--task={args.task}: its data")


def _flat(shapes):
    """A shape, or a tuple of those of several inputs."""
    if isinstance(shapes, Mapping):
        shapes = tuple(shapes[key] for key in sorted(shapes))
    if shapes and isinstance(shapes[0], (tuple, list)):
        return shapes[0] if len(shapes) == 1 else tuple(shapes)
    return shapes


def _as_taken(model, dataset):
    """Batches whose inputs are in the structure of the model's."""
    graph = as_graph(model)
    images, *_ = unpacked(dataset.element_spec)
    own = graph._inputs_struct
    if not isinstance(images, Mapping) or isinstance(own, Mapping):
        return dataset
    missing = [t.name for t in graph.inputs if t.name not in images]
    if missing and len(images) > 1:
        raise DataError(
            f"model {model.name!r} takes {', '.join(t.name for t in graph.inputs)}, "
            f"but batches have {', '.join(images)}: {missing[0]!r} is missing."
        )

    def taken(images, *rest):
        found = list(images.values()) if missing else match_inputs(graph, images)
        return (found[0] if len(found) == 1 else tuple(found), *rest)

    return dataset.map(taken, tf.data.AUTOTUNE, deterministic=True)


def _check_shapes(model, dataset, args):
    """Raises DataError unless the model takes the shapes that the data have."""
    given = tf.nest.flatten(unpacked(dataset.element_spec)[0])
    for taken, found in zip(as_graph(model).inputs, given):
        shape, own = found.shape, tf.TensorShape(taken.shape)
        if shape.rank is not None and shape.rank == len(own) - 1 and own[-1] == 1:
            shape = shape.concatenate([1])  # Keras adds such an axis
        if not shape.is_compatible_with(own):
            raise DataError(
                f"--task={args.task}: its data are {tuple(found.shape)}, but input "
                f"{taken.name!r} of model {model.name!r} takes {taken.shape}: give "
                "batches of that shape, or --model=MODULE:FUNCTION that takes "
                "image_shape, the shape of an example."
            )


def _described(task, train, validation):
    first = next(iter(train.take(1)), None)
    for part, empty in (
        ("training", first is None),
        ("validation", next(iter(validation.take(1)), None) is None),
    ):
        if empty:
            raise DataError(f"the {part} data of task {task.name!r} hold no batch.")
    images = tf.nest.flatten(first[0])
    shapes = tuple(tuple(x.shape[1:]) for x in images)
    return ImageData(
        name=f"the data of {task.name}",
        train=train,
        epoch=lambda number, first=0: train.skip(first),
        validation=validation,
        search=train,
        class_names=(),
        num_train=_count(train),
        num_validation=_count(validation),
        image_shape=shapes[0] if len(shapes) == 1 else shapes,
        description={"batch_size": len(images[0])},
        skipped={},
    )


def _count(dataset: Any) -> int:
    """How many examples there are, by a pass over them."""
    sizes = dataset.map(
        lambda *batch: tf.shape(tf.nest.flatten(batch[1])[0], tf.int64)[0]
    )
    return int(sizes.reduce(tf.constant(0, tf.int64), lambda a, b: a + b))
