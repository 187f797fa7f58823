"""Requests that TF Serving replays when it loads a model.

The first request of each kind takes many times as long as the next; these are the
first, before any client's. See https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

import importlib.util
from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf

from hh_keras.errors import ModelError
from hh_keras.export.signatures import Signature

PLACE = "assets.extra/tf_serving_warmup_requests"
MISSING = (
    "tensorflow-serving-api is not installed. Install it with "
    "pip install 'hh_keras[serving]'"
)


def available() -> bool:
    """Whether the official protocol buffers are installed."""
    return importlib.util.find_spec("tensorflow_serving") is not None


def write_warm_up(folder: Path, name: str, signatures: Iterable[Signature]) -> None:
    """Writes the examples of signatures as `PredictionLog` records.

    Args:
        folder: the SavedModel, a `pathlib.Path`.
        name: of the model on the server.
        signatures: `Signature`s.

    Raises:
        ModelError: tensorflow-serving-api is missing.
    """
    if not available():
        raise ModelError(f"No warm-up requests can be written: {MISSING}.")
    path = folder / PLACE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as records:
        for signature in signatures:
            for example in signature.examples:
                log = _log(name, signature.name, example)
                records.write(log.SerializeToString())


def _log(name, signature, example):
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for key, array in example.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(array))
    predicted = prediction_log_pb2.PredictLog(request=request)
    return prediction_log_pb2.PredictionLog(predict_log=predicted)
