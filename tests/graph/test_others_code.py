"""Ways of writing networks that were met in the code of others."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops

import hh_keras as hh
from hh_keras.errors import ModelError
from hh_keras.graph.cloning import clone_op
from hh_keras.graph.closed import all_closed
from hh_keras.graph.opening.inline import opening
from tests.surgery.test_invariants import assert_same, random_plan

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def numbers(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def model(call, **parts):
    """A subclassed model with these layers, whose call is `call(self, x)`."""

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            for name, part in parts.items():
                setattr(self, name, part)

        def call(self, x):
            return call(self, x)

    return Own()


def opened(model, x):
    """The opened model, which gives the same numbers to the bit."""
    y = model(x)
    found = opening(model, x)
    assert not found.closed
    for a, b in zip(*map(keras.tree.flatten, (y, found.model(x))), strict=True):
        np.testing.assert_array_equal(a, b)
    return found.model


def shrinks(model, x):
    plan = random_plan(model)
    small = hh.rebuild(model, plan)
    assert small.count_params() < model.count_params()
    assert_same(hh.mask(model, plan)(x), small(x))
    return small


def free(model):
    return [g.name for g in hh.trace(model).groups if not g.frozen]


class Checked(keras.Model):
    """A functional model whose `__call__` somebody wrote."""

    def __init__(self):
        i = keras.Input((6,))
        super().__init__(i, L.Dense(2)(L.Dense(5, name="hidden")(i)))

    def __call__(self, x, *args, **kwargs):
        if isinstance(x, str):
            raise ValueError("numbers, please")
        return super().__call__(x, *args, **kwargs)


def test_a_functional_class_with_a_way_of_being_called_opens():
    x = numbers(2, 6)
    assert len(free(Checked())) == 1
    shrinks(opened(Checked(), x), x)
    i = keras.Input((6,))
    shrinks(opened(keras.Model(i, Checked()(i)), x), x)


def test_lambdas_of_a_class_are_its_own_code(tmp_path):
    x = numbers(2, 4, 4, 3)
    net = opened(
        model(
            lambda s, x: s.last(s.shuffle(s.conv(x))),
            conv=L.Conv2D(32, 3),
            shuffle=keras.Sequential([L.Lambda(lambda x: tf.nn.depth_to_space(x, 2))]),
            last=L.Dense(3),
        ),
        x,
    )
    assert len(free(net)) == 1
    shrinks(net, x).save(tmp_path / "net.keras")
    keras.models.load_model(tmp_path / "net.keras")  # in safe mode


def test_what_tensorflow_compiles_is_followed_though_it_has_run_before():
    class Compiled(keras.Model):
        def __init__(self):
            super().__init__()
            self.one, self.two = L.Dense(6, activation="tanh"), L.Dense(2)

        @tf.function(input_signature=[tf.TensorSpec([None, 4])])
        def features(self, x):
            return tf.nn.relu(self.one(x))

        @tf.function
        def call(self, x):
            return self.two(self.features(x))

    x = numbers(2, 4)
    net = Compiled()
    net(x), net(x)
    shrinks(opening(net).model, x)
    assert_same(net(x), opening(net).model(x), 1e-6)


def test_padding_in_capitals():
    x = numbers(2, 6, 6, 3)
    net = model(
        lambda s, x: s.last(s.pool(s.conv(x))),
        conv=L.Conv2D(8, 3),
        pool=L.AveragePooling2D(2, padding="SAME"),
        last=L.Dense(2),
    )
    shrinks(opened(net, x), x)
    assert net.pool.padding == "SAME"


class Cube(L.Layer):
    """A layer of one's own, which does not take sparse tensors."""

    def call(self, x):
        return tf.linalg.matmul(x, x, transpose_b=True) @ x


def test_a_tensor_times_a_number_is_dense(tmp_path):
    class Scaled(L.Layer):
        def __init__(self):
            super().__init__()
            self.dense, self.cube = L.Dense(4), Cube()

        def call(self, x):
            return self.cube(2.0 * self.dense(x))

        def compute_output_shape(self, shape):
            return (*shape[:-1], 4)

    x = numbers(2, 3, 5)
    net = opened(model(lambda s, x: s.block(x), block=Scaled()), x)
    assert_same(net(x), hh.rebuild(net, random_plan(net))(x))
    net.save(tmp_path / "net.keras")
    with keras.saving.custom_object_scope({"Cube": Cube}):
        assert_same(net(x), keras.models.load_model(tmp_path / "net.keras")(x))


def test_einsum_with_blanks_and_capitals():
    x = numbers(2, 3, 3, 4)

    def call(self, x):
        scores = tf.einsum("bhwc, bHWc -> bhwHW", self.q(x), self.k(x))
        return tf.einsum("bhwHW,bHWc->bhwc", scores, x)

    net = opened(model(call, q=L.Dense(5), k=L.Dense(5)), x)
    assert len(free(net)) == 1
    shrinks(net, x)


def test_sizes_that_einsum_dense_does_not_say_are_known():
    x = numbers(2, 3, 4)

    def call(self, x):
        x = self.heads(x)
        return self.last(x * ops.cast(ops.arange(ops.shape(x)[1]), "float32")[:, None])

    heads = L.EinsumDense("abc,cd->abd", output_shape=(None, 6))
    shrinks(opened(model(call, heads=heads, last=L.Dense(2)), x), x)


def test_indices_are_integers():
    table = ops.convert_to_tensor(numbers(9, 4))
    net = model(
        lambda s, i: ops.take(s.dense(table), ops.squeeze(i, -1), axis=0),
        dense=L.Dense(5),
    )
    i = np.array([[2], [7]], "int32")
    y = net(i)
    net = opening(net).model
    assert net.inputs[0].dtype == "int32"
    np.testing.assert_array_equal(y, net(i))


class Raw(keras.Model):
    def build(self, shape):
        def weight(name, *shape):
            return self.add_weight(shape, "random_normal", name=name)

        self.first = weight("first", 3, 3, shape[-1], 8)
        self.bias = weight("bias", 8)
        self.depth = weight("depth", 3, 3, 8, 1)
        self.points = weight("points", 1, 1, 8, 8)
        self.up = weight("up", 2, 2, 6, 8)
        self.line = weight("line", 3, 6, 5)

    def call(self, x):
        x = tf.nn.conv2d(x, self.first, strides=[1, 2, 2, 1], padding="SAME")
        x = tf.nn.relu(tf.nn.bias_add(x, self.bias))
        x = tf.nn.depthwise_conv2d(x, self.depth, [1, 1, 1, 1], "VALID")
        x = ops.conv(x, self.points)
        size = tf.shape(x)
        size = [size[0], size[1] * 2, size[2] * 2, 6]
        x = tf.nn.conv2d_transpose(x, self.up, size, strides=2)
        return tf.nn.conv1d(tf.reduce_max(x, 1), self.line, 1, "SAME")


def test_convolutions_with_raw_weights_are_layers():
    x = numbers(2, 8, 8, 3)
    net = Raw()
    net(x)
    net = opened(net, x)
    kinds = {type(net.get_layer(n)).__name__ for n in ("first", "depth", "up", "line")}
    assert kinds == {"Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Conv1D"}
    small = shrinks(net, x)
    assert small.get_layer("first").filters < 8


def test_attention_reads_the_mask_of_its_query():
    class Masked(L.Layer):
        """As most write it: the mask goes along with the tensors."""

        def __init__(self):
            super().__init__()
            self.look = L.Embedding(9, 6, mask_zero=True)
            self.attention = L.MultiHeadAttention(2, 3)

        def call(self, i):
            x = self.look(i)
            scaled = ops.multiply(x, 2.0)
            keras.src.backend.set_keras_mask(scaled, ops.not_equal(i, 0))
            return self.attention(scaled, scaled)

    i = np.array([[1, 2, 0, 0], [3, 0, 4, 5]], "int32")
    opened(model(lambda s, i: s.block(i), block=Masked()), i)


def test_what_stays_closed_is_told_with_the_line():
    net = model(lambda s, x: s.dense(x) / x.shape[0], dense=L.Dense(3))
    net(numbers(2, 3))
    with pytest.raises(ModelError, match=r"test_others_code\.py:\d+"):
        opening(net)


def test_a_class_that_changes_a_weight_says_so():
    def call(self, x):
        self.dense.kernel.assign(self.dense.kernel * 0.5)
        return self.dense(x)

    net = model(call, dense=L.Dense(3))
    net.dense.build((2, 3))
    net(numbers(2, 3))
    with pytest.raises(ModelError, match=r"others_code.py:\d+: changes a variable"):
        opening(net)
    assert not hasattr(keras.KerasTensor, "assign")


def test_unknown_sizes_are_named():
    net = model(
        lambda s, x: ops.reshape(s.dense(x), (-1, 3 * ops.shape(x)[1])),
        dense=L.Dense(3),
    )
    net(numbers(2, 4, 2))
    with pytest.raises(ModelError, match=re.escape("None, 2): say the sizes in `inp")):
        opening(net, keras.KerasTensor((None, None, 2)))
    opening(net, numbers(2, 4, 2))


def test_variables_that_keras_does_not_train_are_named():
    x, factor = numbers(2, 3), tf.Variable(numbers(4))
    net = model(lambda s, x: s.dense(x) * s.factor, dense=L.Dense(4), factor=factor)
    y = net(x)
    (note,) = opening(net).notes
    assert "Own.factor" in note and "add_weight" in note
    np.testing.assert_array_equal(y, opening(net).model(x))


class Told(L.Layer):
    """A layer whose config Keras notes down, and that takes nothing else."""

    def __init__(self, width=4, activation="relu"):
        super().__init__()
        self.width, self.activation = width, keras.activations.get(activation)

    def build(self, shape):
        self.kernel = self.add_weight((shape[-1], self.width), "random_normal")

    def call(self, x):
        return self.activation(ops.matmul(x, self.kernel))


def test_attributes_may_be_dicts_whose_keys_have_no_order():
    """As keras-hub's tasks keep the nodes of their layers."""
    dense = L.Dense(6)
    net = model(lambda self, x: self.last(dense(x)), dense=dense, last=L.Dense(2))
    net.notes = {dense: 1, "who": 2}
    shrinks(opened(net, numbers(3, 4)), numbers(3, 4))


def test_layers_without_a_config_of_their_own_tell_and_change_their_size():
    layer = Told(6, activation="tanh")
    copy = clone_op(layer, {"width": 5})
    assert copy.get_config()["activation"] == "tanh" and copy.width == 5
    assert copy.name == layer.name
    i = keras.Input((3,))
    net = keras.Model(i, L.Dense(2)(layer(i)))
    assert len(free(net)) == 1
    shrinks(net, numbers(2, 3))


class Gather(L.Layer):
    """Makes channels of its second input; the first has none."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shapes):
        self.kernel = self.add_weight((shapes[1][-1], self.units), "random_normal")

    def call(self, inputs):
        near, x = inputs
        return ops.matmul(ops.matmul(near, x), self.kernel)


def test_inputs_after_the_first_stay_too_if_a_layer_reads_them_together():
    near, i = keras.Input((3, 3)), keras.Input((3, 5))
    x = Gather(6)([near, L.Dense(4, name="read")(i)])
    net = keras.Model([near, i], L.Dense(2)(x))
    with all_closed():
        assert hh.trace(net).group("read").frozen
        shrinks(net, [numbers(2, 3, 3), numbers(2, 3, 5)])
    assert hh.trace(net).group("read").frozen is None  # opened, one sees what is read
    shrinks(net, [numbers(2, 3, 3), numbers(2, 3, 5)])


class Holds(L.Layer):
    """A layer that is handed its parts, so that no config tells of them."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.out = inner, L.Dense(3)

    def call(self, x):
        return self.out(self.inner(x))


def test_a_copied_layer_has_each_weight_once():
    inner = keras.Sequential([L.Dense(4, activation="relu"), L.Dense(4)])
    layer, x = Holds(inner), numbers(2, 5)
    y, copy = layer(x), clone_op(layer)
    assert [v.shape for v in copy.variables] == [v.shape for v in layer.variables]
    np.testing.assert_array_equal(y, copy(x))
    for variable in copy.inner.variables:
        variable.assign(variable + 1.0)
    np.testing.assert_array_equal(y, layer(x))
    assert np.abs(copy(x) - y).max() > 0.1


def test_arrays_combine_with_channels_and_leave_with_them():
    x = numbers(2, 4, 3)
    places = numbers(4, 1)
    net = model(
        lambda s, x: s.last(s.dense(x) * places + 1.0),
        dense=L.Dense(6),
        last=L.Dense(2),
    )
    shrinks(opened(net, x), x)
    apart = numbers(6)
    net = model(
        lambda s, x: s.last(s.dense(x) * apart), dense=L.Dense(6), last=L.Dense(2)
    )
    shrinks(opened(net, x), x)


class Adapted(L.Layer):
    """Normalises by what it has seen, and by numbers that were given."""

    def __init__(self, seen):
        super().__init__()
        self.norm, self.given = L.Normalization(), L.Normalization(mean=1.0, variance=4)
        self.norm.adapt(seen)
        self.given.build(seen.shape)
        self.inner = keras.Sequential([L.Normalization(axis=1), L.Dense(6)])
        self.inner.layers[0].adapt(seen)

    def call(self, x):
        return self.inner(self.given(self.norm(x)))


def test_what_was_adapted_stays_adapted():
    x = 3 + 2 * numbers(9, 4)
    net = model(lambda s, x: s.dense(s.block(x)), block=Adapted(x), dense=L.Dense(2))
    shrinks(opened(net, x), x)


class Doubled(L.Layer):
    def __init__(self):
        super().__init__()
        self.dense = L.Dense(4)
        self.supports_masking = True

    def call(self, x):
        return 2 * self.dense(x)


def recurrent(kind):
    if kind == "sequential":
        return keras.Sequential([Doubled(), L.Dropout(0.1), L.GRU(5)])
    i = keras.Input((6, 3))
    return keras.Model(i, L.GRU(5)(Doubled()(i)))


@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_models_in_a_class_take_the_mask_that_they_are_handed(kind):
    x = numbers(8, 6, 3)
    net = model(
        lambda s, x: s.dense(s.inner(x, mask=ops.sum(x, axis=-1) > 0)),
        inner=recurrent(kind),
        dense=L.Dense(2),
    )
    y, without = net(x), net.dense(net.inner(x))
    assert not np.array_equal(y, without)
    opened(net, x)


def test_messages_end_with_one_dot():
    net = model(lambda s, x: (s.dense(x), None), dense=L.Dense(2))
    net(numbers(2, 3))
    with pytest.raises(ModelError, match=r"tensors only\. Write") as error:
        opening(net, numbers(2, 3))
    assert ".." not in str(error.value)
