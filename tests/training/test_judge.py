"""What is measured besides the losses."""

import keras
import tensorflow as tf

from hh_keras.training.judge import Judge


def test_what_only_fills_a_batch_up_is_not_measured():
    image = keras.Input((2,))
    model = keras.Model(image, keras.layers.Dense(1)(image))
    judge = Judge(model, {"value": lambda labels, outputs: outputs[:, 0] - labels})
    labels, share = tf.zeros(3), tf.constant([0.5, 0.5, 0.0])
    first = judge.judge(labels, [tf.constant([[1.0], [3.0], [100.0]])], share, None)
    assert float(first["value"]) == 2
    second = judge.judge(labels, [tf.constant([[8.0], [8.0], [8.0]])], share, None)
    assert float(second["value"]) == 5  # of four examples, each counts the same


def test_what_tells_nothing_is_not_measured():
    image = keras.Input((1,))
    model = keras.Model(image, keras.layers.Dense(1)(image))
    judge = Judge(model, {"value": lambda labels, outputs: outputs[:, 0] + labels})
    labels = tf.constant([0.0, float("nan"), 0.0])
    found = judge.judge(
        labels, [tf.constant([[1.0], [100.0], [3.0]])], tf.ones(3), None
    )
    assert float(found["value"]) == 2


def test_nothing_told_is_not_zero():
    image = keras.Input((1,))
    model = keras.Model(image, keras.layers.Dense(1)(image))
    measure = {"value": lambda labels, outputs: outputs[:, 0] / labels}
    judge = Judge(model, measure)

    def judged(labels):
        outputs = [tf.constant([[0.0], [4.0]])]
        return judge.judge(tf.constant(labels), outputs, tf.ones(2), None)["value"]

    assert tf.math.is_nan(judged([0.0, float("nan")]))
    assert float(judged([0.0, 2.0])) == 2
