"""What an app must know about a `.tflite` file, as a JSON file beside it."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hh_keras import files
from hh_keras.errors import DataError, ModelError
from hh_keras.export.prediction import interpreter_class
from hh_keras.export.quiet import quiet

FORMAT, VERSION = "hh_keras.tflite", 1
_PIXELS = {"range": [0, 255]}
WHOLE = "bilinear, antialiased, whole image"
"""How a picture comes to the size of a network that sees all of it squashed."""
_ORDERS = {1: "grey", 3: "RGB"}


@dataclasses.dataclass(frozen=True)
class About:
    """What an app must know of a file, and only who makes it does.

    Attributes:
        images: names of the inputs that are images, to how a picture comes to their
            size; what is not named is none.
        sections: name to JSON values, put into the file's `.json`.

    Examples:
        >>> about = hh_keras.export.About({"image": "of a face"}, {"author": "me"})
        >>> path = hh_keras.export.tflite(model, "model.tflite", about=about)
        >>> hh_keras.export.told(path)["author"]
        'me'
    """

    images: Mapping[str, str]
    sections: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def sidecar(
    path: Path,
    content: bytes,
    quantize: str,
    labels: Sequence[str] | None = None,
    logits: bool | None = None,
    tiles: Any = None,
    renamed: dict | None = None,
    about: About | None = None,
    outputs_of: Sequence[str] = (),
) -> dict:
    """Describes a `.tflite` file: its tensors, pixels, labels.

    Args:
        path: the file, a `pathlib.Path`.
        content: its bytes.
        quantize: how it was made, one of `hh_keras.export.QUANTIZE`.
        labels: class names in the order of the outputs, or None.
        logits: whether the outputs are logits; None if that is not known.
        tiles: of a network from images to images, its `hh_keras.graph.reach.Reach`; it
            is given tiles of an image, not an image resized.
        renamed: name of an input in the file to that in the model, where they differ;
            an input of the file then has the latter as its `keras_name`.
        about: an `About`; None takes inputs of one or three channels for images.
        outputs_of: names of the model's outputs, in the order of the file's; of
            several, each gets its own as `keras_name`.

    Returns:
        A dict of JSON values. `input` and `output` are lists of such entries where
        there are several. Only images have `range`, `channels` and `resize`, only rows
        of values `logits`. An integer tensor has a `quantization`: the real value is
        `scale * (integer - zero_point)`.

    Raises:
        ModelError: labels and outputs differ in number.
    """
    with quiet():
        interpreter = interpreter_class()(model_content=content)
    inputs = [
        {
            **_tensor(detail),
            **_image(detail, _keras_name(detail, renamed), about, tiles),
            **_other_name(detail, renamed),
        }
        for detail in interpreter.get_input_details()
    ]
    outputs = [
        {**_tensor(detail), **(_PIXELS if tiles else _row(detail, logits))}
        for detail in interpreter.get_output_details()
    ]
    if len(outputs) == len(outputs_of) > 1:
        for output, name in zip(outputs, outputs_of):
            output["keras_name"] = name
    if labels is not None:
        _check_labels(path, labels, outputs)
    return {
        "format": FORMAT,
        "version": VERSION,
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "quantize": quantize,
        "input": inputs[0] if len(inputs) == 1 else inputs,
        "output": outputs[0] if len(outputs) == 1 else outputs,
        "labels": None if labels is None else list(labels),
        **({"tiles": dataclasses.asdict(tiles)} if tiles else {}),
        **(about.sections if about else {}),
    }


def told(path: str | Path) -> dict | None:
    """What the `.json` beside a `.tflite` file says.

    Args:
        path: the `.tflite` file.

    Returns:
        What `sidecar` returned; None if there is no such file, or it is of another
        `.tflite` file.

    Raises:
        ModelError: the file cannot be read.

    Examples:
        >>> path = hh_keras.export.tflite(model, "model.tflite")
        >>> told = hh_keras.export.told(path)
        >>> told["quantize"], told["input"]["shape"], told["output"]["logits"]
        ('float32', [1, 8, 8, 3], True)
    """
    path = Path(path)
    beside = path.with_suffix(".json")
    if not (path.is_file() and beside.is_file()):
        return None
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        # It was edited, or half of it copied: what it told would be lost in silence.
        raise ModelError(
            f"{beside}, which describes {path.name}, is damaged ({error}): put it "
            "right, export again, or take it away."
        ) from error
    sum_ = found.get("sha256") if isinstance(found, dict) else None
    own = sum_ == hashlib.sha256(path.read_bytes()).hexdigest()
    return found if own else None


def classes_of(path: str | Path) -> tuple[str, ...] | None:
    """The classes of a `.tflite` file's outputs, as its `.json` names them.

    Args:
        path: any model's path; only a `.tflite` file has names beside it.

    Returns:
        Their names in order, None if they are not known.
    """
    about = told(path) if str(path).endswith(".tflite") else None
    names = (about or {}).get("labels") or (about or {}).get("classes")
    known = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if known and names else None


def check_classes(path: str | Path, wanted: Sequence[str], data: str) -> None:
    """Raises DataError if a file names other classes than its data, or in other order.

    Args:
        path: as for `classes_of`.
        wanted: class names in the order of the labels.
        data: the name of the data.
    """
    names = classes_of(path)
    if names is None or names == tuple(wanted):
        return
    beside = Path(path).with_suffix(".json")
    first = next(
        (k for k, pair in enumerate(zip(names, wanted)) if len(set(pair)) == 2),
        min(len(names), len(wanted)),
    )
    known, own = (
        f"{each[first]!r}" if first < len(each) else "nothing"
        for each in (names, wanted)
    )
    raise DataError(
        f"{path} was made for other classes than --dataset={data} has: its output "
        f"{first} is {known}, by {beside.name}, class {first} of the data is {own}. "
        f"Give data with {', '.join(names)} in this order, or take {beside.name} away "
        "if they are the same by other names."
    )


def tiles_of(path: str | Path) -> dict | None:
    """How the tiles overlap that a `.tflite` file takes.

    Args:
        path: the file.

    Returns:
        Dict of overlap (pixels on each side), multiple (where tiles may start) and
        scale, see `hh_keras.graph.reach.Reach`; None if the file beside it does not
        tell, or is of another `.tflite` file.

    Raises:
        ModelError: that file cannot be read.

    Examples:
        >>> denoiser = hh_keras.models.build("dncnn_small", (16, 16, 1))
        >>> path = hh_keras.export.tflite(denoiser, "denoise.tflite")
        >>> sorted(hh_keras.export.tiles_of(path))
        ['multiple', 'overlap', 'scale']
    """
    found = told(path) or {}
    try:
        tiles = found["tiles"]
        return {name: int(tiles[name]) for name in _TILES}
    except (ValueError, KeyError, TypeError):
        return None


_TILES = ("overlap", "multiple", "scale")


def write_sidecar(path: Path, description: dict) -> Path:
    """Writes NAME.json beside NAME.tflite, in one step.

    Args:
        path: the `.tflite` file, a `pathlib.Path`.
        description: what `sidecar` returned.

    Returns:
        The path of the JSON file.

    Raises:
        WorkdirError: it cannot be written.
    """
    beside = path.with_suffix(".json")
    text = json.dumps(description, indent=2, ensure_ascii=False)
    files.write(beside, text + "\n")
    return beside


def _tensor(detail):
    scale, zero_point = detail["quantization"]
    described = {
        "name": detail["name"],
        "shape": [int(n) for n in detail["shape"]],
        "dtype": detail["dtype"].__name__,
    }
    if scale:
        described["quantization"] = {
            "scale": float(scale),
            "zero_point": int(zero_point),
        }
    return described


def _keras_name(detail, renamed):
    return (renamed or {}).get(detail["name"], detail["name"])


def _other_name(detail, renamed):
    name = _keras_name(detail, renamed)
    return {} if name == detail["name"] else {"keras_name": name}


def _image(detail, name, about, tiles):
    """What an app needs to fill an input that is an image."""
    *height_width, channels = map(int, detail["shape"][1:])
    order = _ORDERS.get(channels) if len(height_width) == 2 else None
    if about is None:
        images = {name: None if tiles else WHOLE} if order else {}
    else:
        images = about.images
    if name not in images:
        return {}
    resize = {"resize": images[name]} if images[name] else {}
    return {**_PIXELS, **resize, "channels": order}


def _row(detail, logits):
    return {"logits": logits} if len(detail["shape"]) == 2 else {}


def _check_labels(path, labels, outputs):
    units = [output["shape"][-1] for output in outputs]
    if units != [len(labels)]:
        raise ModelError(
            f"{path.name} puts out {', '.join(map(str, units))} values, but there are "
            f"{len(labels)} labels. Give one label per output."
        )
