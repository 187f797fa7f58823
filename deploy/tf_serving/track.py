#!/usr/bin/env python3
"""Follows a target through a video with a tracker that TensorFlow Serving runs.

    track.py --server=localhost:8500 --model=lw_dna --box=120,80,60,90 walk.mp4
    track.py --model=lw_dna --box=120,80,60,90 --about=lw_dna_search.json frames/

The server has both networks of the tracker, NAME_exemplar and NAME_search, but knows no
target: the kernel stays here, and goes with every request. Prints one JSON object per
frame, in order:

    {"frame": 1, "box": [121.5, 80.25, 60.0, 90.5], "score": 0.93}
    {"frame": 2, "error": "cannot be read", "box": [121.5, 80.25, 60.0, 90.5]}

over gRPC alone: as JSON, each request would be megabytes. Needs `pip install
tensorflow-serving-api`, hh_keras, and client.py beside this file. Requests are repeated
as there.

Exit status: 0 every frame was followed; 1 some cannot be read; 2 wrong usage; 3 no
connection; 4 no such model, version or label; 5 no answer in time; 6 the server failed.
"""

import argparse
import json
import os
import pathlib
import sys
import types

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import client
import numpy as np

from hh_keras.cli.commands.track import parse_box
from hh_keras.errors import HHError
from hh_keras.tasks.tracking.data.footage import frames_of
from hh_keras.tasks.tracking.following.settings import Settings, read_settings
from hh_keras.tasks.tracking.following.steps import followed
from hh_keras.tasks.tracking.following.tracker import Tracker

FLOAT, SIGNATURE = 1, "serving_default"


def parsed(arguments):
    about, _, details = __doc__.partition("\n")
    parser = client.Parser(
        description=about,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("video", help="a video file (needs OpenCV), or a folder of frames")
    add("--server", default="localhost:8500", help="HOST[:PORT] (default %(default)s)")
    add("--model", required=True, help="NAME of NAME_exemplar and NAME_search")
    add("--box", required=True, type=rectangle, help="left,top,width,height in pixels")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--version", type=client.whole, help="number of a version")
    which.add_argument("--label", help="label of a version, such as stable or canary")
    add("--side", type=client.whole, default=192, help="of its images (default 192)")
    add("--about", help="NAME_search.json of an export: tells side and settings")
    add("--timeout", type=client.seconds, default=30.0, help="of an answer, seconds")
    add("--retry-for", type=client.seconds, default=10.0, help="seconds (default 10)")
    add("--ca", help="file of the certificates to trust: the connection is TLS")
    add("--cert", help="file of the client's own certificate, PEM")
    add("--key", help="file of its key, PEM")
    args = parser.parse_args(arguments)
    scheme = "grpcs" if args.ca or args.cert else "grpc"
    try:
        args.server = client.server(f"{scheme}://{args.server.split('://')[-1]}")
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    args.signature = SIGNATURE
    return args


def rectangle(text):
    try:
        return parse_box(text)
    except ValueError as error:
        what = f"{text!r} is no left,top,width,height of a size"
        raise argparse.ArgumentTypeError(what) from error


def told(args):
    """Side of the networks' images, and settings, of the `.json` of an export."""
    if not args.about:
        return args.side, Settings()
    try:
        found = json.loads(pathlib.Path(args.about).read_text())
        section, side = found["tracker"], found["input"][0]["shape"][1]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise client.Failed(
            "usage", f"--about={args.about} is of no tracker's search part ({error!r})"
        ) from error
    return side, read_settings(section, args.about)


class Served:
    """One network of the server: arrays by name to arrays by name."""

    def __init__(self, api, channel, args, part):
        own = types.SimpleNamespace(**{**vars(args), "model": f"{args.model}_{part}"})
        self.api, self.args = api, own
        self.predict = api.Prediction(channel).Predict
        counts = types.SimpleNamespace(seconds=[], pauses=[])
        self.ask = client.patiently(self._ask, own, counts)

    def __call__(self, arrays):
        return self.ask(arrays)

    def _ask(self, arrays):
        args, request = self.args, self.api.PredictRequest()
        spec = request.model_spec
        spec.name, spec.signature_name = args.model, SIGNATURE
        if args.version:
            spec.version.value = args.version
        if args.label:
            spec.version_label = args.label
        for name, array in arrays.items():
            tensor = request.inputs[name]
            tensor.dtype = FLOAT
            for size in array.shape:
                tensor.tensor_shape.dim.add(size=size)
            tensor.tensor_content = np.ascontiguousarray(array, "<f4").tobytes()
        try:
            outputs = self.predict(request, timeout=args.timeout).outputs
        except self.api.grpc.RpcError as error:
            raise client.grpc_failed(self.api.grpc, error, args) from error
        return {name: array_of(outputs[name]) for name in sorted(outputs)}


def array_of(tensor):
    """A TensorProto of floats as an array."""
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.dtype != FLOAT:
        raise client.Failed("server", f"an output is of type {tensor.dtype}, not float")
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, "<f4").reshape(shape)
    return np.broadcast_to(np.array(tensor.float_val, "float32"), shape)


def tracker_of(args):
    """The tracker's loop here, its networks there."""
    api = client.grpc_messages()
    channel = client.grpc_channel(api.grpc, args)
    exemplar, search = (
        Served(api, channel, args, part) for part in ("exemplar", "search")
    )
    side, settings = told(args)

    def kernel(images):
        found = exemplar({"images": images})
        return [found[name] for name in sorted(found)]

    def answer(inputs):
        image, *own = inputs
        named = {f"kernel_{k:02d}": each for k, each in enumerate(own)}
        (found,) = search({"image": image, **named}).values()
        return found

    blank = np.zeros((1, side, side, 3), "float32")
    sides = answer([blank, *kernel(blank)]).shape[-1] == 5
    return Tracker(kernel, answer, side, sides, settings)


def line(step):
    """What is printed of a frame."""
    known = np.isfinite(step.box).all()  # not before the first that can be read
    box = [round(float(v), 3) for v in step.box] if known else None
    row = {"frame": step.number, "box": box}
    if step.frame is None:
        return {**row, "error": "cannot be read"}
    return {**row, "score": round(float(step.score), 4)}


def main(arguments=None):
    args = parsed(arguments)
    damaged = 0
    try:
        footage = frames_of(args.video)
        for step in followed(tracker_of(args), footage, args.box):
            damaged += step.frame is None
            print(json.dumps(line(step), allow_nan=False), flush=True)
    except client.Failed as error:
        if error.kind == "refused":
            side = f"--side={args.side}" if not args.about else f"--about={args.about}"
            client.note(f"error: {error}; is {side} this tracker's?")
            return client.EXIT["usage"]
        client.note(f"error: {error}")
        return client.EXIT[error.kind if error.kind in client.EXIT else "server"]
    except HHError as error:
        client.note(f"error: {error}")
        return client.EXIT["usage"]
    return client.EXIT["unreadable"] if damaged else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        client.note("stopped")
        sys.exit(130)
