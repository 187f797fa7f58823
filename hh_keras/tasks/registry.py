"""What --task means: a `hh_keras.tasks.Task`, and the flags that go with it."""

from hh_keras.cli.flags import set_defaults
from hh_keras.errors import HHError
from hh_keras.tasks import classification, restoration
from hh_keras.tasks.restoration.degradation import Degradation
from hh_keras.tasks.restoration.task import pairs

SMOKE = {
    "limit": 1,
    "patches_per_image": 4,
    "batch_size": 2,
    "validation_size": 48,
    "check_images": 2,
    "tile": 48,
}
"""Flags of a smoke test that restores images, beside `launch.configs.SMOKE`."""

_OF_CLASSES = (
    "image_size", "view", "rand_augment", "mixup", "cutmix", "label_smoothing",
)  # fmt: skip
_OF_IMAGES = (
    "scale", "degrade", "patch", "channels", "patches_per_image", "validation_size",
    "tile",
)  # fmt: skip
_DEFAULTS = {"max_drop": 0.5, "check_images": 16}  # dB; tiles


def restores(args):
    """Whether the flags are about restoring images, not classifying them."""
    return "task" in args and args.task != "classify"


def of(args):
    """The task, once `apply` has seen the flags."""
    if not restores(args):
        return classification.TASK
    return restoration.task_for(Degradation.parse(args.degrade))


def apply(args):
    """Sets the flags that were not given to the task's defaults.

    Raises:
        HHError: a flag was given that means nothing for the task.
    """
    if "task" not in args:
        return
    if not restores(args):
        _refuse(args, _OF_IMAGES, "it is for --task=denoise and --task=sr")
        _check_augment(args, [name for name in _augments(args) if name != _TURNS])
        if "max_drop" in args and args.max_drop > 1:
            raise HHError(
                f"--max_drop={args.max_drop:g} is a share of the images, at most 1."
            )
        return
    _refuse(args, _OF_CLASSES, "it is for classifiers")
    _check_augment(args, pairs.AUGMENTATIONS)
    if "latency" in args and args.latency.value != float("inf"):
        raise HHError(
            f"--latency={args.latency} needs images of one size, and networks for "
            f"--task={args.task} take any; limit them by --macs instead."
        )
    args.degrade = str(_degradation(args))
    defaults = {**of(args).defaults, **_DEFAULTS}
    if args["model"].default is None:  # it has to be given
        del defaults["model"]
    set_defaults(args, defaults)


_TURNS = "flip_rotate"


def _refuse(args, names, why):
    for name in names:
        if name in args and args[name].present and args[name].value is not None:
            raise HHError(
                f"--{name} means nothing for --task={args.task}: {why}. Leave it out."
            )


def _augments(args):
    return args["augment"].parser.names if "augment" in args else ()


def _check_augment(args, known):
    if "augment" in args and args["augment"].present and args.augment not in known:
        raise HHError(
            f"--augment={args.augment} is not for --task={args.task}; choose one of "
            f"{', '.join(known)}."
        )


def _degradation(args):
    """How --degrade and --scale make photographs worse."""
    if args.task == "denoise":
        _refuse(args, ["scale"], "images keep their size; to enlarge them, --task=sr")
        found = Degradation.parse(args.degrade or "noise:25")
        if found.scale > 1:
            raise HHError(
                f"--degrade={found} makes images smaller: that is for --task=sr; "
                "choose noise:SIGMA or jpeg:QUALITY."
            )
        return found
    found = Degradation.parse(args.degrade or f"bicubic:{args.scale or 2}")
    if found.scale == 1:
        raise HHError(
            f"--degrade={found} leaves images as large as they are: that is for "
            "--task=denoise; choose bicubic:SCALE."
        )
    if args.scale not in (None, found.scale):
        raise HHError(
            f"--scale={args.scale} and --degrade={found} are different scales; give "
            "one of them."
        )
    args.scale = found.scale
    return found
