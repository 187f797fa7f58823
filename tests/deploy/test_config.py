"""The files of deploy/tf_serving say what the server can read, and agree."""

import importlib.util
import pathlib
import re
import urllib.request

import pytest
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

from tests.deploy import serving

FOLDER = serving.ROOT / "deploy" / "tf_serving"
needs_protos = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_serving") is None,
    reason="tensorflow-serving-api is not installed",
)
# Those of tensorflow_model_server that a deployment may want.
FLAGS = {
    "port", "grpc_socket_path", "rest_api_port", "rest_api_num_threads",
    "rest_api_timeout_in_ms", "rest_api_enable_cors_support", "enable_batching",
    "allow_version_labels_for_unavailable_models", "batching_parameters_file",
    "enable_per_model_batching_parameters", "model_config_file",
    "model_config_file_poll_wait_seconds", "model_name", "model_base_path",
    "num_load_threads", "num_unload_threads", "max_num_load_retries",
    "load_retry_interval_micros", "file_system_poll_wait_seconds",
    "flush_filesystem_caches", "tensorflow_session_parallelism",
    "tensorflow_intra_op_parallelism", "tensorflow_inter_op_parallelism",
    "ssl_config_file", "platform_config_file", "per_process_gpu_memory_fraction",
    "saved_model_tags", "grpc_channel_arguments", "grpc_max_threads",
    "enable_model_warmup", "num_request_iterations_for_warmup",
    "monitoring_config_file", "prefer_tflite_model",
}  # fmt: skip
# What the Python package leaves out, as tensorflow_serving/servables/tensorflow/
# session_bundle_config.proto and tensorflow_serving/config/monitoring_config.proto have
# it: message to (field, number, type).
PUBLISHED = {
    "BatchingParameters": (
        ("max_batch_size", 1, "google.protobuf.Int64Value"),
        ("batch_timeout_micros", 2, "google.protobuf.Int64Value"),
        ("max_enqueued_batches", 3, "google.protobuf.Int64Value"),
        ("num_batch_threads", 4, "google.protobuf.Int64Value"),
        ("thread_pool_name", 5, "google.protobuf.StringValue"),
    ),
    "PrometheusConfig": (("enable", 1, "bool"), ("path", 2, "string")),
    "MonitoringConfig": (
        ("prometheus_config", 1, "hh_keras.published.PrometheusConfig"),
    ),
}


@pytest.fixture(scope="module")
def published():
    """The messages of `PUBLISHED` by name."""
    file = descriptor_pb2.FileDescriptorProto(
        name="published.proto", package="hh_keras.published", syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )  # fmt: skip
    plain = {"bool": 8, "string": 9}
    for name, fields in PUBLISHED.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            message.field.add(
                name=field, number=number, label=1, type=plain.get(kind, 11),
                type_name=None if kind in plain else f".{kind}",
            )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"hh_keras.published.{name}")
        )
        for name in PUBLISHED
    }


def read(name):
    return (FOLDER / name).read_text()


def document(name):
    return yaml.safe_load(read(name))


@pytest.fixture(scope="module")
def container():
    (found,) = document("kubernetes/deployment.yaml")["spec"]["template"]["spec"][
        "containers"
    ]
    return found


def flags(command):
    """Flag name to value."""
    return dict(re.fullmatch(r"--(\w+)=(.+)", each).groups() for each in command)


def model_config(text):
    """The one model of a ModelServerConfig."""
    from tensorflow_serving.config import model_server_config_pb2

    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    return model


def readme_blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", read("README.md"), re.DOTALL)


@needs_protos
def test_models_have_their_versions_and_labels():
    (canary,) = readme_blocks("proto")
    for text in (read("config/models.config"), canary):
        model = model_config(text)
        assert model.name == "lw_dna" and model.model_platform == "tensorflow"
        assert model.base_path == f"/models/{model.name}"
        assert set(model.version_labels) == {"stable", "canary"}
        listed = set(model.model_version_policy.specific.versions)
        assert set(model.version_labels.values()) <= listed
    assert model.version_labels == {"stable": 1, "canary": 2}
    first = model_config(read("config/models.config"))
    assert list(first.model_version_policy.specific.versions) == [1]


def test_batching_and_monitoring_parse(published):
    batching = text_format.Parse(
        read("config/batching.config"), published["BatchingParameters"]()
    )
    assert batching.max_batch_size.value >= 8  # the client's default
    assert 0 < batching.batch_timeout_micros.value <= 10_000
    monitoring = text_format.Parse(
        read("config/monitoring.config"), published["MonitoringConfig"]()
    )
    assert monitoring.prometheus_config.enable
    with pytest.raises(text_format.ParseError):
        text_format.Parse("max_batch: 1", published["BatchingParameters"]())


def commands():
    compose = document("docker-compose.yml")["services"]["serving"]
    pod = document("kubernetes/deployment.yaml")["spec"]["template"]["spec"]
    return {
        "compose": flags(compose["command"]),
        "kubernetes": flags(pod["containers"][0]["args"]),
    }


@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_flags_exist_and_name_files_that_are_there(where):
    given = commands()[where]
    assert set(given) <= FLAGS
    for name, value in given.items():
        if name.endswith("_file"):
            assert (FOLDER / "config" / pathlib.Path(value).name).is_file()
            assert pathlib.Path(value).parent == pathlib.Path("/config")
    assert given["enable_batching"] == "true"
    # The labels are given at the same moment as their versions.
    assert given["allow_version_labels_for_unavailable_models"] == "true"
    assert given["port"] != given["rest_api_port"]


def test_compose_publishes_and_mounts_what_the_server_uses():
    services = document("docker-compose.yml")["services"]
    given, service = commands()["compose"], services["serving"]
    assert service["entrypoint"] == ["tensorflow_model_server"]
    inner = {port.split(":")[-1] for port in service["ports"]}
    assert inner == {given["port"], given["rest_api_port"]}
    assert given["rest_api_port"] in service["healthcheck"]["test"][-1]
    *_, models = re.split(r"[}]:", service["volumes"][0])
    assert models == "/models:ro" and "${MODELS:?" in service["volumes"][0]
    host, place, _ = service["volumes"][1].split(":")
    assert (FOLDER / host).is_dir() and place == "/config"
    assert "model_config_file_poll_wait_seconds" in given
    (job,) = document("config/prometheus.yml")["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [f"serving:{given['rest_api_port']}"]
    assert f'"{job["metrics_path"]}"' in read("config/monitoring.config")


def test_one_version_of_the_server_everywhere():
    image = document("docker-compose.yml")["services"]["serving"]["image"]
    assert f"FROM {image}\n" in read("Dockerfile")
    assert 'ENTRYPOINT ["tensorflow_model_server"]' in read("Dockerfile")
    assert "COPY . /models\n" in read("Dockerfile")


def test_kubernetes_parts_fit_together(container):
    deployment = document("kubernetes/deployment.yaml")
    service = document("kubernetes/service.yaml")
    kustomization = document("kustomization.yaml")
    assert deployment["apiVersion"] == "apps/v1" and deployment["kind"] == "Deployment"
    assert service["apiVersion"] == "v1" and service["kind"] == "Service"
    spec, template = deployment["spec"], deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    for selector in (spec["selector"]["matchLabels"], service["spec"]["selector"]):
        assert selector.items() <= labels.items()
    for path in kustomization["resources"]:
        assert (FOLDER / path).is_file()
    (image,) = kustomization["images"]
    assert image["name"] == container["image"] and image["newTag"]
    (config,) = kustomization["configMapGenerator"]
    (volume,) = template["spec"]["volumes"]
    (mount,) = container["volumeMounts"]
    assert volume["configMap"]["name"] == config["name"]
    assert mount["name"] == volume["name"] and mount["mountPath"] == "/config"
    mounted = {pathlib.Path(path).name for path in config["files"]}
    assert all((FOLDER / path).is_file() for path in config["files"])
    given = commands()["kubernetes"]
    assert {pathlib.Path(v).name for k, v in given.items() if k.endswith("_file")} == (
        mounted
    )


def test_kubernetes_ports_and_probes(container):
    given = commands()["kubernetes"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {"grpc": int(given["port"]), "rest": int(given["rest_api_port"])}
    for each in document("kubernetes/service.yaml")["spec"]["ports"]:
        assert (
            each["targetPort"] == each["name"] and each["port"] == ports[each["name"]]
        )
    assert container["startupProbe"]["tcpSocket"]["port"] in ports
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    notes = document("kubernetes/deployment.yaml")["spec"]["template"]["metadata"][
        "annotations"
    ]
    assert notes["prometheus.io/port"] == given["rest_api_port"]
    assert f'"{notes["prometheus.io/path"]}"' in read("config/monitoring.config")


def test_kubernetes_updates_without_a_gap(container, published):
    strategy = document("kubernetes/deployment.yaml")["spec"]["strategy"]
    assert strategy["type"] == "RollingUpdate"
    assert strategy["rollingUpdate"]["maxUnavailable"] == 0
    assert strategy["rollingUpdate"]["maxSurge"] >= 1
    resources = container["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    threads = text_format.Parse(
        read("config/batching.config"), published["BatchingParameters"]()
    ).num_batch_threads.value
    assert str(threads) == resources["limits"]["cpu"]


@pytest.mark.slow
@needs_protos
def test_probes_answer_on_the_protocol_server(container, tmp_path):
    """With models.config itself, but for the place of the models."""
    serving.export_versions(tmp_path, 1)
    (tmp_path / "clothes").rename(tmp_path / "lw_dna")
    config = tmp_path / "models.config"
    text = read("config/models.config")
    config.write_text(text.replace("/models/", f"{tmp_path}/"))
    paths = [
        container[probe]["httpGet"]["path"]
        for probe in ("readinessProbe", "livenessProbe")
    ]
    with serving.serving(config) as (_, ports):
        for path in paths:
            address = f"http://localhost:{ports['http']}{path}"
            with urllib.request.urlopen(address) as answer:
                assert answer.status == 200
        status, (line,), _ = serving.client(
            f"--server=http://localhost:{ports['http']}", "--model=lw_dna", "--status"
        )
    assert status == 0 and [each["version"] for each in line["versions"]] == [1]


def test_readme_commands_of_the_client_are_real():
    """Every flag that the README writes behind client.py."""
    known = set(re.findall(r'"(--[a-z-]+)"', read("client.py")))
    shown = "\n".join(readme_blocks("bash")).replace("\\\n", " ")
    used = {
        flag
        for line in shown.splitlines()
        if "client.py" in line
        for flag in re.findall(r"(--[a-z-]+)", line.split("client.py")[1])
    }
    assert used and used <= known
