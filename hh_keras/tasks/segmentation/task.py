"""Semantic segmentation: networks take an image and give every pixel a class.

Images are float32 pixels 0 to 255, outputs logits or probabilities of the same height
and width. The labels of a batch are masks, see `crops`.
"""

from typing import Any

import keras
import tensorflow as tf

from hh_keras.errors import ModelError
from hh_keras.goal import Goal
from hh_keras.graph.heads import ends_in, single_output
from hh_keras.report import numbers
from hh_keras.tasks.segmentation.evaluation import evaluated
from hh_keras.tasks.segmentation.learning import overlap, segmentation_loss
from hh_keras.tasks.segmentation.preview import preview
from hh_keras.tasks.segmentation.signature import segment_bytes
from hh_keras.training.task import Task

# With them, both small networks of a run are trained in some minutes on two cores.
DEFAULTS = {
    "macs": "0.95x",
    "model": "unet_bn_small",
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "weight_decay": 1e-4,
    "epochs": 40,
    "schedule": "cosine",
    "batch_size": 8,
    "channels": 3,
    "patch": 96,
    "patches_per_image": 2,
    "augment": "flip_scale_colour",
    "max_drop": 0.02,
    "check_images": 16,  # tiles
}

GOAL = Goal(
    key="miou",
    label="mIoU",
    write=numbers.percent,
    write_change=numbers.points,
    plain=lambda share: f"{share:.2%}",
    plain_change=lambda change: f"{round(100 * change, 2) + 0.0:+.2f}",  # never -0.00
    axis=lambda share, _: f"{share:.3g}",
    about="mIoU: intersection over union of each class, over all pixels of all "
    "validation images, mean over the classes; in the history, the mean over the "
    "images of each one's own. Pixels that are ignored count nowhere. MACs: "
    "multiply-accumulates for one training piece. Latency: the .tflite file, one tile, "
    "median (10th to 90th percentile).",
    besides=(("pixel accuracy", "pixel_accuracy", numbers.percent, numbers.points),),
    examples="tiles",
)


def evaluate(model: Any, dataset: Any) -> dict[str, float]:
    """Scores of a Keras model, or of what else `whole.outputs_of` takes.

    Returns:
        Dict of miou, pixel_accuracy, and loss (of Keras models).
    """
    loss = segmentation_loss(model) if isinstance(model, keras.Model) else None
    return evaluated(model, dataset, loss)[0]


def check_model(model: keras.Model, data: Any) -> None:
    """Raises unless a model segments a data set's images.

    Args:
        model: the network.
        data: has `image_shape`, that of the training pieces, and `class_names`.

    Raises:
        ModelError: several inputs or outputs, no images, other channels or classes,
            sizes it does not take, outputs of another size, or layers that need to know
            the size beforehand.
    """
    output, shape = single_output(model), tuple(data.image_shape)
    takes, classes = tuple(model.inputs[0].shape[1:]), len(data.class_names)
    if len(model.inputs) != 1 or len(takes) != 3 or len(output.shape) != 4:
        raise ModelError(
            f"model '{model.name}' must take one image (height, width, channels) and "
            f"return (height, width, classes); it takes {takes} and returns "
            f"{tuple(output.shape[1:])}."
        )
    if takes[-1] != shape[-1]:
        raise ModelError(
            f"model '{model.name}' takes {takes[-1]} channels, but the images have "
            f"{shape[-1]}: build it for those, or give --channels={takes[-1]}."
        )
    if output.shape[-1] != classes or ends_in(output) == "sigmoid":
        ending = " through a sigmoid" if ends_in(output) == "sigmoid" else ""
        raise ModelError(
            f"model '{model.name}' gives every pixel {output.shape[-1]} outputs"
            f"{ending}, but there are {classes} classes ({', '.join(data.class_names)})"
            ": give it an output for each, as logits or through a softmax."
        )
    try:
        made = tuple(model.compute_output_shape((None, *shape)))[1:3]
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"model '{model.name}' does not take pieces of {shape[0]}x{shape[1]}: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    if made != shape[:2]:
        raise ModelError(
            f"model '{model.name}' gives {made[0]}x{made[1]} pixels of "
            f"{shape[0]}x{shape[1]}: enlarge its outputs to the size of its images."
        )
    _check_any_size(model)


def _check_any_size(model):
    """Validation, servers and tiles run one graph on images of all sizes."""
    spec = tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32)
    run = tf.function(lambda x: model(x, training=False), input_signature=[spec])
    try:
        run.get_concrete_function()
    except Exception as error:  # tracing runs every layer's code
        text = " ".join(str(error).split())[:160]
        raise ModelError(
            f"model '{model.name}' cannot run on images whose size is not known "
            f"beforehand ({type(error).__name__}: {text}). Of Keras' layers it is "
            "UpSampling2D that interpolates, up to Keras 3.15: take Conv2DTranspose, "
            "or interpolation='nearest'."
        ) from error


TASK = Task(
    name="segment",
    noun="segmentation network",
    loss=lambda model, label_smoothing=0.0: segmentation_loss(model),
    measures={"miou": overlap},
    goal=GOAL,
    evaluate=evaluate,
    check=check_model,
    defaults=DEFAULTS,
    preview=preview,
    encoded=segment_bytes,
    distills=("none", "sp", "match"),
    unfit=("label_smoothing", "rand_augment", "mixup", "cutmix"),
)
