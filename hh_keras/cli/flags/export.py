"""Flags: which files are exported, and how they are checked."""

from hh_keras.flag import COUNT, SWITCH, Choices, Flag, Number, Text

FORMATS = ("saved_model", "float32", "float16", "dynamic", "int8", "qat")
ALL_FORMATS = (*FORMATS, "onnx", "openvino")  # the last two need extras

RUN = Flag(
    "run",
    Text("FOLDER"),
    None,
    "Instead of --model: the folder of a finished launch/run.py or launch/train.py; "
    "its networks are exported, with its data.",
)

EXPORT = (
    Flag(
        "formats",
        Choices(ALL_FORMATS),
        FORMATS,
        "What to write, separated by commas: saved_model (TF Serving), and .tflite "
        "files whose weights are float32, float16, dynamic (int8 weights, floats "
        "between), int8 (all integers, quantised after training) or qat (int8, trained "
        "for it); onnx and openvino where the extras of these names are installed. "
        "Unless they are asked for, kinds that a network cannot have are left "
        "out, and the report says why.",
    ),
    Flag(
        "integer_io",
        SWITCH,
        False,
        "Inputs and outputs of int8 and qat files are int8, too.",
    ),
    Flag(
        "representative_images",
        COUNT,
        200,
        "Training images from which the ranges of int8 and qat files are read.",
    ),
    Flag("tflite_batch", COUNT, 1, "Images that a .tflite file takes at once."),
    Flag("qat_epochs", Number(int, least=0), 2, "Epochs of the training for int8."),
    Flag(
        "qat_learning_rate",
        Number(float, above=0),
        None,
        "Its learning rate at the start. Default: a hundredth of --learning_rate.",
    ),
    Flag(
        "max_drop",
        Number(float, least=0),
        0.01,
        "How much accuracy a float16, dynamic, int8 or qat file may lose, as a share "
        "of all validation images; of restored images, decibels of PSNR (there 0.5); "
        "of masks, mIoU (there 0.02).",
    ),
    Flag("allow_drop", SWITCH, False, "Report larger losses, but do not fail."),
    Flag(
        "check_images",
        COUNT,
        64,
        "Images on which files of networks that are no classifiers of the data are "
        "compared with Keras; others are on all validation images.",
    ),
)

CHECK_IMAGES = Flag(
    "check_images", COUNT, 64, "Images on which exported files must agree with Keras."
)

TILE = Flag(
    "tile",
    COUNT,
    None,
    "denoise, sr and segment: side of the tiles that a .tflite file takes. Default: "
    "128, or four times as far as the network sees; of segment --patch.",
)
