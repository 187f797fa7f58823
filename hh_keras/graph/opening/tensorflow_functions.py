"""TensorFlow's functions on symbolic tensors, while a class is followed.

TensorFlow hands a function over when it cannot do with its arguments. Where a
`keras.ops` says the same, that is what is noted; the rest becomes one registered
operation that knows the function by its public name.
"""

import contextlib
import functools
import inspect
import sys
import types
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.ops.operation import Operation
from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function
from tensorflow.python.eager.polymorphic_function.tf_method_target import TfMethodTarget
from tensorflow.python.util import dispatch, tf_decorator

from hh_keras.graph.opening import (  # noqa: F401  (its functions)
    chance,
    tensorflow_images,
)
from hh_keras.graph.opening.tensorflow_meanings import as_keras

_NOT_SUPPORTED = tf.__internal__.dispatch.GlobalOpDispatcher.NOT_SUPPORTED


@keras.saving.register_keras_serializable(package="hh_keras")
class TensorFlowFunction(Operation):
    """A public function of TensorFlow as an operation of a graph.

    Args:
        function: its name without `tf.`, for instance `"image.rgb_to_yuv"`.
    """

    def __init__(self, function: Any, name: Any = None) -> None:
        super().__init__(name=name)
        self.function = function

    @property
    def rule_name(self) -> str:
        return f"tf.{self.function}"

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return public(self.function)(*args, **kwargs)


def public(name: Any) -> Any:
    """The function of TensorFlow of that name, or None."""
    try:
        return functools.reduce(getattr, name.split("."), tf)
    except AttributeError:
        return None


_CHANGES = ("assign", "assign_add", "assign_sub")


def _changed(*args, **kwargs):
    raise TypeError("changes a variable in its call")


@contextlib.contextmanager
def accepted(active: Any) -> Any:
    """Takes symbolic tensors in TensorFlow's functions, as long as `active()`."""

    class Dispatcher(tf.__internal__.dispatch.GlobalOpDispatcher):
        def handle(self, op, args, kwargs):
            if not active() or _called_by_tensorflow():
                return _NOT_SUPPORTED
            return symbolic(op, args, kwargs)

    dispatcher = Dispatcher()
    dispatcher.register()
    shape = keras.KerasTensor.shape
    keras.KerasTensor.get_shape = lambda x: tf.TensorShape(tuple(x.shape))
    keras.KerasTensor.shape = property(
        lambda x: Shape.of_tensor(shape.fget(x), x), shape.fset
    )
    # Without it numpy would make an array of objects of `array * tensor`.
    keras.KerasTensor.__array_ufunc__ = None
    item = keras.KerasTensor.__getitem__
    keras.KerasTensor.__getitem__ = lambda x, key: item(x, _key(key))
    keras.KerasTensor.value = property(lambda x: x)  # it may stand for a variable
    for name in _CHANGES:
        setattr(keras.KerasTensor, name, _changed)
    try:
        with uncompiled(lambda args: active() and _any_symbolic(args)):
            yield
    finally:
        keras.KerasTensor.__getitem__ = item
        dispatch._GLOBAL_DISPATCHERS.remove(dispatcher)
        keras.KerasTensor.shape = shape
        for name in ("get_shape", "__array_ufunc__", "value", *_CHANGES):
            delattr(keras.KerasTensor, name)


@contextlib.contextmanager
def uncompiled(wanted: Any) -> Any:
    """Runs what tf.function compiles as the Python that it is, if `wanted(args)`.

    Functions of Keras itself stay: some of them run compiled only.
    """
    compiled = Function.__call__

    def call(function, *args, **kwargs):
        if wanted((args, kwargs)):
            python = _python(function)
            if not python.__module__.startswith("keras."):
                return python(*args, **kwargs)
        return compiled(function, *args, **kwargs)

    Function.__call__ = call
    try:
        yield
    finally:
        Function.__call__ = compiled


def _any_symbolic(value):
    return any(isinstance(x, keras.KerasTensor) for x in keras.tree.flatten(value))


def _python(function):
    """The Python function in a tf.function, as it was before AutoGraph changed it."""
    plain = tf_decorator.unwrap(function.python_function)[1]
    owner = getattr(plain, "__self__", None)
    if isinstance(owner, TfMethodTarget):
        return types.MethodType(plain.__func__, owner.target)
    return plain


def _key(key):
    """What stands in brackets, as Keras takes it: it knows no slice or None alone."""

    def plain(k):
        if isinstance(k, slice):
            return slice(plain(k.start), plain(k.stop), plain(k.step))
        whole = isinstance(k, np.integer) or tf.is_tensor(k) and k.dtype.is_integer
        return int(k) if whole and not k.shape else k

    if isinstance(key, (tuple, list)):
        return type(key)(map(plain, key))
    alone = isinstance(key, slice) or key is ... or key is None
    return (plain(key),) if alone else plain(key)


class Shape(tuple):
    """A shape that can be asked in TensorFlow's words too.

    `of` is the tensor that has it, as long as it is that shape as a whole.
    """

    of = None

    @classmethod
    def of_tensor(cls, sizes: Any, tensor: Any) -> "Shape":
        shape = cls(sizes)
        shape.of = tensor
        return shape

    def as_list(self) -> list:
        return list(self)

    def is_fully_defined(self) -> bool:
        return None not in self

    @property
    def rank(self) -> int:
        return len(self)

    ndims = rank
    dims = property(list)


_PACKAGE = str(Path(tf.__file__).parent)
_PLUMBING = (
    "python/util/dispatch.py",
    "python/util/traceback_utils.py",
    "python/ops/weak_tensor_ops.py",
)


def _called_by_tensorflow():
    """Whether the function that is being handed over was called within TensorFlow.

    Then its caller will be handed over in turn, which says more.
    """
    frame = sys._getframe(2)
    asked = None  # the generated function that asks for dispatch itself
    while frame is not None:
        code = frame.f_code
        generated = Path(code.co_filename).name.startswith("gen_")
        if generated and asked in (None, code.co_name):
            asked = code.co_name
        elif not code.co_filename.endswith(_PLUMBING):
            return code.co_filename.startswith(_PACKAGE)
        frame = frame.f_back
    return False


def symbolic(op: Any, args: Any, kwargs: Any) -> Any:
    """What a function of TensorFlow is on symbolic tensors, or NOT_SUPPORTED."""
    if not _any_symbolic((args, kwargs)):
        return _NOT_SUPPORTED
    name = public_name(op)
    if name is None:
        return _NOT_SUPPORTED
    args, kwargs = _named(op, args, kwargs)
    short = name
    for module in ("math.", "nn.", "linalg."):
        short = short.removeprefix(module)
    try:
        same = as_keras(short, kwargs, args)
    except (TypeError, ValueError, NotImplementedError, KeyError, AttributeError):
        same = None
    if same is not None:
        return same
    if _draws(name):
        raise chance.Drawn(chance.TENSORFLOW)
    args, kwargs = keras.tree.map_structure(_plain, (args, kwargs))
    return TensorFlowFunction(name)(*args, **kwargs)


def public_name(op: Any) -> Any:
    """The name by which a function of TensorFlow is found in `tf`, or None."""
    plain = tf_decorator.unwrap(op)[1]
    names = [*getattr(plain, "_tf_api_names", ())]
    names += [f"compat.v1.{name}" for name in getattr(plain, "_tf_api_names_v1", ())]
    return next((name for name in names if public(name) is not None), None)


def _draws(name):
    """Whether a function has a random state of its own."""
    return "stateless" not in name and ("random" in name or "dropout" in name)


def _named(op, args, kwargs):
    """Arguments by name; what has its default, or is only a name, is left out."""
    try:
        signature = inspect.signature(op)
        bound = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):
        return args, kwargs
    kinds = [p.kind for p in signature.parameters.values()]
    if (
        inspect.Parameter.VAR_POSITIONAL in kinds
        or inspect.Parameter.VAR_KEYWORD in kinds
    ):
        return args, {k: v for k, v in kwargs.items() if k != "name"}
    named = {
        k: v
        for k, v in bound.arguments.items()
        if k != "name" and v is not signature.parameters[k].default
    }
    return (), named


def _plain(value):
    """Values that a config can hold."""
    if isinstance(value, tf.DType):
        return value.name
    if isinstance(value, tf.TensorShape):
        return value.as_list()
    return value
