"""Networks written as classes, shrunk as they are: the way from the class to the file.

The model that is given is never touched; what comes out needs none of its classes.
"""

import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras import export
from tests.class_zoo import CLASS_ZOO, CONVOLUTIONAL
from tests.surgery.test_invariants import assert_same, random_plan
from tests.zoo import example, randomize

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

# A regulariser of one's own is an object that its file must name.
NEED_CLASSES = {"pointnet"}
RANDOM = {"variational_autoencoder"}  # other numbers at every call
NOT_ON_PHONES = {"fnet": "FFT2D", "variational_autoencoder": "sampling.*state"}


def half(name):
    return "mixed" in name


@pytest.fixture(scope="module")
def networks():
    """Name → `(model, small)`, each made once."""
    made = {}

    def network(name):
        if name.startswith("keras_hub"):
            pytest.importorskip("keras_hub")
        if name not in made:
            keras.utils.set_random_seed(0)
            model = randomize(CLASS_ZOO[name]())
            made[name] = model, hh.rebuild(model, random_plan(model))
        return made[name]

    return network


@pytest.fixture(params=sorted(CLASS_ZOO))
def name(request):
    return request.param


def outputs(model, x):
    return [np.asarray(y, "float32") for y in keras.tree.flatten(model(x))]


def test_keeping_all_is_the_class_bit_for_bit(networks, name):
    model, small = networks(name)
    x = example(small)
    copy = hh.rebuild(model, random_plan(model, share=2.0))
    for a, b in zip(outputs(model, x), outputs(copy, x), strict=True):
        np.testing.assert_array_equal(a, b)
    assert copy.count_params() == model.count_params()
    assert small.count_params() <= model.count_params()


def test_masked_equals_rebuilt(networks, name):
    model, small = networks(name)
    x = example(small)
    plan = random_plan(model)
    if name in RANDOM:  # both begin with the model's own state
        small = hh.rebuild(model, plan)
    masked = hh.mask(model, plan)
    assert_same(outputs(masked, x), outputs(small, x), 2e-2 if half(name) else 1e-5)


def test_small_networks_are_exported(networks, name, tmp_path):
    _, small = networks(name)
    x = example(small)
    wanted = outputs(small, x)
    tolerance = 5e-2 if half(name) else 1e-4
    path = tmp_path / "small.tflite"
    if name in NOT_ON_PHONES:
        with pytest.raises(hh.ModelError, match=NOT_ON_PHONES[name]):
            export.tflite(small, path)
        if name in RANDOM:
            return
        path = export.saved_model(small, tmp_path)
    else:
        export.tflite(small, path)
    found = export.predict(path, x)
    found = found if isinstance(found, list) else [found]
    assert_same(wanted, [np.asarray(y, "float32") for y in found], tolerance)


def test_convolutional_networks_lose_most_of_their_channels(networks):
    shares = {
        name: hh.trace(networks(name)[0]).removable_share
        for name in sorted(CONVOLUTIONAL)
        if not name.startswith("keras_hub")
    }
    assert np.mean(list(shares.values())) >= 0.8, shares
    assert min(shares.values()) >= 0.6, shares


LOAD = """
import pickle, sys
import hh_keras, keras, numpy as np
for name in sys.argv[2:]:
    model = keras.models.load_model(f"{sys.argv[1]}/{name}.keras", compile=False)
    x, expected = pickle.load(open(f"{sys.argv[1]}/{name}.pickle", "rb"))
    for a, b in zip(keras.tree.flatten(model(x)), expected, strict=True):
        assert np.array_equal(np.asarray(a, "float32"), b), name
assert "tests.class_zoo" not in sys.modules
"""


def test_files_load_in_a_process_that_knows_no_class(networks, tmp_path):
    names = [n for n in sorted(CLASS_ZOO) if not n.startswith("keras_hub")]
    names = [n for n in names if n not in NEED_CLASSES]
    for name in names:
        small = hh.inline(networks(name)[1])
        small.save(tmp_path / f"{name}.keras")
        x = example(small)
        x = dict(x) if isinstance(x, dict) else x
        expected = outputs(small, x)  # its state is as saved: nothing is drawn twice
        x = list(x) if isinstance(x, (list, tuple)) else x
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps((x, expected)))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path), *names],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
