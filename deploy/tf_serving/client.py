#!/usr/bin/env python3
"""Asks a TensorFlow Serving server what is on images, over REST or gRPC.

    client.py --model=lw_dna photo.jpg photos/
    client.py --server=grpc://localhost:8500 --model=lw_dna --label=canary photos/
    cat photo.jpg | client.py --model=lw_dna -
    client.py --model=lw_dna --status

Prints one JSON object per image, in the order of the images:

    {"image": "photo.jpg", "classes": ["coat", ...], "probabilities": [0.93, ...]}
    {"image": "notes.jpg", "error": "is neither JPEG nor PNG"}

then, on the standard error stream, how many images were answered and how long requests
took. Folders are searched for image files. Needs Python 3.10 and nothing else for REST;
for gRPC also `pip install tensorflow-serving-api`.

Requests are repeated, after a random and growing pause, where the server cannot have
answered: it refuses or drops the connection, or says that it is busy. A classification
changes nothing on the server, so asking twice is safe. Timeouts are not repeated.

This one file is all there is to it, so that it can be copied anywhere.

Exit status: 0 every image was answered; 1 some cannot be read; 2 wrong usage;
3 no connection; 4 no such model, version, label or signature; 5 no answer in time;
6 the server failed; of several, the largest. Whatever happens, every image gets a line.
"""

import argparse
import base64
import collections
import concurrent.futures
import http.client
import importlib.util
import json
import math
import os
import pathlib
import random
import socket
import ssl
import struct
import sys
import threading
import time
import types
import urllib.parse

EXIT = {
    "unreadable": 1, "refused": 1, "usage": 2, "down": 3, "missing": 4, "timeout": 5,
    "server": 6,
}  # fmt: skip
EXTENSIONS = (
    ".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff",
)  # fmt: skip
PORTS = {"http": 8501, "https": 443, "grpc": 8500, "grpcs": 443}


class Failed(Exception):
    """A request without an answer.

    Attributes:
        kind: one of `EXIT`; "refused" is about this very batch.
        again: whether to ask again.
        pause: seconds that the server wants to be left alone.
    """

    def __init__(self, kind, text, again=False, pause=0.0):
        super().__init__(" ".join(str(text).split()))
        self.kind, self.again, self.pause = kind, again, pause


# --- flags ---------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(EXIT["usage"], f"error: {message} (--help explains the flags)\n")


def parsed(arguments):
    about, _, details = __doc__.partition("\n")
    parser = Parser(
        description=about,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("images", nargs="*", help="image files, folders of them, or - for one on stdin")
    add(
        "--server",
        default="http://localhost:8501",
        type=server,
        help="http://, https://, grpc:// or grpcs:// HOST[:PORT] (default %(default)s)",
    )
    add("--model", required=True, help="name of the model on the server")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--version", type=whole, help="number of a version")
    which.add_argument("--label", help="label of a version, such as stable or canary")
    add("--signature", default="classify_bytes", help="default %(default)s")
    add("--input", default="image_bytes", help="its input (default %(default)s)")
    add("--top", type=whole, help="print so many classes at most")
    add("--batch", type=whole, default=8, help="images in one request (default 8)")
    add("--parallel", type=whole, default=2, help="requests at once (default 2)")
    add(
        "--timeout",
        type=seconds,
        default=30.0,
        help="seconds to wait for one answer (default 30)",
    )
    add(
        "--retry-for",
        type=seconds,
        default=10.0,
        help="seconds to go on asking a server that is down or busy (default 10)",
    )
    add("--ca", help="file of the certificates to trust, PEM; default: the system's")
    add("--cert", help="file of the client's own certificate, PEM")
    add("--key", help="file of its key, PEM")
    add("--summary", help="file to write the numbers at the end to, as JSON")
    add(
        "--status",
        action="store_true",
        help="print the state of the model's versions instead, as JSON",
    )
    args = parser.parse_args(arguments)
    if not (args.images or args.status):
        parser.error("no images given")
    if args.images.count("-") > 1:
        parser.error("- can be given once")
    if (args.ca or args.cert) and args.server.scheme not in ("https", "grpcs"):
        parser.error("--ca and --cert need a --server of https:// or grpcs://")
    if bool(args.cert) != bool(args.key):
        parser.error("--cert and --key belong together")
    return args  # fmt: skip


def server(text):
    found = urllib.parse.urlsplit(text)
    try:
        port = found.port or PORTS[found.scheme]
    except (KeyError, ValueError):
        found = None
    if not found or not found.hostname:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no server; write http://, https://, grpc:// or grpcs://, "
            "and HOST or HOST:PORT"
        )
    return types.SimpleNamespace(
        scheme=found.scheme, host=found.hostname, port=port, text=text,
        prefix=found.path.rstrip("/"),
    )  # fmt: skip


def whole(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def seconds(text):
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return found


# --- images --------------------------------------------------------------------------


def names(paths):
    """Yields the images among files and folders; folders in the order of names."""
    for path in paths:
        if path == "-" or not os.path.isdir(path):
            yield path
            continue
        others = 0
        for folder, folders, files in os.walk(path):
            folders.sort()
            for name in sorted(files):
                if name.lower().endswith(EXTENSIONS):
                    yield os.path.join(folder, name)
                else:
                    others += 1
        if others:
            note(f"{path}: {others} files without an image's extension left out")


def content(name):
    """Reads an image; raises OSError."""
    return sys.stdin.buffer.read() if name == "-" else pathlib.Path(name).read_bytes()


def batches(items, size):
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


# --- REST ----------------------------------------------------------------------------


def rest(args):
    """Returns `ask(contents)` and `status()` over REST; connections are kept."""
    connections = threading.local()
    where = f"/versions/{args.version}" if args.version else ""
    if args.label:
        where = f"/labels/{urllib.parse.quote(args.label, safe='')}"
    name = urllib.parse.quote(args.model, safe="")
    path = f"{args.server.prefix}/v1/models/{name}{where}"
    context = tls_context(args)

    def connection():
        if not hasattr(connections, "open"):
            host, port = args.server.host, args.server.port
            connections.open = (
                http.client.HTTPSConnection(
                    host, port, timeout=args.timeout, context=context
                )
                if context
                else http.client.HTTPConnection(host, port, timeout=args.timeout)
            )
        return connections.open

    def call(method, target, body=None):
        headers = {"Content-Type": "application/json"}
        try:
            connection().request(method, target, body, headers)
            response = connection().getresponse()
            return response.status, response.headers, response.read()
        except Exception as error:
            connection().close()
            del connections.open
            raise broken(error, args) from error

    def ask(contents):
        instances = [
            {args.input: {"b64": base64.b64encode(each).decode()}} for each in contents
        ]
        body = json.dumps({"signature_name": args.signature, "instances": instances})
        rows = understood(*call("POST", f"{path}:predict", body), args)
        rows = rows.get("predictions") if isinstance(rows, dict) else None
        if not isinstance(rows, list):
            raise Failed("server", f"{args.server.text} gives no predictions")
        return [row if isinstance(row, dict) else {"output": row} for row in rows]

    def status():
        found = understood(*call("GET", path), args)
        versions = found.get("model_version_status") if isinstance(found, dict) else ()
        return [
            {"version": int(each["version"]), "state": each["state"],
             "error": each.get("status", {}).get("error_message", "")}
            for each in versions or ()
        ]  # fmt: skip

    return ask, status


def tls_context(args):
    if args.server.scheme != "https":
        return None
    try:
        context = ssl.create_default_context(cafile=args.ca)
        if args.cert:
            context.load_cert_chain(args.cert, args.key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(filter(None, (args.ca, args.cert, args.key)))
        raise Failed("usage", f"certificates ({files}): {error}") from error
    return context


def broken(error, args):
    """What a connection's end means."""
    place = args.server.text
    if isinstance(error, TimeoutError):
        return Failed("timeout", f"{place} does not answer within {args.timeout:g} s")
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", "") or error.reason or error
        return Failed("down", f"no secure connection to {place}: {reason}")
    if isinstance(error, socket.gaierror):
        return Failed("down", f"{place}: the host is unknown ({error.strerror})")
    if isinstance(error, http.client.BadStatusLine) and not isinstance(
        error, http.client.RemoteDisconnected
    ):
        return Failed("down", f"{place} does not speak HTTP; is it the gRPC port?")
    if isinstance(error, (OSError, http.client.HTTPException)):
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        return Failed("down", f"no connection to {place}: {reason}", again=True)
    return Failed("server", f"{place}: {type(error).__name__}: {error}")


def understood(code, headers, body, args):
    """The JSON of an answer; raises `Failed` for any status but 200."""
    try:
        found = json.loads(body)
    except ValueError:
        found = {}
    if code == 200 and found:
        return found
    text = found.get("error") if isinstance(found, dict) else None
    text = f"{args.server.text} says: {text or http.client.responses.get(code, code)}"
    if code == 200:
        raise Failed("server", f"{args.server.text} answers with something not JSON")
    if code in (429, 502, 503):
        pause = headers.get("Retry-After", "")
        raise Failed("down", text, again=True, pause=float(pause.isdecimal() and pause))
    if code == 404 or names_nothing(text):
        raise Failed("missing", missing(args, text))
    if code in (408, 504):
        raise Failed("timeout", text)
    raise Failed("refused" if code in (400, 413) else "server", text)


def names_nothing(text):
    """Whether an error is about a label or signature that the model lacks."""
    return any(word in text.lower() for word in ("version label", "serving signature"))


def missing(args, text):
    which = f" version {args.version}" if args.version else ""
    which = f" label {args.label}" if args.label else which
    return f"no model {args.model}{which} with signature {args.signature}: {text}"


# --- gRPC ----------------------------------------------------------------------------


def grpc_messages():
    """Imports the official messages, without the rest of TensorFlow.

    They live in the package `tensorflow`, whose own import takes seconds.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    place = importlib.util.find_spec("tensorflow")
    alone = place and "tensorflow" not in sys.modules
    if alone:
        package = types.ModuleType("tensorflow")
        package.__path__ = list(place.submodule_search_locations)
        sys.modules["tensorflow"] = package
    try:
        import grpc
        from tensorflow.core.framework import tensor_pb2
        from tensorflow_serving.apis import (
            get_model_status_pb2,
            model_service_pb2_grpc,
            predict_pb2,
            prediction_service_pb2_grpc,
        )
    except ImportError as error:
        raise Failed(
            "usage",
            f"gRPC needs tensorflow-serving-api ({error}): pip install "
            "tensorflow-serving-api, or use --server=http://...",
        ) from error
    finally:
        if alone:
            del sys.modules["tensorflow"]
    return types.SimpleNamespace(
        grpc=grpc,
        TensorProto=tensor_pb2.TensorProto,
        PredictRequest=predict_pb2.PredictRequest,
        Prediction=prediction_service_pb2_grpc.PredictionServiceStub,
        StatusRequest=get_model_status_pb2.GetModelStatusRequest,
        Status=get_model_status_pb2.ModelVersionStatus,
        Models=model_service_pb2_grpc.ModelServiceStub,
    )


def over_grpc(args):
    """Returns `ask(contents)` and `status()` over gRPC; threads share a channel."""
    api = grpc_messages()
    channel = grpc_channel(api.grpc, args)
    prediction, models = api.Prediction(channel), api.Models(channel)

    def call(method, request):
        request.model_spec.name = args.model
        if args.version:
            request.model_spec.version.value = args.version
        if args.label:
            request.model_spec.version_label = args.label
        try:
            return method(request, timeout=args.timeout)
        except api.grpc.RpcError as error:
            raise grpc_failed(api.grpc, error, args) from error

    def ask(contents):
        request = api.PredictRequest()
        request.model_spec.signature_name = args.signature
        tensor = request.inputs[args.input]
        tensor.dtype = 7  # DT_STRING
        tensor.tensor_shape.dim.add(size=len(contents))
        tensor.string_val.extend(contents)
        outputs = call(prediction.Predict, request).outputs
        columns = {name: values(outputs[name]) for name in sorted(outputs)}
        rows = zip(*columns.values(), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def status():
        found = call(models.GetModelStatus, api.StatusRequest())
        return [
            {"version": each.version, "state": api.Status.State.Name(each.state),
             "error": each.status.error_message}
            for each in found.model_version_status
        ]  # fmt: skip

    return ask, status


def grpc_channel(grpc, args):
    place = f"{args.server.host}:{args.server.port}"
    options = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        # By itself gRPC leaves a server that was down alone for up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.enable_http_proxy", 0),
    ]
    if args.server.scheme == "grpc":
        return grpc.insecure_channel(place, options)
    parts = []
    for path in (args.ca, args.key, args.cert):
        try:
            parts.append(path and pathlib.Path(path).read_bytes())
        except OSError as error:
            raise Failed("usage", f"{path}: {error.strerror}") from error
    return grpc.secure_channel(place, grpc.ssl_channel_credentials(*parts), options)


def grpc_failed(grpc, error, args):
    """What a gRPC status means."""
    code, place = error.code(), args.server.text
    detail = error.details() or code.name
    text, lower = f"{place} says: {detail}", detail.lower()
    if code == grpc.StatusCode.UNAVAILABLE:
        text = f"no connection to {place}: {detail}"
        final = any(word in lower for word in ("ssl", "dns", "resolving", "http/2"))
        return Failed("down", text, again=not final)
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return Failed("timeout", f"{place} does not answer within {args.timeout:g} s")
    if code == grpc.StatusCode.NOT_FOUND or names_nothing(detail):
        return Failed("missing", missing(args, text))
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        large = "message larger" in lower
        return Failed("refused" if large else "down", text, again=not large)
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        return Failed("refused", text)
    return Failed("server", f"{text} ({code.name})")


def values(tensor):
    """A TensorProto as nested lists, text decoded; without NumPy."""
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.dtype == 7:  # DT_STRING
        flat = [readable(each) for each in tensor.string_val]
    elif tensor.dtype == 1:  # DT_FLOAT
        flat = list(tensor.float_val)
        if tensor.tensor_content:
            flat = list(struct.unpack(f"<{math.prod(shape)}f", tensor.tensor_content))
    else:
        raise Failed("server", f"an output is of type {tensor.dtype}, not known here")
    if len(flat) == 1:  # one value may stand for all
        flat *= math.prod(shape)
    for size in reversed(shape[1:]):
        flat = [flat[i : i + size] for i in range(0, len(flat), size)]
    return flat


def readable(content):
    """Text, or as REST does, {"b64": ...} for what is none."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(content).decode()}


# --- asking --------------------------------------------------------------------------


def patiently(ask, args, statistics):
    """`ask`, repeated where that is safe, with growing pauses.

    Pauses are random, so that the clients of a server that was down do not all come
    back at the same moment.
    """

    def asked(*contents):
        end, limit = time.monotonic() + args.retry_for, 0.1
        while True:
            started = time.perf_counter()
            try:
                found = ask(*contents)
            except Failed as error:
                pause = max(error.pause, random.uniform(limit / 2, limit))
                if not error.again or time.monotonic() + pause > end:
                    raise
                statistics.pauses.append(pause)
                time.sleep(pause)
                limit = min(2 * limit, 2.0)
                continue
            statistics.seconds.append(time.perf_counter() - started)
            return found

    return asked


def answers(asked, contents):
    """One dict per image, whatever happens.

    A batch that the server does not take is halved until the images to blame stand
    alone.

    Returns:
        A list of dicts; of an image without an answer, `error` says why and `kind` is
        one of `EXIT`.
    """
    try:
        rows = asked(contents)
        if len(rows) != len(contents):
            raise Failed("server", f"{len(rows)} answers for {len(contents)} images")
        return [answered(row) for row in rows]
    except Failed as error:
        failed = error
    except Exception as error:  # there is no end to what a server may send
        failed = Failed("server", f"an answer of no known form: {error!r}")
    if failed.kind == "refused" and len(contents) > 1:
        half = len(contents) // 2
        return answers(asked, contents[:half]) + answers(asked, contents[half:])
    return [{"error": str(failed), "kind": failed.kind} for _ in contents]


def answered(row):
    """An answer without an empty error; an error without empty answers."""
    error = row.pop("error", "")
    return {"error": error, "kind": "unreadable"} if error else row


def lines(batch, asked, top, stopped):
    """The answers to a batch of names, in its order.

    Args:
        stopped: list; the first failure that all other requests would share goes in,
            and once there is one nothing more is sent.
    """
    found, contents = {}, {}
    for place, name in enumerate(batch):
        try:
            contents[place] = content(name)
        except OSError as error:
            found[place] = {"error": f"{error.strerror or error}", "kind": "unreadable"}
    if stopped and contents:
        kind, reason = stopped[0]
        rows = [{"error": f"not sent: {reason}", "kind": kind} for _ in contents]
    else:
        rows = answers(asked, list(contents.values())) if contents else []
    for row in rows:
        if row.get("kind") in ("down", "missing") and not stopped:
            stopped.append((row["kind"], row["error"]))
    found.update(zip(contents, rows, strict=True))
    return [
        {"image": name, **shortened(found[place], top)}
        for place, name in enumerate(batch)
    ]


def shortened(row, top):
    listed = ("classes", "probabilities")
    return {
        key: value[:top] if top and key in listed else value
        for key, value in sorted(row.items())
    }


def in_order(work, items, parallel):
    """Yields `work(item)` in the order of the items, a few ahead at a time."""
    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        waiting = collections.deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= 2 * parallel:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


# --- telling -------------------------------------------------------------------------


def note(text):
    print(text, file=sys.stderr, flush=True)


def summary(kinds, statistics, elapsed):
    """The numbers at the end, a dict of JSON values."""
    images, own = sum(kinds.values()), ("answered", "unreadable", "refused")
    times = sorted(1000 * each for each in statistics.seconds)
    return {
        "images": images,
        **{kind: kinds[kind] for kind in own},
        "failed": images - sum(kinds[kind] for kind in own),
        "requests": len(times),
        "repeated": len(statistics.pauses),
        "seconds": round(elapsed, 3),
        "latency_ms": {
            name: round(times[math.ceil(share / 100 * len(times)) - 1], 2)
            for name, share in (("p50", 50), ("p90", 90), ("p99", 99), ("max", 100))
            if times
        },
    }


def told(numbers):
    """The same as a line."""
    shares = ", ".join(f"{k} {v:g} ms" for k, v in numbers["latency_ms"].items())
    return (
        f"{numbers['images']} images in {numbers['seconds']:.1f} s: "
        f"{numbers['answered']} answered, {numbers['unreadable']} unreadable, "
        f"{numbers['refused']} refused, {numbers['failed']} failed; "
        f"{numbers['requests']} requests answered, {numbers['repeated']} repeated"
        + (f"; {shares}" if shares else "")
    )


def print_status(status, args):
    """Prints the versions; 0 if one of them answers."""
    versions = status()
    print(json.dumps({"model": args.model, "versions": versions}))
    ready = any(each["state"] == "AVAILABLE" for each in versions)
    if not ready:
        note(f"error: no version of {args.model} is available")
    return 0 if ready else EXIT["missing"]


def classify(ask, args, statistics):
    """Prints a line per image and returns the exit status."""
    started, kinds, stopped = time.perf_counter(), collections.Counter(), []
    asked = patiently(ask, args, statistics)
    work = batches(names(args.images), args.batch)
    for batch in in_order(
        lambda batch: lines(batch, asked, args.top, stopped), work, args.parallel
    ):
        for line in batch:
            kind = line.pop("kind", "answered")
            if kind not in ("answered", "unreadable") and not kinds[kind]:
                note(f"error: {line['error']}")
            kinds[kind] += 1
            print(json.dumps(line, ensure_ascii=False), flush=True)
    numbers = summary(kinds, statistics, time.perf_counter() - started)
    note(told(numbers))
    if args.summary:
        pathlib.Path(args.summary).write_text(json.dumps(numbers, indent=2) + "\n")
    if not numbers["images"]:
        raise Failed("usage", f"no images in {', '.join(args.images)}")
    return max((EXIT.get(kind, 0) for kind in kinds), default=0)


def main(arguments=None):
    args = parsed(arguments)
    statistics = types.SimpleNamespace(seconds=[], pauses=[])
    # File names may be no UTF-8; what comes out then is still JSON.
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        if args.summary:
            pathlib.Path(args.summary).touch()
        transport = over_grpc if args.server.scheme.startswith("grpc") else rest
        ask, status = transport(args)
        if args.status:
            return print_status(patiently(status, args, statistics), args)
        return classify(ask, args, statistics)
    except Failed as error:
        note(f"error: {error}")
        return EXIT[error.kind if error.kind in EXIT else "server"]
    except OSError as error:  # of --summary, or of a reader of our output that left
        sys.stdout = open(os.devnull, "w")
        note(f"error: {error.filename or 'output'}: {error.strerror}")
        return EXIT["usage"]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        note("stopped")
        os._exit(130)
