"""The flags of all launch scripts, as data, and how their values are read.

Nothing here imports TensorFlow: `--help` and a mistyped flag answer at once.
"""

import dataclasses
import difflib
import json
import re
from typing import Any

from absl import flags

CRITERIA = (
    "gradient",
    "taylor",
    "fisher",
    "magnitude",
    "weight_norm",
    "balanced",
    "uniform",
    "random",
)
TASKS = ("classify", "denoise", "sr")
AUGMENTATIONS = ("none", "crop_flip", "flip", "flip_rotate", "imagenet")
OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("cosine", "step", "constant")
STRATEGIES = ("auto", "default", "mirrored", "multiworker", "tpu")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
DISTILLATIONS = ("none", "kd", "sp")
FORMATS = ("saved_model", "float32", "float16", "dynamic", "int8", "qat")
CONFIGS = ("cifar10", "imagenet", "quick", "tiny_imagenet")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag: its name, how its text is read, default, and help."""

    name: str
    parser: Any
    default: Any
    help: str
    repeated: bool = False
    required: bool = False

    def define(self, values):
        """Adds the flag to an absl `FlagValues`."""
        if isinstance(self.parser, flags.BooleanParser):
            flags.DEFINE_boolean(self.name, self.default, self.help, values)
            return
        text = flags.ArgumentSerializer()
        if self.repeated:
            flags.DEFINE_multi(
                self.parser, text, self.name, self.default, self.help, values
            )
        else:
            flags.DEFINE(self.parser, self.name, self.default, self.help, values, text)


@dataclasses.dataclass(frozen=True)
class Limit:
    """A limit on a cost: a number, or a multiple of what the original costs.

    Attributes:
        value: the number, or the factor.
        relative: whether value is a factor.
        text: as the user wrote it.
    """

    value: float
    relative: bool
    text: str

    def __str__(self):
        return self.text

    def of(self, reference):
        """Returns the limit in absolute terms, an int; None means no limit."""
        amount = self.amount(reference)
        return None if amount is None else int(amount)

    def amount(self, reference):
        """Returns the limit in absolute terms, a float; None means no limit."""
        if self.value == float("inf"):
            return None
        return float(self.value * reference if self.relative else self.value)


def parse_limit(text):
    """Reads "0.95x", "300M", "1.2G", "250k", "270896" or "none".

    Example:
        >>> parse_limit("0.5x").of(1000), parse_limit("1.2k").of(0)
        (500, 1200)
    """
    lower = text.strip().lower()
    if lower == "none":
        return Limit(float("inf"), False, "none")
    number = re.fullmatch(r"(\d+\.?\d*|\.\d+)(x|[kmgbt]?)", lower)
    if not number or float(number[1]) == 0:
        raise ValueError(
            "write a multiple of the original such as 0.95x, a number such as "
            "300M, 1.2G or 250k, or none."
        )
    value, unit = float(number[1]), number[2]
    if unit == "x":
        return Limit(value, True, text)
    return Limit(round(value * _UNITS[unit]), False, text)


def parse_latency(text):
    """Reads "0.5x", "12ms" or "none"; a `Limit` in milliseconds."""
    lower = text.strip().lower()
    if lower == "none":
        return Limit(float("inf"), False, "none")
    number = re.fullmatch(r"(\d+\.?\d*|\.\d+)(x|ms)", lower)
    if not number or float(number[1]) == 0:
        raise ValueError(
            "write a multiple of the original's such as 0.5x, milliseconds such as "
            "12ms, or none."
        )
    return Limit(float(number[1]), number[2] == "x", text)


def parse_min_keep(text):
    """Reads "0.4", "stage3*=0.45" or '{"*": 0.4, "head": 0.45}'; a number or a dict."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        pattern, _, share = text.rpartition("=")
        try:
            found = {pattern: float(share)} if pattern else None
        except ValueError:
            found = None
    shares = found.values() if isinstance(found, dict) else [found]
    if not all(_is_share(share) for share in shares):
        raise ValueError(
            "write a share from 0 to 1 such as 0.4, PATTERN=SHARE, or a JSON object "
            'such as {"*": 0.4, "stage3*": 0.45}.'
        )
    return found


def _is_share(value):
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 <= value <= 1


def merge_min_keep(items):
    """Joins what several --min_keep flags gave; later ones win."""
    merged = {}
    for item in items:
        merged.update(item if isinstance(item, dict) else {"*": item})
    return merged["*"] if list(merged) == ["*"] else merged


def parse_image_size(text):
    """Reads "32" or "48x64" (height x width) into (height, width)."""
    sizes = [int(n) for n in re.fullmatch(r"(\d+)(?:x(\d+))?", text).groups("0")]
    height, width = sizes[0], sizes[1] or sizes[0]
    if not height:
        raise ValueError
    return height, width


def parse_name(text):
    """Reads a name that is safe as a file name."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", text):
        raise ValueError
    return text


def parse_object(text):
    """Reads a JSON object."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


class Checked(flags.ArgumentParser):
    """Reads a flag with a function; other texts get one message."""

    def __init__(self, read, syntax, message=None):
        self.read, self.syntactic_help, self.message = read, syntax, message

    def parse(self, argument):
        if not isinstance(argument, str):
            return argument
        try:
            return self.read(argument)
        except Exception as error:
            raise ValueError(self.message or str(error)) from error


class Choice(flags.ArgumentParser):
    """One of a few names; others get the nearest."""

    def __init__(self, names):
        self.names, self.syntactic_help = names, "|".join(names)

    def parse(self, argument):
        if argument in self.names:
            return argument
        near = difflib.get_close_matches(argument, self.names, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"choose one of {', '.join(self.names)}.{hint}")


class Choices(Choice):
    """A comma-separated list of names."""

    def parse(self, argument):
        if not isinstance(argument, str):
            return argument
        return tuple(super(Choices, self).parse(part) for part in argument.split(","))


class Number(flags.ArgumentParser):
    """A whole number or a float within bounds, both included."""

    def __init__(self, kind, least=None, most=None, above=None):
        self.kind, self.least, self.most, self.above = kind, least, most, above
        self.syntactic_help = "N" if kind is int else "X"

    def parse(self, argument):
        what = "a whole number" if self.kind is int else "a number"
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (
                ("of at least", self.least),
                ("of at most", self.most),
                ("above", self.above),
            )
            if bound is not None
        ]
        try:
            value = self.kind(argument)
        except (TypeError, ValueError):
            value = float("nan")
        fits = (
            float("-inf") < value < float("inf")
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
        )
        if not fits:
            raise ValueError(" ".join([f"it must be {what}", " and ".join(bounds)]))
        return value


class Text(flags.ArgumentParser):
    """Any text."""

    def __init__(self, syntax):
        self.syntactic_help = syntax


_COUNT = Number(int, least=1)
_SWITCH = flags.BooleanParser()
_LIMIT = Checked(parse_limit, "LIMIT")


def model_flag(default):
    """The --model flag with a default, None if it has to be given."""
    return Flag(
        "model",
        Text("MODEL"),
        default,
        "The network: a name of the package's registry (resnet20, resnet56, "
        "mobilenetv2_small, ...; dncnn_small, unet, edsr_small, srresnet, ... for "
        "--task=denoise and sr), keras.applications.NAME, an import path "
        "module:function (it may take image_shape, num_classes and scale), or a "
        ".keras file.",
        required=default is None,
    )


MODEL_ARGS = (
    Flag(
        "model_args",
        Checked(parse_object, "JSON", 'write a JSON object such as {"alpha": 0.5}.'),
        None,
        "Further arguments of the network, a JSON object.",
    ),
    Flag(
        "pretrained",
        Text("imagenet|FILE"),
        None,
        "Weights to start from: a weights file, or imagenet for keras.applications.",
    ),
)

TASK = (
    Flag(
        "task",
        Choice(TASKS),
        "classify",
        "What the network is for: classify images, denoise them, or enlarge them (sr, "
        "super-resolution). The last two train on patches of photographs and have "
        "defaults of their own: docs/restoration.md.",
    ),
    Flag(
        "scale",
        _COUNT,
        None,
        "sr: how many times larger images become. Default: 2.",
    ),
    Flag(
        "degrade",
        Text("KIND:AMOUNT"),
        None,
        "denoise and sr: how clean photographs are made worse: noise:25 (Gaussian, of "
        "that sigma), noise:0-55 (of any up to it), jpeg:10-40 (of such qualities), "
        "bicubic:2 (smaller). Default: noise:25; of sr bicubic:SCALE.",
    ),
    Flag(
        "patch",
        _COUNT,
        None,
        "denoise and sr: side of the patches that training cuts out, in pixels that "
        "the network takes. Default: 48, of sr 32.",
    ),
    Flag(
        "channels",
        Number(int, 1, 3),
        None,
        "denoise and sr: 3 for colour, 1 for grey. Default: 3, or what the file or "
        "function --model takes.",
    ),
    Flag(
        "patches_per_image",
        _COUNT,
        64,
        "denoise and sr: patches that an epoch cuts out of every photograph.",
    ),
    Flag(
        "validation_size",
        Number(int, least=0),
        512,
        "denoise and sr: photographs to validate on are cut to this longest side, as "
        "the network takes them; 0 leaves them whole.",
    ),
)

TILE = Flag(
    "tile",
    _COUNT,
    None,
    "denoise and sr: side of the tiles that a .tflite file takes. Default: 128, or "
    "four times as far as the network sees.",
)

DATA = (
    Flag(
        "dataset",
        Text("DATASET"),
        "embedded",
        "The images: embedded (12,000 + 2,000 real images of clothes, in the "
        "package), tfds:NAME[/CONFIG] (TensorFlow Datasets), or an image folder "
        "with train/CLASS/ and val/CLASS/. To denoise and sr: embedded is 6 + 3 "
        "photographs, and a folder needs no classes, nor train/ and val/.",
    ),
    Flag(
        "image_size",
        Checked(
            parse_image_size, "N|HxW", "write a size in pixels such as 32 or 48x64."
        ),
        None,
        "Images are resized to this. Default: what the model takes, or else the "
        "size the data have. Grey and RGB are converted to what the model takes.",
    ),
    Flag("limit", _COUNT, None, "Use at most so many images, for a quick try."),
    Flag(
        "memory_mb",
        Number(int, least=0),
        512,
        "Images that take no more, decoded, are kept in memory; others are decoded "
        "whenever they are used.",
    ),
    Flag(
        "on_bad_image",
        Choice(("skip", "fail")),
        "skip",
        "An image that cannot be read: leave it out and name it, or stop.",
    ),
)

LATENCY = (
    Flag(
        "latency_quantize",
        Choice(("float32", "int8")),
        "float32",
        "What kind of .tflite file is timed.",
    ),
    Flag("latency_threads", _COUNT, 1, "Threads of the .tflite interpreter."),
)

SEARCH = (
    Flag(
        "macs",
        _LIMIT,
        "0.95x",
        "Most multiply-accumulates for one image: a multiple of the original's "
        "(0.95x), a number (300M, 1.2G), or none.",
    ),
    Flag(
        "params", _LIMIT, "1.0x", "Most parameters, written like --macs (1.0x, 250k)."
    ),
    Flag(
        "latency",
        Checked(parse_latency, "LIMIT"),
        Limit(float("inf"), False, "none"),
        "Most milliseconds for one image, as a .tflite file on the device of "
        "--latency_table: a multiple of the original's (0.5x), 12ms, or none.",
    ),
    Flag(
        "latency_table",
        Text("FILE"),
        None,
        "Times of layers, made by launch/latency.py on the device that counts. "
        "Default: measured here, and kept as latency.json in --workdir.",
    ),
    *LATENCY,
    Flag(
        "width_mult",
        Number(float, least=1),
        2.0,
        "How much to widen the network before it is shrunk; 1 shrinks it directly.",
    ),
    Flag(
        "min_keep",
        Checked(parse_min_keep, "SHARE|PATTERN=SHARE|JSON"),
        [0.1],
        "Least share of each group's channels that stays. Repeat it to give groups "
        "of their own: --min_keep=0.4 --min_keep='stage3*=0.45'.",
        repeated=True,
    ),
    Flag(
        "round_to", _COUNT, 1, "Channel counts become multiples of this (8 suits GPUs)."
    ),
    Flag(
        "criterion",
        Choice(CRITERIA),
        None,
        "What ranks the channels. gradient is the paper's; balanced gives layers more "
        "equal shares of the cost, without data; fisher is for trained weights; "
        "uniform and random are controls. Default: balanced for fresh --weights (for "
        "denoise and sr gradient), otherwise fisher; magnitude with --search_epochs.",
    ),
    Flag(
        "per_cost",
        Number(float, 0, 2),
        0.0,
        "0 ranks channels by score, 1 by score per share of the budget that a channel "
        "takes; values between weigh the price by this power.",
    ),
    Flag("search_batches", _COUNT, 8, "Batches that the criterion looks at."),
    Flag(
        "search_epochs",
        Number(int, least=0),
        0,
        "For --criterion=magnitude: train the wide network with a scale per channel "
        "for so many epochs, under a penalty that makes scales zero, until the network "
        "that is left fits --macs and --params.",
    ),
    Flag(
        "sparsity",
        Number(float, above=0),
        None,
        "Strength of that penalty. Default: what takes a scale that nothing holds to "
        "zero in half of the epochs.",
    ),
    Flag(
        "weights",
        Choice(("fresh", "inherit")),
        None,
        "Weights that training starts from: fresh (the paper's; the original starts "
        "afresh too) or inherit (of the model given). Default: inherit with "
        "--pretrained, otherwise fresh.",
    ),
    Flag(
        "plan",
        Text("FILE"),
        None,
        "Apply this plan.json, found with the same --model and --width_mult, "
        "instead of searching.",
    ),
)

BATCH_SIZE = Flag("batch_size", _COUNT, 64, "Images per step, over all devices.")

TRAINING = (
    Flag("epochs", _COUNT, 3, "Passes over the training images."),
    Flag("learning_rate", Number(float, above=0), 0.1, "The peak learning rate."),
    Flag(
        "lr_batch_size",
        Number(int, least=0),
        0,
        "The batch size that --learning_rate is meant for: with another --batch_size "
        "it is scaled linearly. 0: as it stands.",
    ),
    Flag("schedule", Choice(SCHEDULES), "cosine", "How the learning rate decays."),
    Flag("optimizer", Choice(OPTIMIZERS), "sgd", "What descends. Images: adam."),
    Flag("warmup_epochs", Number(float, least=0), 0.0, "Linear warm-up, in epochs."),
    Flag(
        "momentum", Number(float, 0, 0.999), 0.9, "Momentum of SGD, first beta of Adam."
    ),
    Flag("nesterov", _SWITCH, False, "Use Nesterov's momentum."),
    Flag("weight_decay", Number(float, least=0), 1e-4, "Decay added to the gradient."),
    Flag(
        "decay_vectors",
        _SWITCH,
        True,
        "Let biases and the weights of BatchNormalization decay too, as in the paper.",
    ),
    Flag("label_smoothing", Number(float, 0, 0.99), 0.0, "Share spread over classes."),
    Flag(
        "clip_norm",
        Number(float, least=0),
        0.0,
        "Gradients with a larger norm are scaled down to it; 0 for none.",
    ),
    Flag(
        "ema",
        Number(float, 0, 0.99999),
        0.0,
        "Momentum of a moving average of the weights, which is validated and kept in "
        "their stead (0.999 is usual); 0 for none.",
    ),
    Flag(
        "precision",
        Choice(PRECISIONS),
        "float32",
        "What layers compute in while training. Saved models are float32.",
    ),
    Flag(
        "sync_batch_norm",
        _SWITCH,
        False,
        "BatchNormalization sees the whole batch, not a device's share of it.",
    ),
    Flag(
        "patience",
        Number(int, least=0),
        0,
        "End training when validation accuracy, or PSNR, has not risen for so many "
        "epochs; 0 for never.",
    ),
    Flag(
        "augment",
        Choice(AUGMENTATIONS),
        "none",
        "Random changes to training images: crop_flip suits small photographs, "
        "imagenet cuts out pieces of any size and flips, flip_rotate is for denoise "
        "and sr and turns patches, too.",
    ),
    Flag(
        "rand_augment",
        Number(int, least=0),
        0,
        "Further random operations per image, by RandAugment of keras-cv; 0 for none.",
    ),
    Flag("mixup", Number(float, least=0), 0.0, "Alpha of keras-cv's MixUp; 0: none."),
    Flag("cutmix", Number(float, least=0), 0.0, "Alpha of keras-cv's CutMix; 0: none."),
)

DISTILLATION = (
    Flag(
        "teacher", Text("FILE"), None, "A trained .keras model to learn from besides."
    ),
    Flag(
        "distill",
        Choice(DISTILLATIONS),
        None,
        "How: kd (its softened outputs) or sp (which images it finds similar). "
        "Default: kd with --teacher, otherwise none.",
    ),
    Flag(
        "distill_weight",
        Number(float, above=0),
        None,
        "Weight of the teacher's part. Default: the paper's, 0.4 for kd, 3000 for sp.",
    ),
    Flag("temperature", Number(float, above=0), 4.0, "How soft outputs are in kd."),
    Flag(
        "distill_layers",
        Text("LAYER[=LAYER],..."),
        "",
        "Layers whose features sp compares besides the outputs, as LAYER, or "
        "LAYER=TEACHERS_LAYER, separated by commas.",
    ),
)

DEVICES = (
    Flag(
        "strategy",
        Choice(STRATEGIES),
        "auto",
        "Which devices train together: default (one), mirrored (all GPUs, or "
        "--devices logical CPUs), multiworker (the machines in TF_CONFIG), tpu; auto "
        "is mirrored with GPUs, otherwise default.",
    ),
    Flag("devices", _COUNT, None, "How many devices mirrored takes."),
    Flag(
        "steps_per_execution",
        _COUNT,
        1,
        "Steps that TensorFlow takes at a time, on one device or TPUs; more is faster "
        "for small networks.",
    ),
    Flag(
        "jit_compile",
        Choice(("auto", "yes", "no")),
        "auto",
        "Whether XLA compiles the step; auto: on GPUs if Keras sees fit.",
    ),
)

RESUME = (
    Flag(
        "checkpoint_steps",
        _COUNT,
        500,
        "Steps from one checkpoint to the next; there is also one after every epoch.",
    ),
    Flag(
        "resume",
        _SWITCH,
        True,
        "Go on where the same run was stopped; --noresume trains from the start.",
    ),
    Flag(
        "on_nan",
        Choice(("stop", "rollback")),
        "stop",
        "When the loss is NaN or infinite: stop, or go back to the last checkpoint and "
        "on with half the learning rate, up to five times.",
    ),
    Flag(
        "epoch_models",
        _SWITCH,
        True,
        "Write epoch_models/NAME_best.keras (by validation accuracy, or PSNR) and "
        "NAME_last.keras after every epoch.",
    ),
    Flag(
        "tensorboard",
        _SWITCH,
        False,
        "Write scalars, scale histograms and channel pictures to tensorboard/NAME.",
    ),
)

CHECK_IMAGES = Flag(
    "check_images", _COUNT, 64, "Images on which exported files must agree with Keras."
)

SEED = Flag("seed", Number(int, 0, 2**31 - 1), 0, "The same seed, the same result.")

CONFIG = (
    Flag(
        "config",
        Choice(CONFIGS),
        None,
        "Take these settings for what is not given: files of launch/configs.",
    ),
    Flag("smoke", _SWITCH, False, "Two steps on small embedded images: does it run?"),
)

STAGE = Flag(
    "stage",
    Choice(("all", "search", "original", "wide", "lw_dna")),
    "all",
    "Do only this part, and the search if it is not done yet; wide also trains the "
    "widened network, for comparison or as a teacher. all trains original and lw_dna "
    "and reports.",
)

DEBUG = Flag("debug", _SWITCH, False, "Show tracebacks and all of TensorFlow's log.")


def set_defaults(args, values):
    """Sets the flags of parsed `args` that were not given; None leaves them alone."""
    for name, value in values.items():
        if name not in args or args[name].present or value is None:
            continue
        flag = args[name]
        if isinstance(value, (tuple, list)) and isinstance(value[0], str):
            flag.value = [flag.parser.parse(each) for each in value]
        else:
            flag.value = flag.parser.parse(value)


def named(group, name):
    """The flag of that name."""
    return next(flag for flag in group if flag.name == name)


def workdir_flags(default):
    """Flags of a command that writes files."""
    return (
        Flag("workdir", Text("FOLDER"), default, "Where all files go."),
        Flag(
            "overwrite",
            _SWITCH,
            False,
            "Replace another run's files in --workdir, each once its successor is "
            "ready.",
        ),
    )


NAME = Flag(
    "name",
    Checked(parse_name, "NAME", "use letters, digits, dots, dashes and underscores."),
    "model",
    "What the files are called.",
)

FILE = Flag(
    "model",
    Text("FILE"),
    None,
    "The model: a .keras file, a SavedModel folder or a .tflite file.",
    required=True,
)

ONE_VIEW = Flag(
    "view",
    Choice(("resize", "center")),
    None,
    "How images come to the model's size: resize the whole, or cut out the center, as "
    "on ImageNet (256 to 224). Default: resize.",
)

TIMED_FILES = (
    Flag(
        "model",
        Text("FILE"),
        None,
        "A .tflite file, SavedModel folder or .keras file. Repeat it to compare files; "
        "ratios are to the first.",
        repeated=True,
        required=True,
    ),
    Flag("batch", _COUNT, 1, "Examples at once, for files that leave the number open."),
    named(DATA, "image_size"),
)

TIMING = (
    Flag(
        "threads",
        _COUNT,
        1,
        "Threads that a file may use, no more than there are CPUs.",
    ),
    Flag("rounds", _COUNT, 100, "Timed runs of each file, at least."),
    Flag(
        "seconds",
        Number(float, least=0),
        5.0,
        "Rounds go on for so long at least, all files together.",
    ),
    Flag("warmup", Number(int, least=0), 10, "Runs of each file before them."),
)

VIEW = Flag(
    "view",
    Choice(("resize", "center", "five", "ten")),
    None,
    "How images come to the model's size: resize the whole; cut out the center, as on "
    "ImageNet (256 to 224); or average over five or ten cuts. Default: resize.",
)

OUTPUT = Flag(
    "output",
    Text("FOLDER"),
    None,
    "Leave evaluation.json (also the accuracy of each class) and confusion.png here; "
    "of restored images, before_after.png in its stead.",
)

ALL_IMAGES = Flag(
    "all_images",
    _SWITCH,
    False,
    "denoise and sr: of a folder without train/ and val/, measure on all images, not "
    "on every tenth only, which is what launch/run.py holds out.",
)

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
        Choices(FORMATS),
        FORMATS,
        "What to write, separated by commas: saved_model (TF Serving), and .tflite "
        "files whose weights are float32, float16, dynamic (int8 weights, floats "
        "between), int8 (all integers, quantised after training) or qat (int8, trained "
        "for it). Unless they are asked for, kinds that a network cannot have are left "
        "out, and the report says why.",
    ),
    Flag(
        "integer_io",
        _SWITCH,
        False,
        "Inputs and outputs of int8 and qat files are int8, too.",
    ),
    Flag(
        "representative_images",
        _COUNT,
        200,
        "Training images from which the ranges of int8 and qat files are read.",
    ),
    Flag("tflite_batch", _COUNT, 1, "Images that a .tflite file takes at once."),
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
        "of all validation images; of restored images, decibels of PSNR (there 0.5).",
    ),
    Flag("allow_drop", _SWITCH, False, "Report larger losses, but do not fail."),
    Flag(
        "check_images",
        _COUNT,
        64,
        "Images on which files of networks that are no classifiers of the data are "
        "compared with Keras; others are on all validation images.",
    ),
)
