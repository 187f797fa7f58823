"""Networks that draw random numbers by hand, one builder per way of drawing."""

import keras
from keras import layers as L
from keras import ops, random

NOISY = {}


def network(build):
    NOISY[build.__name__] = build
    return build


def _around(layer, size=8, width=6):
    """A convolution before a layer, and what reads it."""
    i = keras.Input((size, size, 3))
    x = L.Conv2D(width, 3, padding="same", activation="relu")(i)
    x = L.Conv2D(8, 3)(layer(x))
    return keras.Model(i, L.Dense(4)(L.GlobalAveragePooling2D()(x)))


class Draws(L.Layer):
    """A layer that holds a generator."""

    def __init__(self, generator=None, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = generator or random.SeedGenerator(7)


class OwnNoise(Draws):
    def call(self, x, training=None):
        if not training:
            return x
        return x + 0.1 * random.normal(ops.shape(x), seed=self.seed_generator)


@network
def noise_in_training():
    return _around(OwnNoise())


@network
def noise_of_any_size():
    return _around(OwnNoise(), size=None)


class NoiseByNumbers(Draws):
    def call(self, x, training=None):
        if training:
            shape = (ops.shape(x)[0], *x.shape[1:])
            noise = random.uniform(shape, -0.1, 0.1, seed=self.seed_generator)
            x = x * (1 + noise)
        return ops.tanh(x)


@network
def noise_whose_sizes_are_numbers():
    return _around(NoiseByNumbers())


class DropPath(Draws):
    def call(self, x, training=None):
        if training:
            shape = (ops.shape(x)[0], 1, 1, 1)
            mask = ops.floor(0.7 + random.uniform(shape, seed=self.seed_generator))
            x = ops.divide(x, 0.7) * mask
        return x


class Residual(L.Layer):
    def __init__(self, width, generator=None, **kwargs):
        super().__init__(**kwargs)
        self.conv = L.Conv2D(width, 3, padding="same")
        self.norm = L.BatchNormalization()
        self.drop = DropPath(generator)

    def call(self, x, training=None):
        y = self.norm(self.conv(x), training=training)
        return ops.relu(x + self.drop(y, training=training))


@network
def dropped_paths():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(6, 3)(i)
    for _ in range(2):
        x = Residual(6)(x)
    return keras.Model(i, L.Dense(4)(L.GlobalMaxPooling2D()(x)))


@network
def dropped_paths_of_one_generator():
    generator = random.SeedGenerator(3)
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(6, 3)(i)
    for _ in range(3):
        x = Residual(6, generator)(x)
    return keras.Model(i, L.Dense(4)(L.GlobalMaxPooling2D()(x)))


class AlwaysDrops(Draws):
    """Whoever calls it knows whether that is in training."""

    def call(self, x):
        shape = (ops.shape(x)[0], 1, 1, 1)
        keep = random.uniform(shape, seed=self.seed_generator) < 0.7
        return x * ops.cast(keep, x.dtype)


class Bottleneck(L.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.narrow, self.wide = L.Conv2D(4, 1), L.Conv2D(6, 3, padding="same")
        self.drops = AlwaysDrops()

    def call(self, x, training=None):
        y = self.wide(ops.relu(self.narrow(x)))
        if training:
            y = self.drops(y)
        return x + y


@network
def layers_called_in_training():
    return _around(Bottleneck())


class LayerDrop(Draws):
    """The whole block is left out at times."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = L.Conv2D(6, 3, padding="same")

    def call(self, x, training=None):
        y = x + self.conv(x)
        if training:
            keep = random.uniform((), seed=self.seed_generator) < 0.5
            y = ops.where(keep, y, x)
        return y


@network
def dropped_layers():
    return _around(keras.Sequential([LayerDrop(), LayerDrop()]))


class OwnDropout(Draws):
    def call(self, x, training=None):
        if training:
            x = random.dropout(x, 0.3, seed=self.seed_generator)
            shape = (ops.shape(x)[0], 1, 1, None)
            x = random.dropout(x, 0.3, shape, seed=self.seed_generator)
        return x


@network
def dropout_by_hand():
    return _around(OwnDropout())


class TwoDraws(Draws):
    """One at any time, one in training before it: the second seed or the first."""

    def call(self, x, training=None):
        if training:
            noise = random.truncated_normal(ops.shape(x), seed=self.seed_generator)
            x = x + 0.1 * noise
        shape = (ops.shape(x)[0], 1, 1, 1)
        return x * random.gamma(shape, 2.0, seed=self.seed_generator)


@network
def other_seeds_in_training():
    return _around(TwoDraws())


@network
def one_layer_draws_twice():
    draws = TwoDraws()
    return _around(lambda x: draws(ops.relu(draws(x))))


class ScaledNoise(Draws):
    """Numbers for every channel, at any time."""

    def call(self, x):
        shape = (ops.shape(x)[0], 1, 1, x.shape[-1])
        scale = random.beta(shape, 2.0, 3.0, seed=self.seed_generator)
        return x * scale + random.normal((6,), seed=self.seed_generator)


@network
def numbers_for_every_channel():
    return _around(ScaledNoise())


class RandomCrop(Draws):
    def call(self, x, training=None):
        top, left = 1, 2
        if training:
            top, left = (
                random.randint((), 0, 3, seed=self.seed_generator) for _ in range(2)
            )
        rows, columns = ops.arange(6) + top, ops.arange(6) + left
        return ops.take(ops.take(x, rows, axis=1), columns, axis=2)


@network
def random_crop():
    return _around(RandomCrop())


class Shuffled(Draws):
    def call(self, x, training=None):
        if training:
            x = random.shuffle(x, axis=1, seed=self.seed_generator)
        return x


@network
def shuffled_rows():
    return _around(Shuffled())


class Heteroscedastic(keras.Model):
    """A network that says how sure it is; its heads give mean and spread of a draw."""

    def __init__(self):
        super().__init__()
        self.body = L.Dense(8, activation="relu")
        self.mean, self.spread = L.Dense(5), L.Dense(5, activation="softplus")
        self.head, self.generator = L.Dense(3), random.SeedGenerator(1)

    def call(self, x, training=None):
        x = self.body(x)
        mean, spread = self.mean(x), self.spread(x)
        if training:
            mean = random.normal(ops.shape(mean), mean, spread, seed=self.generator)
        return self.head(mean)


@network
def parameters_that_are_tensors():
    model = Heteroscedastic()
    model(ops.ones((2, 4)))
    return model


class MaskedTokens(Draws):
    """A learnt token takes the place of some, in training."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")
        self.gain = self.add_weight(shape=(shape[-1],), name="gain")

    def call(self, x, training=None):
        if training:
            sizes = (ops.shape(x)[0], ops.shape(x)[1], 1)
            masked = random.uniform(sizes, seed=self.seed_generator) < 0.3
            x = self.gain * ops.where(masked, self.token, x)
        return x * self.gain


@network
def masked_tokens():
    i = keras.Input((8, 3))
    x = MaskedTokens()(L.Dense(5)(i))
    return keras.Model(i, L.Dense(3)(L.GlobalAveragePooling1D()(x)))


class ShakeShake(Draws):
    """Two branches are mixed by chance, otherwise forwards than backwards."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.branches = [L.Conv2D(6, 3, padding="same") for _ in range(2)]
        self.norm = L.BatchNormalization()

    def call(self, x, training=None):
        a, b = (branch(x) for branch in self.branches)
        if not training:
            return x + self.norm((a + b) / 2, training=False)
        shape = (ops.shape(x)[0], 1, 1, 1)
        there, back = (
            random.uniform(shape, seed=self.seed_generator) for _ in range(2)
        )
        y = back * a + (1 - back) * b
        z = there * a + (1 - there) * b
        return x + self.norm(y + ops.stop_gradient(z - y), training=True)


@network
def branches_mixed_by_chance():
    return _around(ShakeShake())


class Auxiliary(keras.Model):
    """A second head, a loss and noise: in training only."""

    def __init__(self):
        super().__init__()
        self.body, self.head, self.second = L.Dense(8), L.Dense(3), L.Dense(3)
        self.noise = L.GaussianNoise(0.1, seed=4)

    def call(self, x, training=None):
        y = ops.relu(self.body(x))
        self.add_loss(1e-2 * ops.mean(self.head(y)))
        if training:
            self.add_loss(1e-2 * ops.sum(ops.square(y)))
            return self.head(self.noise(y)) + 0.3 * self.second(y)
        return self.head(y)


@network
def a_second_head_in_training():
    model = Auxiliary()
    model(ops.ones((2, 4)), training=True)
    return model


class Unseeded(L.Layer):
    def call(self, x, training=None):
        if training:
            x = x + 0.1 * random.normal(ops.shape(x))
        keep = random.uniform((ops.shape(x)[0], 1, 1, 1))
        return x * ops.cast(keep > 0.2, x.dtype)


@network
def draws_without_a_seed():
    return _around(keras.Sequential([Unseeded(), L.ReLU(), Unseeded()]))


class IntegerSeed(L.Layer):
    def call(self, x, training=None):
        shape = (ops.shape(x)[0], 1, 1, 1)
        x = x * random.binomial(shape, 3.0, 0.5, seed=11)
        return x + random.normal(ops.shape(x), seed=12) if training else x


@network
def draws_with_an_integer():
    return _around(IntegerSeed())


class Half(Draws):
    def call(self, x, training=None):
        if training:
            shape = (ops.shape(x)[0], 1, 1, 1)
            noise = random.uniform(shape, dtype=x.dtype, seed=self.seed_generator)
            x = x * noise
        return x


@network
def noise_in_half_precision():
    return _around(Half(dtype="mixed_float16"))
