"""int8, but for layers that stay in floats."""

import re
from collections.abc import Sequence
from typing import Any

from hh_keras.export.prediction import interpreter_class


def convert_mixed(converter: Any, floats: Sequence[str]) -> bytes:
    """Converts to int8, except for some layers; inputs and outputs are float32.

    The converter itself takes no such list. Its two steps do: the ranges are read, then
    what is quantised is chosen operation by operation.

    Args:
        converter: `tf.lite.TFLiteConverter`, set up for int8, floats allowed.
        floats: names of the layers.

    Returns:
        The content of the file.
    """
    from tensorflow.lite.python.convert import mlir_quantize

    converter._experimental_calibrate_only = True
    calibrated = converter.convert()
    interpreter = interpreter_class()(model_content=calibrated)
    names = [detail["name"] for detail in interpreter.get_tensor_details()]
    return mlir_quantize(calibrated, denylisted_nodes=computed_by(names, floats))


def computed_by(names: Sequence[str], layers: Sequence[str]) -> list[str]:
    """Those of the converter's tensors that layers compute, by their names.

    Args:
        names: such as "model/conv_1/Relu;model/conv_1/BiasAdd": several operations may
            have become one, and a layer's name may end in a number.
        layers: of Keras.
    """
    if not layers:
        return []
    one = "|".join(map(re.escape, layers))
    pattern = re.compile(rf"(?:^|[/;])(?:{one})(?:_\d+)?(?:[/;]|$)")
    return [name for name in names if pattern.search(name)]
