"""A server that speaks TensorFlow Serving's protocols, for tests of a client.

    python server.py --model_config_file=models.config [--port=0] [--rest_api_port=0]
        [--tls=FOLDER]

It stands on the official messages and stubs and runs the real SavedModels, but is not
TensorFlow Serving: it loads once, joins no requests, and words its errors after the
original's. It sends itself the warm-up requests. With --tls it also listens with
`server.pem` and `server.key`, and asks for client certificates signed by `ca.pem`.
Prints its ports as JSON when it is ready.
"""

import argparse
import base64
import concurrent.futures
import json
import os
import pathlib
import re
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import grpc
import tensorflow as tf
from google.protobuf import json_format, text_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.INTERNAL: 500,
}
PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?(?P<end>:predict|/metadata)?"
)


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


# --- models --------------------------------------------------------------------------


def load(config_file):
    """Model name to (version to loaded SavedModel, label to version)."""
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(pathlib.Path(config_file).read_text(), config)
    return {
        model.name: (
            {n: load_version(f"{model.base_path}/{n}") for n in wanted(model)},
            dict(model.version_labels),
        )
        for model in config.model_config_list.config
    }


def load_version(path):
    model = tf.saved_model.load(path)
    model.warm_up = f"{path}/assets.extra/tf_serving_warmup_requests"
    return model


def warm_up(models):
    """Sends every version the requests in its assets.extra."""
    for name, (versions, _) in models.items():
        for version, model in versions.items():
            for record in tf.data.TFRecordDataset(model.warm_up).as_numpy_iterator():
                log = prediction_log_pb2.PredictionLog.FromString(record)
                request = log.predict_log.request
                # As the original, which sends it to the model at hand.
                request.model_spec.name = name
                request.model_spec.version.value = version
                predict(models, request)


def wanted(model):
    """The versions that a model's policy asks for."""
    folders = pathlib.Path(model.base_path).iterdir()
    there = sorted(int(p.name) for p in folders if p.name.isdecimal())
    policy = model.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "specific":
        return list(policy.specific.versions)
    if kind == "all":
        return there
    return there[-(policy.latest.num_versions or 1) :]


def servable(models, spec):
    """The version that a request is for."""
    versions, labels = models.get(spec.name, ({}, {}))
    kind = spec.WhichOneof("version_choice")
    if kind == "version_label":
        if spec.version_label not in labels:
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Unrecognized servable version label: {spec.version_label}",
            )
        version = labels[spec.version_label]
    else:
        version = spec.version.value if kind else max(versions, default=None)
    if version not in versions:
        which = f"Specific({spec.name}, {version})" if kind else f"Latest({spec.name})"
        raise Refused(
            grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {which}"
        )
    return version, versions[version]


def signature(models, spec):
    _, model = servable(models, spec)
    name = spec.signature_name or "serving_default"
    if name not in model.signatures:
        raise Refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            f'Serving signature name: "{name}" not found in signature def',
        )
    return model.signatures[name]


def predict(models, request):
    """Answers a PredictRequest."""
    run = signature(models, request.model_spec)
    specs = run.structured_input_signature[1]
    if set(specs) != set(request.inputs):
        raise Refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"inputs {sorted(request.inputs)} do not match signature {sorted(specs)}",
        )
    arrays = {key: tf.make_ndarray(each) for key, each in request.inputs.items()}
    try:
        outputs = run(**{key: tf.constant(each) for key, each in arrays.items()})
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        code = grpc.StatusCode.INVALID_ARGUMENT
        raise Refused(code, str(error)) from error
    response = predict_pb2.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = servable(models, request.model_spec)[0]
    for key, value in outputs.items():
        response.outputs[key].CopyFrom(tf.make_tensor_proto(value.numpy()))
    return response


def model_status(models, request):
    """Answers a GetModelStatusRequest."""
    spec = request.model_spec
    if spec.name not in models:
        raise Refused(
            grpc.StatusCode.NOT_FOUND,
            f"Could not find any versions of model {spec.name}",
        )
    versions = sorted(models[spec.name][0], reverse=True)
    if spec.WhichOneof("version_choice"):
        versions = [servable(models, spec)[0]]
    response = get_model_status_pb2.GetModelStatusResponse()
    for version in versions:
        response.model_version_status.add(version=version, state="AVAILABLE")
    return response


# --- gRPC ----------------------------------------------------------------------------


def services(models):
    """The two services, and how they refuse."""

    def answering(function):
        def method(self, request, context):
            try:
                return function(models, request)
            except Refused as error:
                context.abort(error.code, str(error))

        return method

    predictions = prediction_service_pb2_grpc.PredictionServiceServicer
    statuses = model_service_pb2_grpc.ModelServiceServicer
    return (
        type("Predictions", (predictions,), {"Predict": answering(predict)})(),
        type("Models", (statuses,), {"GetModelStatus": answering(model_status)})(),
    )


def serve_grpc(models, port, tls):
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(8),
        options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)],
    )
    predictions, statuses = services(models)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        predictions, server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(statuses, server)
    ports = {"grpc": server.add_insecure_port(f"127.0.0.1:{port}")}
    if tls:
        pair = (tls / "server.key").read_bytes(), (tls / "server.pem").read_bytes()
        own = grpc.ssl_server_credentials([pair], (tls / "ca.pem").read_bytes(), True)
        ports["grpcs"] = server.add_secure_port("127.0.0.1:0", own)
    server.start()
    return server, ports


# --- REST ----------------------------------------------------------------------------


def rest_answer(models, verb, path, body):
    """The JSON of an answer."""
    found = PATH.fullmatch(path)
    if not found or (verb == "POST") != (found["end"] == ":predict"):
        raise Refused(
            grpc.StatusCode.INVALID_ARGUMENT, f"Malformed request: {verb} {path}"
        )
    if found["end"] == "/metadata":
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        fill(request.model_spec, found)
        version, model = servable(models, request.model_spec)
        spec = {"name": found["name"], "version": str(version)}
        return {"model_spec": spec, "metadata": {"signature_def": [*model.signatures]}}
    if verb == "GET":
        request = get_model_status_pb2.GetModelStatusRequest()
        fill(request.model_spec, found)
        return json_format.MessageToDict(
            model_status(models, request),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
    request = predict_pb2.PredictRequest()
    fill(request.model_spec, found)
    asked = json.loads(body)
    request.model_spec.signature_name = asked.get("signature_name", "")
    ((name, spec),) = (
        signature(models, request.model_spec).structured_input_signature[1].items()
    )
    instances = [binary(unnamed(each, name)) for each in asked["instances"]]
    request.inputs[name].CopyFrom(tf.make_tensor_proto(instances, spec.dtype))
    outputs = {
        key: tf.make_ndarray(each).tolist()
        for key, each in predict(models, request).outputs.items()
    }
    rows = zip(*(outputs[key] for key in outputs))
    rows = [dict(zip(outputs, row)) if len(outputs) > 1 else row[0] for row in rows]
    return {"predictions": rows}


def fill(spec, found):
    spec.name = found["name"]
    if found["version"]:
        spec.version.value = int(found["version"])
    if found["label"]:
        spec.version_label = found["label"]


def unnamed(instance, name):
    named = isinstance(instance, dict) and set(instance) == {name}
    return instance[name] if named else instance


def binary(value):
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def serve_rest(models, port, tls):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # The head and the body of an answer are written apart; together they would
        # wait for each other.
        disable_nagle_algorithm = True

        def do_GET(self):
            self.answer("GET")

        def do_POST(self):
            self.answer("POST")

        def answer(self, verb):
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            try:
                code, found = 200, rest_answer(models, verb, self.path, body)
            except Refused as error:
                code, found = HTTP[error.code], {"error": str(error)}
            except Exception as error:  # malformed JSON and the like
                code, found = 400, {"error": f"{type(error).__name__}: {error}"}
            content = json.dumps(found, default=bytes.decode).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    servers = {"http": ThreadingHTTPServer(("127.0.0.1", port), Handler)}
    if tls:
        context = ssl.create_default_context(
            ssl.Purpose.CLIENT_AUTH, cafile=tls / "ca.pem"
        )
        context.load_cert_chain(tls / "server.pem", tls / "server.key")
        context.verify_mode = ssl.CERT_REQUIRED
        servers["https"] = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers["https"].socket = context.wrap_socket(
            servers["https"].socket, server_side=True
        )
    for server in servers.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return {name: server.server_port for name, server in servers.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_config_file", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rest_api_port", type=int, default=0)
    parser.add_argument("--tls", type=pathlib.Path)
    args = parser.parse_args()
    models = load(args.model_config_file)
    warm_up(models)
    server, ports = serve_grpc(models, args.port, args.tls)
    ports |= serve_rest(models, args.rest_api_port, args.tls)
    print(json.dumps(ports), flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    sys.exit(main())
