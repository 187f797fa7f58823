"""Moving averages of the weights: what is validated and kept in their stead."""

import keras

from hh_keras.training.optimizers import innermost


def swap(model: keras.Model) -> None:
    """Exchanges a compiled model's weights and their averages, bit for bit.

    Called twice, it changes nothing. Without averages (`Recipe.ema` is 0) it does
    nothing. Moving statistics are averages already and stay.
    """
    optimizer = innermost(model.optimizer)
    if not optimizer.use_ema or not optimizer.built:
        return
    if not int(keras.ops.convert_to_numpy(optimizer.iterations)):
        return  # no average yet
    averages = optimizer._model_variables_moving_average
    for weight, average in zip(model.trainable_variables, averages, strict=True):
        value = keras.ops.convert_to_numpy(weight)
        weight.assign(keras.ops.convert_to_numpy(average))
        average.assign(value)
