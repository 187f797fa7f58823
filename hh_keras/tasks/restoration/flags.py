"""Flags: what --task=denoise and --task=sr add to the others, and mean for them."""

from hh_keras.flag import COUNT, Flag, Number, Text
from hh_keras.tasks.registry import TaskFlags

_OWN = (
    Flag(
        "scale",
        COUNT,
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
        COUNT,
        None,
        "denoise, sr and segment: side of the patches that training cuts out, in "
        "pixels that the network takes. Default: 48, of sr 32, of segment 96.",
    ),
    Flag(
        "channels",
        Number(int, 1, 3),
        None,
        "denoise, sr and segment: 3 for colour, 1 for grey. Default: 3, or what the "
        "file or function --model takes.",
    ),
    Flag(
        "patches_per_image",
        COUNT,
        64,
        "denoise, sr and segment: patches that an epoch cuts out of every image. "
        "Default: 64, of segment 2.",
    ),
    Flag(
        "validation_size",
        Number(int, least=0),
        512,
        "denoise and sr: photographs to validate on are cut to this longest side, as "
        "the network takes them; 0 leaves them whole.",
    ),
)

FLAGS = TaskFlags(
    names=("denoise", "sr"),
    about="denoise them, or enlarge them (sr, super-resolution). The last two train on "
    "patches of photographs and have defaults of their own: docs/restoration.md",
    augmentations=("none", "flip", "flip_rotate"),
    flags=_OWN,
    own=(*(flag.name for flag in _OWN), "tile"),
    smoke={
        "limit": 1,
        "patches_per_image": 4,
        "batch_size": 2,
        "validation_size": 48,
        "check_images": 2,
        "tile": 48,
    },
)
