"""Random numbers that a class draws by hand, as parts of a graph.

A generator's state is held by one `Seeds` layer, which hands out one seed for each draw
of a call, in the order of the class; a `Draw` makes numbers of its seed and keeps
nothing. So the numbers are those of the class, whatever the order in which Keras runs
the graph.
"""

import inspect
from typing import Any

import keras
from keras.src import backend
from keras.src.backend.common import global_state
from keras.src.ops.operation import Operation
from keras.src.random import seed_generator

from hh_keras.graph.ids import IdTensor, on_axis
from hh_keras.graph.opening import chance
from hh_keras.graph.opening.openable import is_array
from hh_keras.graph.opening.tensorflow_meanings import integers
from hh_keras.graph.rules import Effect, register_rule
from hh_keras.graph.rules.merging import tie_broadcast

_registered = keras.saving.register_keras_serializable(package="hh_keras")

DRAWN = """
    beta binomial categorical dropout gamma normal randint shuffle truncated_normal
    uniform
""".split()


@_registered
class Seeds(keras.layers.Layer):
    """The state of a generator of random numbers, and one seed for each draw.

    Args:
        draws: how many numbers a call draws, outside training and in it. All that are
            ever used are handed out; the state moves on by those that count.
        state: where the generator stands, two integers; None for the generator that
            Keras uses for `seed=None`.
    """

    def __init__(self, draws: Any, state: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.draws = tuple(draws)
        self._convert_input_args = False
        self.generator = None
        if state is not None:
            self.generator = keras.random.SeedGenerator(0)
            self.generator.state.assign(state)
        self.built = True

    def call(self, anchor: Any, training: Any = None) -> list:
        generator = self.generator or seed_generator.global_seed_generator()
        count = self.draws[bool(training)]
        seeds = [generator.next(self.generator is not None) for _ in range(count)]
        # What is drawn from these is used in the other mode only.
        spare = max(self.draws) - count
        return seeds + [generator.state.value * 1 for _ in range(spare)]

    def compute_output_spec(self, anchor: Any, training: Any = None) -> list:
        dtype = backend.random_seed_dtype()
        return [keras.KerasTensor((2,), dtype) for _ in range(max(self.draws))]

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return None

    def save_own_variables(self, store: Any) -> None:
        """Keras' files do not hold the states of generators; this one's they do."""
        if self.generator is not None:
            store["state"] = keras.ops.convert_to_numpy(self.generator.state)

    def load_own_variables(self, store: Any) -> None:
        if self.generator is not None and "state" in store.keys():
            self.generator.state.assign(store["state"])

    def get_config(self) -> dict:
        state = None if self.generator is None else (0, 0)
        return {**super().get_config(), "draws": self.draws, "state": state}


class Given(keras.random.SeedGenerator):
    """A generator of one given seed."""

    def __init__(self, seed: Any) -> None:
        self.seed = seed

    def next(self, ordered: Any = True) -> Any:
        return self.seed


@_registered
class Draw(Operation):
    """A function of `keras.random` that draws from a given seed.

    Args:
        function: its name.
        shape: what is drawn; None is the size that `like` has there, `-n` are `n` times
            as many as `like` has examples. None for functions that take no shape.
        arguments: its other arguments that are no tensors.
        in_training: whether the numbers are used in training only.
    """

    def __init__(
        self,
        function: Any,
        shape: Any = None,
        arguments: Any = None,
        in_training: Any = False,
        name: Any = None,
    ) -> None:
        super().__init__(name=name)
        self.function = function
        self.shape = None if shape is None else tuple(shape)
        self.arguments = dict(arguments or {})
        self.in_training = in_training

    def call(self, seed: Any, like: Any = None, **tensors: Any) -> Any:
        draw = getattr(backend.random, self.function)
        shape = () if self.shape is None else (self._sizes(keras.ops.shape, like),)
        return draw(*shape, **self.arguments, **tensors, seed=Given(seed))

    def compute_output_spec(self, seed: Any, like: Any = None, **tensors: Any) -> Any:
        if self.function == "categorical":
            shape = (tensors["logits"].shape[0], self.arguments["num_samples"])
            return keras.KerasTensor(shape, self.arguments["dtype"])
        for same in ("inputs", "x"):
            if same in tensors:
                return keras.KerasTensor(tensors[same].shape, tensors[same].dtype)
        shape = self._sizes(lambda x: x.shape, like)
        return keras.KerasTensor(shape, self.arguments["dtype"])

    def get_config(self) -> dict:
        told = ("name", "function", "shape", "arguments", "in_training")
        return {key: getattr(self, key) for key in told}

    def _sizes(self, shape_of, like):
        def size(axis, n):
            if n is not None and n >= 0:
                return n
            known = shape_of(like)[axis if n is None else 0]
            return known if n is None or known is None else -n * known

        return tuple(size(*each) for each in enumerate(self.shape))


def noted(function: Any, args: Any, kwargs: Any, symbolic: Any) -> Any:
    """What a function of `keras.random` gives while a class is followed.

    Args:
        function, args, kwargs: the call.
        symbolic: `symbolic(array)` is a symbolic tensor in the place of an array.
    """
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    given = dict(bound.arguments)
    if "dtype" in given:
        given["dtype"] = backend.standardize_dtype(given["dtype"])
    x: Any = given.get("inputs")
    if "rate" in given and given["rate"] in (0.0, 1.0):
        return keras.ops.zeros_like(x) if given["rate"] else x
    with chance.noticed(refused=False):  # Keras' own generator may be made now
        seed = symbolic(seed_generator.draw_seed(given.pop("seed")))
    shape = given.pop("shape", None)
    tensors: dict = {}
    if getattr(shape, "of", None) is not None:
        tensors["like"], shape = shape.of, (None,) * len(shape)
    elif shape is not None:
        if not is_array(shape) and any(n is None or _is_symbol(n) for n in shape):
            raise ValueError("draws numbers of a shape that is not known")
        shape = tuple(integers(shape))
    if given.get("noise_shape") is not None:
        sizes = zip(given["noise_shape"], x.shape, strict=True)
        given["noise_shape"] = [None if n == m else n for n, m in sizes]
    for key in list(given):
        if is_array(given[key]) or _is_symbol(given[key]):
            tensors[key] = symbolic(given.pop(key))
    return Draw(function.__name__, shape, given)(seed, **tensors)


def _is_symbol(value):
    return isinstance(value, keras.KerasTensor)


def global_state_variable() -> Any:
    """The state of Keras' own generator; None as long as nobody has drawn from it."""
    # Keras 3.12 has no constant for that name.
    generator = global_state.get_global_attribute("global_seed_generator")
    return None if generator is None else generator.state


@register_rule(Seeds)
def _seeds(layer, call):
    return Effect([call.fixed(s, "seeds of random numbers") for s in call.shapes])


@register_rule(Draw)
def _draw(op, call):
    """Fewer numbers are other numbers: what is drawn at any time keeps its shape.

    Numbers that are used in training only follow the channels that they meet.
    """
    tensors = {k: x for k, x in call.kwargs.items() if isinstance(x, IdTensor)}
    like = tensors.pop("like", None)
    if op.function == "shuffle":
        x = tensors["x"]
        if op.arguments["axis"] % x.rank not in x.varying:
            return Effect(IdTensor(x.ids, tuple(call.shape)))
        return call.stops("shuffles channels")
    if op.function == "categorical":
        return call.stops("draws classes by chance")
    if op.function == "dropout":
        x, sizes = tensors["inputs"], op.arguments["noise_shape"]
        sized = sizes and any(sizes[a] not in (None, 1) for a in x.varying)
        if op.in_training and not sized:
            return Effect(IdTensor(x.ids, tuple(call.shape)))
        return call.stops("drops numbers by chance")
    follows = like is not None and bool((like.ids >= 0).any())
    if not op.in_training:
        reason = "random numbers, others if there are fewer"
        for x in [*tensors.values(), *([like] if follows else [])]:
            call.freeze(x, f"{call.path}: {reason}")
        return Effect(call.fixed(call.shape, reason))
    if follows:
        drawn, config = IdTensor(like.ids, tuple(call.shape)), {}
    elif op.shape and (op.shape[-1] or 0) > 1:
        ids = call.fresh(op.shape[-1])
        drawn = on_axis(ids, -1, call.shape)
        config = {"shape": (*op.shape[:-1], ids)}
    else:
        drawn, config = call.fixed(call.shape, "random numbers"), {}
    return Effect(tie_broadcast(call, [drawn, *tensors.values()]), config=config)
