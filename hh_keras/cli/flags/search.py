"""Flags: what is searched for, and how."""

import json
from collections.abc import Iterable

from hh_keras.cli.flags.limits import Limit, parse_latency, parse_limit
from hh_keras.flag import COUNT, Checked, Choice, Flag, Number, Text
from hh_keras.search.criteria import CRITERIA

_LIMIT = Checked(parse_limit, "LIMIT")


def parse_min_keep(text: str) -> float | dict[str, float]:
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


def merge_min_keep(
    items: Iterable[float | dict[str, float]],
) -> float | dict[str, float]:
    """Joins what several --min_keep flags gave; later ones win."""
    merged = {}
    for item in items:
        merged.update(item if isinstance(item, dict) else {"*": item})
    return merged["*"] if list(merged) == ["*"] else merged


def parse_shares(text: str) -> tuple[float, ...]:
    """Reads "0.9,0.8,0.7", or "0.9x,0.8x"; the largest first, each once."""
    try:
        shares = [float(part.strip().removesuffix("x")) for part in text.split(",")]
    except ValueError:
        shares = []
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(
            "write shares of the original's MACs, above 0 and at most 1, such as "
            "0.9,0.8,0.7,0.6."
        )
    return tuple(sorted(set(shares), reverse=True))


def parse_round_to(text: str) -> int | str:
    """Reads "auto", or a positive whole number."""
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("write auto, or a positive whole number such as 8.")
    return int(text)


LATENCY = (
    Flag(
        "latency_quantize",
        Choice(("float32", "int8")),
        "float32",
        "What kind of .tflite file is timed.",
    ),
    Flag("latency_threads", COUNT, 1, "Threads of the .tflite interpreter."),
)

SEARCH = (
    Flag(
        "macs",
        _LIMIT,
        "0.8x",
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
        "How much to widen the network before it is shrunk; 1 shrinks it directly, and "
        "is the default with inherited weights.",
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
        "only",
        Text("PATTERN"),
        None,
        "Shrink these alone: a layer, a group, or a nested model, by name or shell "
        "pattern, such as backbone or 'stage3*'; what is tied to others stays, unless "
        "its group is named, which is called like its first layer. It may be repeated.",
        repeated=True,
    ),
    Flag(
        "freeze",
        Text("PATTERN"),
        None,
        "Leave these alone, named in the same way: they keep all of their channels.",
        repeated=True,
    ),
    Flag(
        "round_to",
        Checked(parse_round_to, "auto|N"),
        "auto",
        "Channel counts become multiples of this, as hardware likes them. auto: 8 in "
        "layers of 16 channels and more, 4 in others, with --latency the device's own "
        "steps. 1 is for those who count parameters only.",
    ),
    Flag(
        "criterion",
        Choice(CRITERIA),
        None,
        "What ranks the channels. gradient is the paper's; balanced gives layers more "
        "equal shares of the cost, without data; obs and fisher are for trained "
        "weights; uniform and random are controls. Default: balanced for fresh "
        "--weights (for denoise and sr gradient), otherwise obs; magnitude with "
        "--search_epochs.",
    ),
    Flag(
        "per_cost",
        Number(float, 0, 2),
        0.0,
        "0 ranks channels by score, 1 by score per share of the budget that a channel "
        "takes; values between weigh the price by this power.",
    ),
    Flag("search_batches", COUNT, 8, "Batches that the criterion looks at."),
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
        "calibrate",
        Text("FOLDER"),
        None,
        "With inherited weights: images, without labels, from which the channels that "
        "stay learn what those that leave carried, and by which they are chosen; every "
        "fifth batch, up to 128 images, is kept out to measure on. Default: the "
        "training images.",
    ),
    Flag(
        "sweep",
        Checked(parse_shares, "SHARE,SHARE,..."),
        None,
        "With inherited weights: besides --macs, make networks of these shares of the "
        "MACs, such as 0.9,0.8,0.7,0.6, and show what each keeps, so that one can be "
        "chosen. They go to sweep/ in --workdir.",
    ),
    Flag(
        "plan",
        Text("FILE"),
        None,
        "Apply this plan.json, found with the same --model and --width_mult, "
        "instead of searching.",
    ),
)
