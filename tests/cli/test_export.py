"""launch/export.py: a run's networks as files, each with proof of what it is worth."""

import gc
import json
import pathlib
import shutil
import signal
import subprocess
import sys

import keras
import pytest

from hh_keras import export as exporting
from hh_keras.cli import flags
from hh_keras.cli.commands import export, train

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = {
    "saved_model": "saved_model/{}/1",
    "float32": "{}.tflite",
    "float16": "{}.float16.tflite",
    "dynamic": "{}.dynamic.tflite",
    "int8": "{}.int8.tflite",
    "qat": "{}.qat.tflite",
}
assert tuple(FILES) == flags.ALL_FORMATS[:6]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a training that is better than chance."""
    folder = tmp_path_factory.mktemp("runs") / "train"
    status = train.entry(
        ["--model=tests.cli.test_bad_input:classifier", "--limit=400",
         "--epochs=12", "--batch_size=20", "--learning_rate=0.01",
         "--clip_norm=1", f"--workdir={folder}"]
    )  # fmt: skip
    assert status == 0
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A finished run of launch/run.py, as far as launch/export.py looks at it."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("original", "lw_dna"):
        shutil.copy(trained / "model.keras", folder / f"{name}.keras")
    record = json.loads((trained / "run.json").read_text())
    record["config"]["program"] = "run"
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def outliers(path):
    """Makes a network that int8 cannot hold: one weight dwarfs all others."""
    model = keras.models.load_model(path)
    conv, head = model.get_layer("conv"), model.get_layer("head")
    kernel, bias = conv.get_weights()
    bias[0] = -1e4  # the first channel is always zero ...
    conv.set_weights([kernel, bias])
    kernel, bias = head.get_weights()
    kernel[0] = 1e3  # ... so that this changes nothing in floats
    head.set_weights([kernel, bias])
    model.save(path)


def report(folder):
    return json.loads((folder / "export.json").read_text())


def test_one_command_exports_a_run(run, capsys):
    command = [f"--run={run}", "--qat_epochs=1", "--representative_images=40"]
    # A short training may move a twentieth of forty images' classes.
    command += ["--max_drop=0.1"]
    assert export.entry(command) == 0, capsys.readouterr().err
    out, found = run / "export", report(run / "export")
    assert found["dataset"] == "embedded" and found["validation_images"] == 400
    assert found["problems"] == []
    for name in ("original", "lw_dna"):
        network = found["models"][name]
        assert network["left_out"] == {} and 0.2 < network["accuracy"] <= 1
        for kind, pattern in FILES.items():
            row, path = network["files"][kind], out / pattern.format(name)
            assert path.exists() and row["file"] == str(path.relative_to(out))
            assert row["drop"] == pytest.approx(network["accuracy"] - row["accuracy"])
            assert row["examples"] == 400 and row["mean_abs"] <= row["max_abs"]
            if kind != "saved_model":
                assert row["bytes"] == path.stat().st_size
                described = json.loads(path.with_suffix(".json").read_text())
                assert len(described["labels"]) == 10
        rows = network["files"]
        assert max(rows[k]["relative"] for k in ("saved_model", "float32")) < 1e-5
        assert rows["qat"]["simulated"]["top1_agreement"] > 0.95
        assert len(rows["qat"]["history"]) == 1
    page, screen = (out / "export.md").read_text(), capsys.readouterr().out
    for name in ("original", "lw_dna"):
        for pattern in FILES.values():
            assert pattern.format(name) in page and pattern.format(name) in screen
    # What the report says is what evaluation of the files finds.
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*.tflite")}
    (out / "lw_dna.int8.tflite").unlink()
    assert export.entry(command) == 0
    changed = {p.name for p in times if p.stat().st_mtime_ns != times[p]}
    assert changed == {"lw_dna.int8.tflite"}
    assert report(out)["models"] == found["models"]


def test_a_file_beside_its_run_finds_its_data(run, tmp_path, capsys):
    out = tmp_path / "out"
    command = [f"--model={run / 'lw_dna.keras'}", "--name=slim", f"--workdir={out}"]
    assert export.entry([*command, "--formats=int8", "--integer_io"]) == 0
    assert report(out)["validation_images"] == 400
    described = json.loads((out / "slim.int8.json").read_text())
    assert described["input"]["dtype"] == described["output"]["dtype"] == "int8"
    # Another kind joins those that are there.
    assert export.entry([*command, "--formats=float16", "--integer_io"]) == 0
    assert set(report(out)["models"]["slim"]["files"]) == {"int8", "float16"}
    assert export.entry([*command, "--formats=int8"]) == 2
    assert "integer_io" in capsys.readouterr().err


def test_a_fall_of_accuracy_is_an_error_unless_allowed(run, tmp_path, capsys):
    outliers(run / "lw_dna.keras")
    out = tmp_path / "out"
    command = [f"--model={run / 'lw_dna.keras'}", f"--workdir={out}"]
    command += ["--formats=float32,int8"]
    assert export.entry(command) == 2
    error = capsys.readouterr().err
    assert "model.int8.tflite" in error and "--allow_drop" in error
    assert "Traceback" not in error and "model.tflite" not in error
    assert (out / "model.int8.tflite").exists()
    found = report(out)
    assert len(found["problems"]) == 1 and "--max_drop=0.01" in found["problems"][0]
    assert "Do not deploy" in (out / "export.md").read_text()
    before = (out / "model.int8.tflite").stat().st_mtime_ns
    gc.collect()  # in one process, the lock goes with the run that holds it
    assert export.entry([*command, "--allow_drop"]) == 0
    assert export.entry([*command, "--max_drop=1"]) == 0
    assert report(out)["problems"] == []
    assert (out / "model.int8.tflite").stat().st_mtime_ns == before


def normalised():
    """A network with a layer that cannot be trained for int8."""
    x = inputs = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(4, 3, strides=4)(x)
    x = keras.layers.GroupNormalization(2, name="odd_one")(x)
    return keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(x)))


def test_what_cannot_be_made_is_left_out_unless_asked_for(tmp_path, capsys):
    common = ["--model=tests.cli.test_export:normalised", "--limit=20"]
    common += [f"--workdir={tmp_path}", "--allow_drop"]
    assert export.entry([*common, "--formats=qat"]) == 2
    assert "odd_one" in capsys.readouterr().err
    assert export.entry(common) == 0
    network = report(tmp_path)["models"]["model"]
    assert "odd_one" in network["left_out"]["qat"]
    assert set(network["files"]) | set(network["left_out"]) == set(FILES)
    assert "odd_one" in (tmp_path / "export.md").read_text()


def features():
    """No classifier of the data: it puts out eight numbers."""
    x = inputs = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(8, 3, strides=4)(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def test_files_for_other_runtimes_are_checked_like_the_rest(run, tmp_path):
    for module in ("tf2onnx", "onnxruntime", "openvino"):
        pytest.importorskip(module)
    model, out = run / "lw_dna.keras", tmp_path / "out"
    flags = [f"--model={model}", "--limit=40", f"--workdir={out}"]
    assert export.entry([*flags, "--formats=onnx,openvino"]) == 0
    (network,) = report(out)["models"].values()
    for kind, name in (("onnx", "model.onnx"), ("openvino", "model.openvino")):
        row = network["files"][kind]
        assert row["file"] == name and row["accuracy"] == network["accuracy"]
        assert row["max_abs"] <= 1e-4 * row["spread"]
        assert row["bytes"] == exporting.formats.file_size(out / name) > 1000


def test_other_networks_are_compared_without_accuracy(tmp_path):
    common = ["--model=tests.cli.test_export:features", "--limit=20"]
    common += ["--formats=saved_model,float32", "--image_size=20", "--tflite_batch=2"]
    assert export.entry([*common, f"--workdir={tmp_path}", "--check_images=5"]) == 0
    row = report(tmp_path)["models"]["model"]["files"]["float32"]
    assert row["accuracy"] is None and row["drop"] is None and row["examples"] == 5
    assert exporting.input_shape(tmp_path / "model.tflite") == (20, 20, 1)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([], "--run"),
        (["--run=nowhere"], "nowhere/run.json"),
        (["--run=nowhere", "--model=resnet20"], "--model"),
        (["--model=resnet20", "--max_drop=2"], "max_drop"),
        (["--model=resnet20", "--qat_epochs=-1"], "qat_epochs"),
    ],
)
def test_mistakes_get_one_message(given, named, capsys, tmp_path):
    assert export.entry([*given, f"--workdir={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert named in error and "Traceback" not in error


def test_an_unfinished_run_is_named(run, capsys):
    (run / "lw_dna.keras").unlink()
    assert export.entry([f"--run={run}"]) == 2
    assert "lw_dna.keras" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_export_goes_on(run):
    command = [sys.executable, "-u", "launch/export.py", f"--run={run}"]
    command += ["--formats=float32,float16,int8", "--max_drop=0.2"]
    started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in started.stdout:
        if "original.float16.tflite" in line:
            started.send_signal(signal.SIGKILL)
            break
    started.communicate()
    out = run / "export"
    before = {p: p.stat().st_mtime_ns for p in out.glob("original*.tflite")}
    assert len(before) >= 2
    assert export.entry(command[3:]) == 0
    kept = [p for p in before if p.stat().st_mtime_ns == before[p]]
    assert len(kept) >= 2 and not list(out.rglob(".*"))
    assert [len(n["files"]) for n in report(out)["models"].values()] == [3, 3]
