"""What tells a good network, by task: how it is called and written."""

import dataclasses
from collections.abc import Callable

from hh_keras.report import numbers


@dataclasses.dataclass(frozen=True)
class Goal:
    """A measure of which more is better.

    Attributes:
        key: of the results and, behind "val_", of the history.
        label: what it is called.
        write, write_change: number(s) to text.
        more, less, same: what the network with more of it is: "more accurate".
        besides: further measures, as `hh_keras.report.comparison` lists quantities.
        about: what the numbers of a comparison are.
        axis: a tick's value to its text.
    """

    key: str
    label: str
    write: Callable
    write_change: Callable
    more: str
    less: str
    same: str
    besides: tuple
    about: str
    axis: Callable


def _share(value, _):
    return f"{100 * value:.4g} %"


def _decibels(value, _):
    return f"{value:.4g} dB"


GOALS = {
    "accuracy": Goal(
        key="accuracy",
        label="accuracy",
        write=numbers.percent,
        write_change=numbers.points,
        more="more accurate than",
        less="less accurate than",
        same="as accurate as",
        besides=(("top-5 accuracy", "accuracy_top5", numbers.percent, numbers.points),),
        about="Accuracy and loss: validation images. MACs: multiply-accumulates for "
        "one image. Latency: the .tflite file, one image, median (10th to 90th "
        "percentile).",
        axis=_share,
    ),
    "psnr": Goal(
        key="psnr",
        label="PSNR",
        write=numbers.decibels,
        write_change=numbers.decibels_more,
        more="better than",
        less="worse than",
        same="as good as",
        besides=(("SSIM", "ssim", numbers.decimals, numbers.difference),),
        about="PSNR, SSIM and loss: means over the validation images. MACs: "
        "multiply-accumulates for one patch. Latency: the .tflite file, one tile, "
        "median (10th to 90th percentile).",
        axis=_decibels,
    ),
}
