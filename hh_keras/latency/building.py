"""A unit alone, with other channel counts, as the `.tflite` file that is timed."""

import keras
import numpy as np
import tensorflow as tf

from hh_keras.export.quiet import quiet
from hh_keras.graph.calls import as_graph
from hh_keras.graph.cloning import clone_op
from hh_keras.latency.framing import resized
from hh_keras.latency.units import ATTENTION, Unit, counted, grouped
from hh_keras.latency.values import Value

QUANTIZATIONS = ("float32", "int8")


def build(unit: Unit, n_in: int, n_out: int) -> keras.Model:
    """Makes a Keras model of one unit with the given channel counts, or the nearest.

    Args:
        unit: what `units` found.
        n_in, n_out: channels that go in and come out; `n_in` counts only if the unit
            contracts.

    Raises:
        ModelError: a layer cannot be made again.
    """
    values = [v for v in (*unit.inputs, unit.output) if v.shape]
    on_last = all(v.axes == (len(v.shape) - 1,) and not v.batch for v in values)
    inside = unit.contracts and any(grouped(step.op) for step in unit.steps)
    told = any(counted(step.op) for step in unit.steps) and not inside
    told |= bool(unit.inner)
    if on_last and (told or not (unit.contracts or unit.multiplies)):
        try:
            model = _of_configs(unit, n_in, n_out)
        except Exception:  # layers raise many kinds
            return resized(unit, n_in, n_out)
        if unit.output.ids is None or model.output_shape[-1] == n_out:
            return model
    return resized(unit, n_in, n_out)


def _of_configs(unit, n_in, n_out):
    shapes = _input_shapes(unit, n_in, n_out)
    inputs = [
        keras.Input(shape, batch_size=1, dtype=value.dtype)
        for shape, value in zip(shapes, unit.inputs, strict=True)
    ]
    tensors = {id(v): t for v, t in zip(unit.inputs, inputs)}

    def tensor(x):
        return tensors[id(x)] if isinstance(x, Value) else x

    for step in unit.steps:
        args, kwargs = keras.tree.map_structure(tensor, (step.args, step.kwargs))
        changed = _config(step.op, n_in, n_out)
        if unit.inner:
            changed = _heads(step.op, n_in, n_out)
        if _adds_planes(step):  # as many as are missing
            missing = n_out - tensor(step.inputs[0]).shape[-1]
            changed["pad_width"] = [*step.op.pad_width[:-1], (0, missing)]
        op = clone_op(step.op, changed)
        result = op(*args, **kwargs)
        tensors[id(step.output)] = keras.tree.flatten(result)[0]
    return keras.Model(inputs, tensors[id(unit.output)])


def _config(op, n_in, n_out):
    changed = {n: n_out for n in ("filters", "units") if hasattr(op, n)}
    if getattr(op, "groups", 1) > 1 and changed:
        changed["groups"] = max(1, n_out // (op.filters // op.groups))
    return changed


def _heads(op, n_in, n_out):
    """Heads, and the numbers of each, of which the same shares have left."""
    kind = type(op).__name__
    heads, sizes = ATTENTION[kind]
    shared = getattr(op, "num_key_value_heads", 1)
    whole = getattr(op, heads) * sum(getattr(op, size) for size in sizes)
    share = (n_in / whole) ** 0.5
    count = max(1, round(getattr(op, heads) * share / shared)) * shared
    changed = {heads: count, **dict.fromkeys(sizes, max(1, round(n_in / 2 / count)))}
    if kind == "MultiHeadAttention":  # the other is as wide as what asks
        changed["output_shape"] = n_out
    return changed


def _adds_planes(step):
    before, after = step.inputs[0].shape, step.output.shape
    return hasattr(step.op, "pad_width") and before[-1:] != after[-1:]


def _input_shapes(unit, n_in, n_out):
    shapes = [v.shape for v in unit.inputs]
    if unit.contracts and not unit.inner:
        return [(*shapes[0][:-1], n_in)]
    before = unit.output.shape[-1]
    share = n_out / before
    if len(shapes) > 1 and sum(s[-1] for s in shapes) == before:  # concatenation
        edges = np.cumsum([0, *(s[-1] for s in shapes)]) * share
        return [
            (*s[:-1], max(1, n))
            for s, n in zip(shapes, np.diff(np.round(edges).astype(int)).tolist())
        ]
    return [
        s if v.ids is None or s[-1] == 1 else (*s[:-1], max(1, round(s[-1] * share)))
        for s, v in zip(shapes, unit.inputs)
    ]


def convert(model: keras.Model, quantize: str) -> bytes:
    """Converts a model for one example, int8 tensors going in and out if quantised.

    Weights and ranges do not matter here: a file of random ones takes as long.
    """
    shapes = [[1 if n is None else n for n in t.shape] for t in model.inputs]
    specs = [tf.TensorSpec(s, t.dtype) for s, t in zip(shapes, model.inputs)]

    struct = as_graph(model)._inputs_struct

    @tf.function(autograph=False)
    def call(*inputs):
        return model(keras.tree.pack_sequence_as(struct, inputs), training=False)

    function = call.get_concrete_function(*specs)
    with quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if quantize == "int8":
        draw = np.random.default_rng(0)
        images = [
            draw.normal(size=s.shape).astype(s.dtype.as_numpy_dtype) for s in specs
        ]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: [images]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    with quiet():
        return converter.convert()
