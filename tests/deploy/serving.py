"""What the tests of the client share: a tiny model, its server, and the client."""

import contextlib
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

from hh_keras import export

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENT = ROOT / "deploy" / "tf_serving" / "client.py"
SERVER = pathlib.Path(__file__).with_name("server.py")
LABELS = ("Bluse", "Größe", "coat", "bag")


def classifier(seed):
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((12, 12, 3))
    x = keras.layers.Rescaling(1 / 255)(x)
    x = keras.layers.Conv2D(5, 3, strides=2, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(4, kernel_initializer=keras.initializers.RandomNormal(0, 9))(
        x
    )
    return keras.Model(inputs, x, name="clothes")


def export_versions(root, count=2):
    """Versions of a model that answer differently; their paths."""
    return [
        export.saved_model(classifier(seed), root, labels=LABELS, version=seed)
        for seed in range(1, count + 1)
    ]


def expected(path, contents):
    """What a client must print for files, by TensorFlow in this process."""
    run = tf.saved_model.load(str(path)).signatures["classify_bytes"]
    found = run(image_bytes=tf.constant(list(contents)))
    found = {key: value.numpy() for key, value in found.items()}
    return [
        {"error": error.decode()}
        if error
        else {
            "classes": [each.decode() for each in classes],
            "probabilities": shares.tolist(),
        }
        for error, classes, shares in zip(
            found["error"], found["classes"], found["probabilities"], strict=True
        )
    ]


def assert_same(line, wanted, name):
    """Whether a line of the client is what it must be."""
    assert line["image"] == str(name)
    if "error" in wanted:
        assert line == {"image": str(name), "error": wanted["error"]}
        return
    assert line.get("classes") == wanted["classes"], line
    np.testing.assert_allclose(
        line["probabilities"], wanted["probabilities"], atol=1e-5
    )


@contextlib.contextmanager
def serving(config, *flags):
    """Starts the test server in a process of its own; yields it and its ports."""
    process = start(config, *flags)
    try:
        yield process, ports(process)
    finally:
        process.kill()
        process.wait()


def start(config, *flags):
    command = [sys.executable, str(SERVER), f"--model_config_file={config}", *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def ports(process):
    line = process.stdout.readline()
    assert line, f"the test server ended with {process.wait()}"
    return json.loads(line)


def client(*arguments, **settings):
    """Runs the client; returns (exit status, its lines as JSON, its standard error)."""
    done = subprocess.run(
        [sys.executable, str(CLIENT), *map(str, arguments)],
        capture_output=True,
        timeout=120,
        **settings,
    )
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    return done.returncode, lines, done.stderr.decode()


def config_text(base_path, stable=1, canary=2):
    return f"""
    model_config_list {{
      config {{
        name: "clothes"
        base_path: "{base_path}"
        model_platform: "tensorflow"
        model_version_policy {{ specific {{ versions: {stable} versions: {canary} }} }}
        version_labels {{ key: "stable" value: {stable} }}
        version_labels {{ key: "canary" value: {canary} }}
      }}
    }}
    """
