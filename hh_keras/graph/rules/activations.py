"""Which activation functions treat every channel by itself."""

import keras

_NAMES = """
    celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh
    leaky_relu linear log_sigmoid mish relu relu6 selu sigmoid silu soft_shrink
    softplus softsign sparse_plus sparse_sigmoid squareplus swish tanh tanh_shrink
    threshold
""".split()
_FUNCTIONS = tuple(
    getattr(keras.activations, name)
    for name in _NAMES
    if hasattr(keras.activations, name)
)
_LAYERS = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.ELU)


def mixes_channels(activation):
    """Whether an activation is not known to work element by element."""
    if activation is None or activation in _FUNCTIONS:
        return False
    if isinstance(activation, keras.layers.Activation):
        return mixes_channels(activation.activation)
    return not isinstance(activation, _LAYERS)


def activation_name(activation):
    return getattr(activation, "__name__", None) or type(activation).__name__


def freeze_if_mixed(layer, call, ids):
    """Freezes a layer's new channels if its own activation works across them."""
    activation = getattr(layer, "activation", None)
    if mixes_channels(activation):
        call.freeze(
            ids,
            f"{call.path}: activation '{activation_name(activation)}' "
            "works across channels",
        )
