"""SavedModels: versions, signatures, image files, warm-up; and all without Python."""

import importlib.util
import pathlib
import shutil
import subprocess
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras import export
from hh_keras.data.decoding import decode_cuts
from hh_keras.data.views import cuts_of
from hh_keras.errors import ModelError, WorkdirError
from hh_keras.export import formats
from hh_keras.export.encoded import decode_batch
from tests.export import pictures

LABELS = ("Bluse", "Größe", "coat", "bag")
needs_protos = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_serving") is None,
    reason="tensorflow-serving-api is not installed",
)


def classifier(shape=(16, 12, 3), activation=None):
    keras.utils.set_random_seed(3)
    x = inputs = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 255)(x)
    x = keras.layers.Conv2D(6, 3, strides=2, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(4, activation=activation, kernel_initializer="he_normal")(x)
    return keras.Model(inputs, x, name="clothes")


def pixels(content, shape, view="resize"):
    """What training sees of an image file."""
    return decode_cuts(content, shape, cuts_of(view, shape))[0].astype("float32")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = classifier()
    root = tmp_path_factory.mktemp("models")
    return model, export.saved_model(model, root, labels=LABELS)


@pytest.fixture(scope="module")
def signatures(exported):
    loaded = tf.saved_model.load(str(exported[1]))
    yield loaded.signatures


def test_versions_count_up_and_stay(tmp_path):
    model = classifier()
    first = export.saved_model(model, tmp_path, encoded=None)
    assert first == tmp_path / "clothes" / "1"
    (tmp_path / "clothes" / "7").mkdir()
    (tmp_path / "clothes" / "notes").mkdir()
    assert export.saved_model(model, tmp_path, encoded=None).name == "8"
    again = export.saved_model(model, tmp_path, version=1, encoded=None)
    assert again == first
    names = {path.name for path in (tmp_path / "clothes").iterdir()}
    assert names == {"1", "7", "8", "notes"}


def test_two_at_once_get_two_versions(tmp_path, monkeypatch):
    """The second finishes while the first still believes that 1 is free."""
    write, both = export.serving._write, threading.Barrier(2, timeout=60)
    lock = threading.Lock()

    def slow(*args):
        with lock:  # tracing is not made for threads
            write(*args)
        both.wait()

    monkeypatch.setattr(export.serving, "_write", slow)
    found = []

    def one():
        found.append(export.saved_model(classifier(), tmp_path, encoded=None).name)

    threads = [threading.Thread(target=one) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(found) == ["1", "2"]


def test_nothing_appears_before_it_is_complete(tmp_path, monkeypatch):
    seen = []

    def watched(folder, *_):
        assert (folder / "saved_model.pb").exists()
        seen.extend(path.name for path in (tmp_path / "clothes").iterdir())
        raise ModelError("the disk is full")

    monkeypatch.setattr(export.serving.warming, "write_warm_up", watched)
    with pytest.raises(ModelError, match="disk"):
        export.saved_model(classifier(), tmp_path, encoded=None, warm_up=True)
    assert len(seen) == 1 and seen[0].startswith(".")
    assert not list((tmp_path / "clothes").iterdir())


@pytest.mark.parametrize(
    "arguments, text",
    [
        ({"name": "a/b"}, "a/b"),
        ({"version": 0}, "version=0"),
        ({"labels": ["one"]}, "4 outputs.*1 labels"),
        ({"view": "ten"}, "view='ten'"),
        ({"image_shape": (8, 8, 3)}, r"\(8, 8, 3\)"),
        ({"encoded": None, "labels": LABELS}, "labels"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, text, tmp_path):
    with pytest.raises(ModelError, match=text):
        export.saved_model(classifier(), tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_model_is_left_alone(tmp_path):
    mine = tmp_path / "clothes" / "1" / "a.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(WorkdirError, match="clothes/1"):
        export.saved_model(classifier(), tmp_path, version=1)
    assert mine.read_text() == "mine"


def test_any_size_needs_one_for_files(tmp_path):
    model = classifier((None, None, 3))
    with pytest.raises(ModelError, match="image_shape"):
        export.saved_model(model, tmp_path)
    path = export.saved_model(model, tmp_path, image_shape=(9, 9, 3))
    run = tf.saved_model.load(str(path)).signatures["classify_bytes"]
    content = pictures.good()["rgb.png"]
    found = run(image_bytes=tf.constant([content]))["probabilities"]
    wanted = keras.ops.softmax(model(pixels(content, (9, 9, 3))[None]))
    np.testing.assert_allclose(found[0], np.sort(wanted[0])[::-1], atol=1e-5)


def test_default_signature_names_its_outputs(signatures, exported, tmp_path):
    run = signatures["serving_default"]
    images = np.random.default_rng(0).uniform(0, 255, (3, 16, 12, 3)).astype("f")
    found = run(images=tf.constant(images))
    assert set(found) == {"logits"}
    np.testing.assert_allclose(found["logits"], exported[0](images), atol=1e-5)
    assert tuple(run.structured_outputs["logits"].shape) == (None, 4)


def test_several_outputs_have_names(tmp_path):
    a, b = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    total = keras.layers.Add(name="total")([a, b])
    difference = keras.layers.Subtract(name="difference")([a, b])
    model = keras.Model([a, b], [total, difference], name="pair")
    path = export.saved_model(model, tmp_path)
    loaded = tf.saved_model.load(str(path))
    left, right = tf.ones((2, 4)) * 5, tf.ones((2, 4))
    found = loaded.signatures["serving_default"](left=left, right=right)
    assert set(loaded.signatures) == {"serving_default", "serve"}
    assert float(found["total"][0, 0]) == 6 and float(found["difference"][0, 0]) == 4


def test_probabilities_are_not_softened_twice(tmp_path):
    model = classifier(activation="softmax")
    path = export.saved_model(model, tmp_path)
    loaded = tf.saved_model.load(str(path))
    content = pictures.good()["rgb.png"]
    found = loaded.signatures["classify_bytes"](image_bytes=tf.constant([content]))
    wanted = np.asarray(model(pixels(content, (16, 12, 3))[None]))[0]
    assert set(loaded.signatures["serving_default"].structured_outputs) == {
        "probabilities"
    }
    np.testing.assert_allclose(found["probabilities"][0], sorted(-wanted) * -np.ones(4))
    assert found["classes"][0, 0].numpy() == str(wanted.argmax()).encode()


def test_files_get_their_classes_and_bad_ones_their_reasons(signatures, exported):
    """Every good file is answered, in one batch with every bad one."""
    good, bad = pictures.good(), pictures.bad()
    contents = [*good.values(), *(content for content, _ in bad.values())]
    order = np.random.default_rng(0).permutation(len(contents))
    found = signatures["classify_bytes"](
        image_bytes=tf.constant([contents[i] for i in order])
    )
    found = {key: value.numpy()[np.argsort(order)] for key, value in found.items()}
    images = np.stack([pixels(content, (16, 12, 3)) for content in good.values()])
    wanted = np.asarray(keras.ops.softmax(exported[0](images)))
    ranks = np.argsort(-wanted, axis=1)
    for row, name in enumerate(good):
        assert found["error"][row] == b"", name
        # One grey level in a few pixels is all that decoding may differ in.
        np.testing.assert_allclose(
            found["probabilities"][row], wanted[row, ranks[row]], atol=2e-3
        )
        named = [label.decode() for label in found["classes"][row]]
        assert named == [LABELS[i] for i in ranks[row]]
    for row, (name, (_, reason)) in enumerate(bad.items(), start=len(good)):
        assert found["error"][row].decode() == reason, name
        assert not found["probabilities"][row].any()
        assert set(found["classes"][row]) == {b""}


@pytest.mark.parametrize("view", ["resize", "center"])
@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (224, 160, 3)])
def test_pixels_are_those_of_training(shape, view):
    """Whole grey levels, equal but for one level where a half is rounded."""
    files = pictures.good()
    found, errors = decode_batch(tf.constant(list(files.values())), shape, view)
    assert set(errors.numpy()) == {b""}
    for name, image in zip(files, found.numpy(), strict=True):
        difference = np.abs(image - pixels(files[name], shape, view))
        assert difference.max() <= 1 and (difference > 0).mean() < 0.03, name


def test_damaged_files_are_answered_only_where_training_reads_them():
    """Bytes changed and cut off at random: nothing crashes, nothing is made up."""
    draw, shape, contents = np.random.default_rng(0), (16, 16, 3), []
    for content in pictures.good().values():
        for _ in range(6):
            changed = bytearray(content[: len(content) - draw.choice((0, 0, 0, 9))])
            for place in draw.integers(4, len(changed), draw.integers(0, 4)):
                changed[place] = draw.integers(0, 256)
            contents.append(bytes(changed))
    found, errors = decode_batch(tf.constant(contents), shape)
    answered = 0
    for content, image, error in zip(contents, found.numpy(), errors.numpy()):
        if not error:
            wanted = pixels(content, shape)  # raises if Pillow refuses it
            assert np.abs(image - wanted).max() <= 1
            answered += 1
    assert 10 < answered < len(contents) - 10


def test_a_batch_may_be_all_bad(signatures):
    bad = signatures["classify_bytes"](image_bytes=tf.constant([b"", b"x"]))
    assert list(bad["error"].numpy()) == [b"is empty", b"is neither JPEG nor PNG"]
    none = signatures["classify_bytes"](image_bytes=tf.constant([], tf.string))
    assert none["probabilities"].shape == (0, len(LABELS)) and none["error"].shape == (
        0,
    )


@needs_protos
def test_warm_up_requests_run(exported, signatures):
    from tensorflow_serving.apis import prediction_log_pb2

    path = exported[1] / "assets.extra" / "tf_serving_warmup_requests"
    names = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record)
        request = request.predict_log.request
        assert request.model_spec.name == "clothes"
        names.append(request.model_spec.signature_name)
        inputs = {key: tf.make_ndarray(each) for key, each in request.inputs.items()}
        found = signatures[names[-1]](
            **{key: tf.constant(each) for key, each in inputs.items()}
        )
        if "error" in found:
            assert set(found["error"].numpy()) == {b""}
    assert names == ["serving_default", "classify_bytes"]


def test_without_protocol_buffers(tmp_path, monkeypatch):
    monkeypatch.setattr(export.serving.warming, "available", lambda: False)
    with pytest.warns(UserWarning, match=r"hh_keras\[serving\]"):
        path = export.saved_model(classifier(), tmp_path, encoded=None)
    assert (path / "saved_model.pb").exists() and not (path / "assets.extra").exists()
    with pytest.raises(ModelError, match=r"hh_keras\[serving\]"):
        export.saved_model(classifier(), tmp_path, encoded=None, warm_up=True)


def test_another_task_brings_its_own_signature(tmp_path):
    """An image restorer: file in, PNG file out."""
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Rescaling(-1, 255)(inputs), name="invert")

    def restore_bytes(model, image_shape):
        def call(encoded):
            images, errors = decode_batch(encoded, model.inputs[0].shape[1:])
            restored = tf.cast(model(images), tf.uint8)
            files = tf.map_fn(tf.io.encode_png, restored, fn_output_signature=tf.string)
            return {"png_bytes": files, "error": errors}

        spec = tf.TensorSpec((None,), tf.string, name="image_bytes")
        return export.Signature("restore_bytes", (spec,), call)

    path = export.saved_model(model, tmp_path, encoded=restore_bytes)
    run = tf.saved_model.load(str(path)).signatures["restore_bytes"]
    content = pictures.good()["rgb.png"]
    found = run(image_bytes=tf.constant([content]))["png_bytes"][0].numpy()
    wanted = 255 - pixels(content, (8, 8, 3))
    np.testing.assert_array_equal(pixels(found, (8, 8, 3)), wanted)
    with pytest.raises(ModelError, match="`encoded` takes none"):
        export.saved_model(model, tmp_path, encoded=restore_bytes, labels=["a"])


def test_a_signature_of_ones_own_is_told_the_class_names():
    def told(model, image_shape, labels=None):
        return labels

    def untold(model, image_shape):
        return "nothing"

    assert formats.named(told, ["a", "b"])(None, None) == ("a", "b")
    assert formats.named(untold, ["a", "b"])(None, None) == "nothing"
    assert formats.named("auto", ["a", "b"]) == "auto"


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """The C program, which has no Python in it."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    libraries = pathlib.Path(tf.sysconfig.get_lib())
    if compiler is None or not (libraries / "libtensorflow_cc.so.2").exists():
        pytest.skip("a C compiler and TensorFlow's C library are needed")
    program = tmp_path_factory.mktemp("c") / "serve"
    source = pathlib.Path(__file__).with_name("serve.c")
    command = [
        compiler, "-O1", "-Wall", "-Werror", str(source), "-o", str(program),
        f"-I{tf.sysconfig.get_include()}", f"-L{libraries}", f"-Wl,-rpath,{libraries}",
        "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    linked = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    assert "libtensorflow_cc" in linked and "libpython" not in linked
    return program


def called(serve, path, signature, *inputs):
    """Runs a signature in C: output name to rows of text."""
    from tensorflow.core.protobuf import saved_model_pb2

    content = (path / "saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]
    definition = graph.signature_def[signature]
    takes = [each.name.split(":")[0] for each in definition.inputs.values()]
    gives = {each.name: name for name, each in definition.outputs.items()}
    command = [str(each) for each in (serve, path, *takes, *inputs, *gives)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = {name: [] for name in definition.outputs}
    for line in done.stdout.splitlines():
        name, *values = line.split("\t")
        rows[gives[name]].append(values)
    return rows


def test_pixels_without_python(serve, exported, tmp_path):
    model, path = exported
    images = np.random.default_rng(0).uniform(0, 255, (5, 16, 12, 3)).astype("float32")
    images.tofile(tmp_path / "images")
    found = called(
        serve, path, "serving_default", "floats", tmp_path / "images", 16, 12, 3
    )
    found = np.array(found["logits"], "float32")
    np.testing.assert_allclose(found, np.asarray(model(images)), atol=1e-5)


def test_files_without_python(serve, exported, tmp_path):
    model, path = exported
    files = {**pictures.good(), "cut.jpg": pictures.bad()["cut.jpg"][0]}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    places = [tmp_path / name for name in files]
    found = called(serve, path, "classify_bytes", "files", len(files), *places)
    images, _ = decode_batch(tf.constant(list(files.values())), (16, 12, 3))
    wanted = np.asarray(keras.ops.softmax(model(images)))[:-1]
    shares = np.array(found["probabilities"], "float32")
    np.testing.assert_allclose(shares[:-1], -np.sort(-wanted, axis=1), atol=1e-5)
    top = [row[0] for row in found["classes"]]
    assert top[:-1] == [LABELS[i] for i in wanted.argmax(axis=1)] and top[-1] == ""
    errors = [row[0] for row in found["error"]]
    assert errors == [""] * len(pictures.good()) + ["is a damaged JPEG or PNG file"]


def test_keras_reads_it_back(exported):
    layer = keras.layers.TFSMLayer(exported[1], call_endpoint="serve")
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 12, 3)).astype("float32")
    np.testing.assert_allclose(layer(images), exported[0](images), atol=1e-5)
