"""`hh_keras.export.tflite` beside Keras' own `model.export(format="litert")`.

    python benchmarks/keras_litert.py

Each network is written by both in float32, float16, dynamic range and int8: bytes,
operations, those that put shapes together, the batch that the file takes, the largest
difference to the Keras model as a share of its outputs' spread, and milliseconds, the
files run in turns. Three minutes on two cores.
"""

import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf

from hh_keras.export import latencies, parity, tflite
from hh_keras.export.prediction import interpreter_class
from hh_keras.models import build

NETWORKS = ("mobilenetv2_small", "resnet20", "unet_bn_small", "attention")
QUANTIZE = ("float32", "float16", "dynamic", "int8")


def by_keras(model, path, quantize, images):
    """As its documentation shows it: the converter's own settings are handed over."""
    settings = {}
    if quantize != "float32":
        settings["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        settings["target_spec"] = {"supported_types": [tf.float16]}
    if quantize == "int8":
        settings["representative_dataset"] = lambda: ([x[None]] for x in images)
    model.export(path, format="litert", verbose=False, **settings)


def seen(path):
    """Operations of a file, the batch it says it takes, and whether it takes two."""
    interpreter = interpreter_class()(model_path=str(path))
    signature = interpreter.get_input_details()[0]["shape_signature"]
    kinds = [op["op_name"] for op in interpreter._get_ops_details()]
    return len(kinds), sum(kind in ("SHAPE", "PACK") for kind in kinds), signature[0]


def attention(shape):
    """Patches, one block of attention, a head."""
    image = keras.Input(shape)
    x = keras.layers.Conv2D(64, 4, strides=4)(image)
    x = keras.layers.Reshape((-1, 64))(x)
    y = keras.layers.LayerNormalization()(x)
    x = keras.layers.Add()([x, keras.layers.MultiHeadAttention(4, 16)(y, y)])
    y = keras.layers.Dense(128, activation="gelu")(keras.layers.LayerNormalization()(x))
    x = keras.layers.Add()([x, keras.layers.Dense(64)(y)])
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(image, keras.layers.Dense(10)(x), name="attention")


def randomised(model):
    """With moving statistics and weights of a network that was trained."""
    draw = np.random.default_rng(0)
    for weight in model.weights:
        if "variance" in weight.path or "gamma" in weight.path:
            weight.assign(draw.uniform(0.5, 1.5, weight.shape))
        elif "mean" in weight.path or "beta" in weight.path:
            weight.assign(draw.normal(0, 0.1, weight.shape))
    return model


def rows(name, folder):
    shape = (32, 32, 3)
    keras.utils.set_random_seed(0)
    network = attention(shape) if name == "attention" else build(name, shape, 10)
    model = randomised(network)
    images = np.random.default_rng(1).uniform(0, 255, (32, *shape)).astype("float32")
    for quantize in QUANTIZE:
        representative = images if quantize == "int8" else None
        paths = [folder / f"{quantize}_{who}.tflite" for who in ("ours", "keras")]
        tflite(model, paths[0], quantize=quantize, representative=representative)
        by_keras(model, str(paths[1]), quantize, images)
        times = latencies(paths, image_shape=shape, runs=200)
        for who, path, time in zip(("hh_keras", "Keras"), paths, times):
            ops, shapes, batch = seen(path)
            error = parity(model, path, images).relative
            yield (
                f"| {name} | {quantize} | {who} | {path.stat().st_size:,} | {ops} | "
                f"{shapes} | {batch} | {error:.1e} | {time.median_ms:.3f} |"
            )


def main():
    heads = "network numbers by bytes operations of_shapes batch error ms".split()
    print("|", " | ".join(heads), "|")
    print("|" + "---|" * len(heads))
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            for row in rows(name, pathlib.Path(folder)):
                print(row, flush=True)


if __name__ == "__main__":
    main()
