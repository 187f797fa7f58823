"""What an app must know about a `.tflite` file, as a JSON file beside it."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hh_keras import files
from hh_keras.errors import ModelError
from hh_keras.export.prediction import interpreter_class
from hh_keras.export.quiet import quiet

FORMAT, VERSION = "hh_keras.tflite", 1
_PIXELS = {"range": [0, 255]}
_WHOLE = {"resize": "bilinear, antialiased, whole image"}
_ORDERS = {1: "grey", 3: "RGB"}


def sidecar(
    path: Path,
    content: bytes,
    quantize: str,
    labels: Sequence[str] | None = None,
    logits: bool | None = None,
    tiles: Any = None,
    renamed: dict | None = None,
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

    Returns:
        A dict of JSON values. `input` and `output` are lists of such entries where
        there are several. An integer tensor has a `quantization`: the real value is
        `scale * (integer - zero_point)`.

    Raises:
        ModelError: labels and outputs differ in number.
    """
    with quiet():
        interpreter = interpreter_class()(model_content=content)
    inputs = [
        {
            **_tensor(detail),
            **_PIXELS,
            **({} if tiles else _WHOLE),
            "channels": _order(detail),
            **_keras_name(detail, renamed or {}),
        }
        for detail in interpreter.get_input_details()
    ]
    outputs = [
        {**_tensor(detail), **(_PIXELS if tiles else {"logits": logits})}
        for detail in interpreter.get_output_details()
    ]
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
    }


def tiles_of(path: str | Path) -> dict | None:
    """How the tiles overlap that a `.tflite` file takes.

    Args:
        path: the file.

    Returns:
        Dict of overlap (pixels on each side), multiple (where tiles may start) and
        scale, see `hh_keras.graph.reach.Reach`; None if the file beside it does not
        tell, or is of another `.tflite` file.
    """
    path = Path(path)
    try:
        told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if told["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest():
            return {name: int(told["tiles"][name]) for name in _TILES}
    except (OSError, ValueError, KeyError, TypeError):
        pass
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
    name = renamed.get(detail["name"])
    return {"keras_name": name} if name else {}


def _order(detail):
    return _ORDERS.get(int(detail["shape"][-1]))


def _check_labels(path, labels, outputs):
    units = [output["shape"][-1] for output in outputs]
    if units != [len(labels)]:
        raise ModelError(
            f"{path.name} puts out {', '.join(map(str, units))} values, but there are "
            f"{len(labels)} labels. Give one label per output."
        )
