"""The public names load when they are used, and not before."""

import pathlib
import subprocess
import sys

import keras
import pytest

import hh_keras

ROOT = pathlib.Path(__file__).resolve().parents[1]


def test_every_public_name_is_there():
    assert {"trace", "shrink", "Plan", "ChannelScale"} <= set(hh_keras.__all__)
    for name in hh_keras.__all__:
        assert getattr(hh_keras, name) is not None


def test_the_rooms_are_there_after_the_package_is_imported_alone():
    code = (
        "import hh_keras\n"
        "print(hh_keras.latency.measure, hh_keras.models.build, hh_keras.export.tflite,"
        " hh_keras.training.train, hh_keras.data.load, hh_keras.tasks.from_compiled,"
        " hh_keras.report.write_report)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_layers_are_registered_without_the_rooms_that_use_them():
    """What Keras must know of is 1/25 of its own import; all the rest waits."""
    code = (
        "import sys, keras, hh_keras\n"
        "late = ('hh_keras.training.fit', 'hh_keras.models.registry', 'tqdm',"
        " 'hh_keras.graph.tracing', 'hh_keras.data', 'scipy.sparse.csgraph')\n"
        "print([m for m in late if m in sys.modules], 'hh_keras.search.regularizers' in"
        " sys.modules)"
    )
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=ROOT, check=True, timeout=120, capture_output=True)
    assert done.stdout.split(b"\n")[-2] == b"[] True"


def test_flags_are_read_without_tensorflow():
    code = (
        "import sys, hh_keras.cli.commands.run, hh_keras.cli.commands.export\n"
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_scripts_are_short():
    for path in (ROOT / "launch").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 120, path


def test_every_folder_of_code_is_a_package():
    """What is not would be missing from the wheel, and from the checks of imports."""
    root = pathlib.Path(hh_keras.__file__).parent
    folders = {path.parent for path in root.rglob("*.py")}
    assert [f for f in folders if not (f / "__init__.py").exists()] == []


def test_all_that_files_can_hold_is_registered_with_keras():
    root = pathlib.Path(hh_keras.__file__).parent
    registers = ("@keras.saving.register_", "_registered = keras.saving.register_")
    with_layers = {
        ".".join(path.relative_to(root).with_suffix("").parts)
        for path in root.rglob("*.py")
        if any(line.startswith(registers) for line in path.read_text().splitlines())
    }
    assert set(hh_keras._REGISTERING) == with_layers


@pytest.mark.parametrize("modules", ["keras, hh_keras", "hh_keras, keras"])
def test_files_with_layers_of_the_package_are_read(tmp_path, modules):
    code = (
        f"import sys, {modules}\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "print([type(x).__name__ for x in model.layers])"
    )
    i = keras.Input((4,))
    model = keras.Model(i, keras.layers.Dense(2)(keras.layers.Dense(3)(i)))
    hh_keras.add_scales(model).save(tmp_path / "scaled.keras")
    run = [sys.executable, "-c", code, str(tmp_path / "scaled.keras")]
    done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT)
    assert "ChannelScale" in done.stdout, done.stderr
