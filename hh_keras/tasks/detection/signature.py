"""The signature that takes image files and tells boxes, classes and scores."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from hh_keras.export.encoded import decode_batch, of_any_number
from hh_keras.export.signatures import Signature, labels_for
from hh_keras.tasks.detection.detections import Detections, detections
from hh_keras.tasks.detection.learning import places_of_model

NAME = "detect_bytes"


def detect_bytes(
    model: keras.Model,
    image_shape: tuple | None = None,
    labels: Sequence[str] | None = None,
) -> Signature:
    """The model for clients that have JPEG or PNG files and want boxes.

    Its input `image_bytes` is a batch of encoded images of any sizes, strings of shape
    `(n,)`, which are brought to the model's size as in training. Its outputs are, for
    every image:

    - `boxes`: float `(n, 100, 4)`: left, top, right, bottom, as shares of the image's
      width and height;
    - `classes`: class names, strings `(n, 100)`, empty where there is no further box;
    - `scores`: float `(n, 100)`, the best first, 0 where there is no further box;
    - `error`: string `(n,)`, empty for a good image. Of one that cannot be read it says
      why; its scores are then 0. The other images of the batch are answered.

    Boxes that say the same as a better one of their class are left out.

    Args:
        model: a detector.
        image_shape: not used; a detector takes images of one size.
        labels: class names in the order of the outputs; None numbers them from "0".

    Returns:
        A `Signature`.

    Raises:
        ModelError: the model is no detector, or does not take grey or RGB images;
            labels and classes differ in number.
    """
    places = places_of_model(model)
    shape = tuple(model.inputs[0].shape[1:])
    side = np.array([shape[1], shape[0]] * 2, "float32")
    names = labels_for(labels, model.outputs[0].shape[2] - 4, model.name)

    @of_any_number
    def call(encoded):
        images, errors = decode_batch(encoded, shape)
        output = tf.nest.flatten(model(images, training=False))[0]
        boxes, classes, scores = detections(tf.cast(output, tf.float32), places)
        scores = tf.where((errors == "")[:, None], scores, 0.0)
        return {
            "boxes": tf.clip_by_value(boxes / side, 0.0, 1.0),
            "classes": tf.where(scores > 0, tf.gather(names, classes), ""),
            "scores": scores,
            "error": errors,
        }

    inputs = (tf.TensorSpec((None,), tf.string, name="image_bytes"),)
    blank = tf.zeros(shape, tf.uint8)
    example = [tf.io.encode_jpeg(blank).numpy(), tf.io.encode_png(blank).numpy()]
    return Signature(NAME, inputs, call, ({"image_bytes": np.array(example, object)},))


def with_detections(model: keras.Model) -> keras.Model:
    """The detector with what follows it: it puts out boxes, classes and scores.

    Returns:
        A functional model of three outputs, a dict of `boxes`, `classes` and `scores`;
        see `detections.detections`.
    """
    last = Detections(model.inputs[0].shape[1:3], name="detections")
    outputs = dict(zip(("boxes", "classes", "scores"), last(model.outputs[0])))
    return keras.Model(model.inputs[0], outputs, name=f"{model.name}_detections")
