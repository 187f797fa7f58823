"""Scripts with networks and layers of a user's own, as classes in a module beside."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from hh_keras.cli.commands import evaluate, run, shrink

pytestmark = pytest.mark.filterwarnings("ignore")

MODULE = '''
import keras
from keras import layers as L


class Gate(L.Layer):
    """Has no layers in it, and neither a config nor a name that Keras knows."""

    def __init__(self, start):
        super().__init__()
        self.start = start

    def build(self, shape):
        self.gate = self.add_weight(shape=(shape[-1],), initializer=self.start)

    def call(self, x):
        return x * keras.ops.sigmoid(self.gate)


class Block(L.Layer):
    def __init__(self, filters):
        super().__init__()
        self.conv = L.Conv2D(filters, 3, padding="same", use_bias=False)
        self.norm, self.gate = L.BatchNormalization(), Gate("ones")

    def call(self, x, training=None):
        return x + self.gate(self.norm(self.conv(x), training=training))


class Net(keras.Model):
    def __init__(self, classes):
        super().__init__()
        self.stem = L.Conv2D(8, 3, 2, activation="relu")
        self.block, self.out = Block(8), L.Dense(classes)

    def call(self, x, training=None):
        x = self.block(self.stem(x / 255.0), training=training)
        return self.out(keras.ops.mean(x, (1, 2)))


def build(num_classes):
    return Net(num_classes)


@keras.saving.register_keras_serializable("own_classes")
class Known(L.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.conv = L.Conv2D(filters, 1)

    def build(self, shape):
        self.conv.build(shape)

    def call(self, x):
        y = self.conv(x)
        return y - keras.ops.max(y, -1, keepdims=True)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def save(path):
    i = keras.Input((28, 28, 1))
    x = L.Conv2D(6, 3, name="behind")(Known(8, name="known")(L.Conv2D(4, 3)(i)))
    keras.Model(i, L.Dense(10)(L.GlobalMaxPooling2D()(x))).save(path)
'''
KEEPING = """
import hh_keras, own_classes
hh_keras.keep_closed(own_classes.Known)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A model file, written by a process that is not this one."""
    folder = tmp_path_factory.mktemp("written")
    (folder / "own_classes.py").write_text(MODULE)
    code = "import own_classes; own_classes.save('own.keras')"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    return folder / "own.keras"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module `own_classes` that this process has not imported."""
    (tmp_path / "own_classes.py").write_text(MODULE)
    (tmp_path / "own_keeping.py").write_text(KEEPING)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("own_classes", "own_keeping"):
        sys.modules.pop(name, None)
    keras.saving.get_custom_objects().pop("own_classes>Known", None)


def test_a_class_goes_all_the_way_and_comes_out_without_itself(module, capsys):
    folder = module / "out"
    flags = ["--limit=32", "--epochs=1", "--batch_size=16", f"--workdir={folder}"]
    assert run.entry(["--model=own_classes:build", "--macs=0.7x", *flags]) == 0
    said = capsys.readouterr().out
    assert "opened: Block, Net\n" in said
    assert "so that it can be saved, opened: Gate\n" in said
    code = (
        "import hh_keras.models as m, numpy as np, sys;"
        "shape = m.build(sys.argv[1])(np.ones((1, 28, 28, 1))).shape;"
        "print(shape, 'own_classes' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder / "lw_dna.keras"],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.stdout.split() == ["(1,", "10)", "False"], done.stderr[-1000:]
    found = json.loads((folder / "results.json").read_text())
    assert found["models"]["lw_dna"]["macs"] < found["models"]["original"]["macs"]


def test_files_with_classes_want_their_module(module, file, capsys):
    flags = [f"--model={file}", "--limit=20"]
    assert evaluate.entry(flags) == 2
    assert "--import=my_module" in capsys.readouterr().err
    assert evaluate.entry([*flags, "--import=own_classes"]) == 0
    flags += [f"--workdir={module / 'out'}", "--width_mult=1", "--macs=0.5x"]
    assert shrink.entry([*flags, "--import=own_classes"]) == 0
    assert "opened: Known" in capsys.readouterr().out
    small = keras.models.load_model(module / "out" / "lw_dna.keras")
    assert small.get_layer("known.conv").filters < 8  # the maximum is of those kept
    assert small.get_layer("behind").filters < 6
    assert np.isfinite(small(np.ones((1, 28, 28, 1)))).all()


@pytest.mark.parametrize("how", [["--noinline", "--import=own_classes"], ["keeping"]])
def test_classes_can_be_kept_closed(module, file, capsys, how):
    flags = [f"--model={file}", "--limit=20", "--width_mult=1", "--macs=0.8x"]
    how = ["--import=own_keeping"] if how == ["keeping"] else how
    assert shrink.entry([*flags, f"--workdir={module / 'out'}", *how]) == 0
    said = capsys.readouterr()
    assert "closed: 'known' (Known): is to stay closed" in said.out
    assert "not opened: is to stay closed" in said.err
    small = keras.models.load_model(module / "out" / "lw_dna.keras")
    assert small.get_layer("known").filters == 8


def test_modules_that_are_none(module, capsys):
    assert shrink.entry(["--import=own_classes.py"]) == 2
    assert "--import=own_classes.py: write names of modules" in capsys.readouterr().err
    assert shrink.entry(["--import=not_there"]) == 2
    assert "--import=not_there: cannot import" in capsys.readouterr().err
