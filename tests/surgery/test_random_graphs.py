"""Random graphs: any composition of layers shrinks exactly."""

import keras
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers as L

import hh_keras as hh
from tests.zoo import example, randomize

OPS = (
    "conv",
    "depthwise",
    "separable",
    "norm",
    "relu",
    "add",
    "concat",
    "excite",
    "grouped",
    "shuffle",
    "slice",
    "pad",
    "again",
    "fold",
    "own",
)


class Gate(L.Layer):
    """A layer without a rule and without a config."""

    def __init__(self, slope):
        super().__init__()
        self.slope = slope
        self.function = lambda t: t * keras.ops.sigmoid(t * slope)

    def call(self, x):
        return self.function(x)


def grow(kind, pool, width):
    """Appends one tensor of 6 x 6 positions to the pool."""
    x = pool[-1]
    channels = x.shape[-1]
    if kind == "conv":
        y = L.Conv2D(width, 3, padding="same")(x)
    elif kind == "depthwise":
        y = L.DepthwiseConv2D(3, padding="same", depth_multiplier=1 + width % 2)(x)
    elif kind == "separable":
        y = L.SeparableConv2D(width, 3, padding="same")(x)
    elif kind == "norm":
        y = L.BatchNormalization()(x)
    elif kind == "relu":
        y = L.Activation("relu")(x)
    elif kind == "add":
        same = [t for t in pool[:-1] if t.shape == x.shape]
        y = L.Add()([x, same[width % len(same)]]) if same else L.ReLU()(x)
    elif kind == "concat":
        y = L.Concatenate()([x, pool[width % len(pool)]])
    elif kind == "excite":
        s = L.GlobalAveragePooling2D(keepdims=True)(x)
        y = x * L.Conv2D(channels, 1, activation="sigmoid")(s)
    elif kind == "grouped" and channels % 2 == 0:
        y = L.Conv2D(2 * width, 3, padding="same", groups=2)(x)
    elif kind == "shuffle" and channels % 2 == 0:
        y = L.Reshape((6, 6, 2, channels // 2))(x)
        y = L.Reshape((6, 6, channels))(L.Permute((1, 2, 4, 3))(y))
    elif kind == "slice" and channels > 2:
        y = x[..., 1 : channels - 1]
    elif kind == "pad":
        y = keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (width % 3, width // 3)))
    elif kind == "again":
        y = call_again(pool, width)
    elif kind == "fold":
        y = L.Dense(width)(keras.ops.reshape(x, (-1, channels)))
        y = keras.ops.reshape(y, (-1, 6, 6, width))
    elif kind == "own":
        y = Gate(width / 4)(x)
    else:
        y = L.ReLU()(x)
    pool.append(y)


def call_again(pool, width):
    """Calls a layer of the graph once more, from inside a nested model.

    The nested model may be one that was called before: then only it is called again.
    """
    x = pool[-1]
    made = [t._keras_history.operation for t in pool[1:]]
    fits = [
        op
        for op in made
        if isinstance(op, (L.Conv2D, L.BatchNormalization, keras.Model))
        and op.input.shape == x.shape
    ]
    if not fits:
        return L.ReLU()(x)
    shared = fits[width % len(fits)]
    if isinstance(shared, keras.Model):
        return shared(x)
    inner = keras.Input(x.shape[1:])
    return keras.Model(inner, L.ELU()(shared(inner)))(x)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(OPS), st.integers(2, 9)), min_size=3, max_size=12
    ),
    seed=st.integers(0, 9),
)
def test_random_graphs_shrink_exactly(steps, seed):
    inputs = keras.Input((6, 6, 3))
    pool = [inputs, L.Conv2D(6, 3, padding="same")(inputs)]
    for kind, width in steps:
        grow(kind, pool, width)
    x = L.Flatten()(L.MaxPooling2D(3)(pool[-1]))
    model = randomize(keras.Model(inputs, L.Dense(3)(x)), seed)
    channels = hh.trace(model)
    rng = np.random.default_rng(seed)
    keep = np.ones(channels.size, bool)
    for group in channels.groups:
        if not group.frozen:
            keep[group.ids.start : group.ids.stop] = rng.random(len(group)) < 0.6
            keep[rng.choice(group.ids)] = True
    plan = hh.Plan.of(channels, keep)
    small = hh.rebuild(model, plan)
    data = example(model)
    masked, rebuilt = (np.asarray(m(data)) for m in (hh.mask(model, plan), small))
    assert np.abs(masked - rebuilt).max() <= 1e-5 * max(np.ptp(masked), 1e-6)
    assert hh.cost(small).params == small.count_params()
