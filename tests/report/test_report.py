"""The report says what the results say, in one file, whatever is missing."""

import copy
import html.parser
import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from hh_keras import report
from hh_keras.errors import WorkdirError
from hh_keras.report import numbers
from hh_keras.tasks.classification.task import GOAL

PICTURES = ("summary", "channels", "cost", "curves")


def network(layers, share, accuracy):
    """A network of `layers` convolutions whose channels are `share` of 16, 32 ..."""
    channels, table, before = {}, [], 3
    for i in range(layers):
        count = max(1, int(share * (16 << (3 * i // layers))))
        channels[f"conv{i}"] = count
        params = 9 * before * count
        layer = {"name": f"conv{i}", "type": "Conv2D", "macs": 64 * params}
        table.append({**layer, "params": params})
        table.append(
            {"name": f"bn{i}", "type": "BatchNormalization", "macs": 0}
            | {"params": 4 * count}
        )
        before = count
    return {
        "accuracy": accuracy,
        "accuracy_top5": accuracy + 0.07,
        "loss": 1 - accuracy,
        "macs": sum(layer["macs"] for layer in table),
        "params": sum(layer["params"] for layer in table),
        "layers": table,
        "channels": channels,
        "keras_bytes": 1_234_567,
        "tflite_bytes": 765_432,
        "latency_ms": {"median": 1.234, "p10": 1.111, "p90": 2.345},
        "train_seconds": 75.2,
    }


def rows(epochs):
    return [
        {"epoch": e, "loss": 2 / e, "accuracy": 1 - 0.8 / e}
        | {"val_loss": 2.2 / e, "val_accuracy": 1 - 0.9 / e}
        for e in range(1, epochs + 1)
    ]


def make_results(layers=6, epochs=3, accuracies=(0.8752, 0.8811)):
    parity = {"max_abs": 1.26e-6, "mean_abs": 3e-7, "spread": 21.0}
    parity |= {"relative": 6.1e-8, "top1_agreement": 0.9961, "examples": 256}
    slim = network(layers, 0.8, accuracies[1]) | {"train_seconds": 71.0}
    slim |= {"latency_ms": {"median": 0.987, "p10": 0.9, "p90": 1.1}}
    return {
        "title": "resnet20 on embedded",
        "command": "python launch/run.py --macs=0.95x --epochs=3",
        "dataset": {"source": "https://example.org/data", "licence": "MIT"}
        | {"name": "embedded", "classes": ["Bag", "Coat"], "image_shape": [28, 28, 1]}
        | {"num_train": 12000, "num_validation": 2000},
        "budget": {"macs": 10_000_000, "params": None}
        | {"macs_flag": "0.95x", "params_flag": "none"},
        "search": {"criterion": "gradient", "batches": 8, "width_mult": 2.0}
        | {"min_keep": {"*": 0.4, "conv1": 1.0}, "weights": "fresh", "seconds": 12.3},
        "protocol": {"epochs": epochs, "learning_rate": 0.1, "nesterov": False},
        "models": {"original": network(layers, 1, accuracies[0]), "lw_dna": slim},
        "history": {"original": rows(epochs), "lw_dna": rows(epochs)},
        "parity": {"saved_model": parity, "tflite": parity},
        "parity_original": {"tflite": parity},
        "versions": {"keras": "3.15.1", "python": "3.11.9"},
        "seconds": {"search": 12.3, "train original": 80.0, "total": 245.0},
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    path = report.write_report(workdir, make_results(), GOAL)
    return workdir, path, path.read_text(encoding="utf-8")


class Markup(html.parser.HTMLParser):
    """Collects tags with their attributes and text, and checks the nesting."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_every_number_is_there(written):
    results, page = make_results(), written[2]
    for model in results["models"].values():
        for write, value in (
            (numbers.percent, model["accuracy"]),
            (numbers.percent, model["accuracy_top5"]),
            (numbers.decimals, model["loss"]),
            (numbers.millions, model["macs"]),
            (numbers.millions, 2 * model["macs"]),
            (numbers.millions, model["params"]),
            (numbers.file_size, model["keras_bytes"]),
            (numbers.file_size, model["tflite_bytes"]),
            (numbers.milliseconds, model["latency_ms"]["median"]),
            (numbers.duration, model["train_seconds"]),
        ):
            assert f">{write(value)}" in page
        for layer in model["layers"]:
            assert f"<td>{layer['name']}</td><td>{layer['type']}</td>" in page
            assert f"<td>{numbers.whole(layer['macs'])}</td>" in page
        for count in model["channels"].values():
            assert f"<td>{count}</td>" in page
    share = results["models"]["lw_dna"]["macs"] / 10_000_000
    for text in (
        "+0.59 points",
        "1.23 ms (1.11 to 2.35)",
        "0.95x",
        "10,000,000",
        numbers.percent(share),
        "12,000",
        "28 × 28 × 1",
        "Bag, Coat",
        "MIT",
        "*: 0.4, conv1: 1",
        "1.3e-06",
        "99.61 %",
        "3.15.1",
        "4 min 05 s",
        "python launch/run.py --macs=0.95x --epochs=3",
    ):
        assert text in page, text


def test_page_needs_nothing_but_itself(written):
    markup = Markup(written[2])
    tags = [tag for tag, _ in markup.tags]
    assert tags.count("img") == len(PICTURES)
    assert not {"script", "link", "iframe", "object", "a"} & set(tags)
    for _, attributes in markup.tags:
        assert "href" not in attributes
        assert attributes.get("src", "data:image/png;base64,").startswith("data:")
    assert "url(" not in written[2] and "@import" not in written[2]


def test_pictures_are_files_and_show_something(written):
    workdir, path, _ = written
    assert path == workdir / "report.html"
    found = sorted(each.name for each in workdir.rglob("*") if each.is_file())
    assert found == sorted([f"{name}.png" for name in PICTURES] + ["report.html"])
    for name in PICTURES:
        with Image.open(workdir / "pictures" / f"{name}.png") as image:
            pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
        assert pixels.std() > 10
        # The orange of LW-DNA, 232 113 10, covers a visible part.
        orange = (pixels == (232, 113, 10)).all(axis=1).mean()
        assert orange > 5e-4, name


def test_text_of_users_is_escaped(tmp_path):
    results = make_results(layers=2, epochs=1)
    evil = "<script>alert(1)</script>"
    results["title"] = results["command"] = evil
    results["dataset"]["classes"] = [evil]
    for model in results["models"].values():
        model["layers"][0]["name"] = evil
        model["channels"] = {evil: 4, "a$b_$c": 5}
    page = report.write_report(tmp_path, results, GOAL).read_text(encoding="utf-8")
    markup = Markup(page)
    assert "script" not in [tag for tag, _ in markup.tags]
    assert "".join(markup.text).count(evil) == 5  # <title>, h1, class, layer, command


@pytest.mark.parametrize("layers, epochs", [(200, 12), (1, 1)])
def test_any_size(layers, epochs, tmp_path):
    path = report.write_report(tmp_path, make_results(layers, epochs), GOAL)
    assert path.stat().st_size > 50_000


def labels(figure):
    """Boxes of the layers' names below each panel, in pixels."""
    figure.draw_without_rendering()
    for axes in figure.axes:
        shown = [label for label in axes.get_xticklabels() if label.get_text()]
        yield [label.get_window_extent() for label in shown]


@pytest.mark.parametrize("layers", [20, 120])
def test_names_of_layers_do_not_overlap(layers):
    models = make_results(layers)["models"]
    for model in models.values():
        model["channels"] = {f"stage_{k}_conv": v for k, v in model["channels"].items()}
    figure = report.plot_channels(models)
    names = 0
    for boxes in labels(figure):
        names += len(boxes)
        for left, right in zip(boxes, boxes[1:]):
            assert left.x1 <= right.x0
        assert all(box.y0 >= 0 for box in boxes)
    assert names == layers


def test_missing_values_are_dashes(tmp_path):
    results = make_results()
    bare = {
        name: {key: model[key] for key in ("macs", "params", "layers", "channels")}
        for name, model in results["models"].items()
    }
    page = report.write_report(tmp_path, {"models": bare}, GOAL).read_text("utf-8")
    assert "<td>latency</td><td>–</td><td>–</td><td>–</td>" in page
    assert "the accuracy was not measured" in page and "top-5" not in page
    for key in ("parity_original", "versions", "history", "budget"):
        fewer = {k: v for k, v in results.items() if k != key}
        report.render(fewer, GOAL, dict.fromkeys(PICTURES, b""))
    partly = copy.deepcopy(results)
    partly["models"]["lw_dna"] |= {"latency_ms": None, "accuracy_top5": None}
    partly["history"]["lw_dna"] = [{"epoch": 1, "loss": float("nan")}]
    report.plot_summary(partly["models"], GOAL)
    report.plot_curves(partly["history"], GOAL)
    page = report.render(partly, GOAL, dict.fromkeys(PICTURES, b""))
    assert "<td>1.23 ms (1.11 to 2.35)</td><td>–</td>" in page


def test_one_high_loss_does_not_flatten_the_rest():
    history = {"original": rows(5), "lw_dna": rows(5)}
    assert report.plot_curves(history, GOAL).axes[1].get_ylim()[1] < 5
    history["lw_dna"][0]["val_loss"] = 237.5
    loss = report.plot_curves(history, GOAL).axes[1]
    assert loss.get_ylim()[1] < 5
    assert any("238" in text.get_text() for text in loss.texts)


def test_verdict_is_honest():
    better, worse, same = (
        report.verdict(make_results(accuracies=pair)["models"], GOAL)
        for pair in ((0.88, 0.891), (0.891, 0.88), (0.88, 0.880001))
    )
    assert "1.10 points more accurate" in better and "89.10 % against 88.00 %" in better
    assert "1.10 points less accurate" in worse
    assert "as accurate as" in same
    assert "fewer MACs" in better and "20.0 % lower latency" in better
    models = make_results()["models"]
    swapped = {"original": models["lw_dna"], "lw_dna": models["original"]}
    assert "more MACs" in report.verdict(swapped, GOAL)
    assert "25.0 % higher latency" in report.verdict(swapped, GOAL)
    # Two standard deviations: 200 sqrt(2 * 0.8752 * 0.1248 / 2000) = 2.09.
    assert "up to about 2.1 points" in report.caution(make_results())
    assert "one seed" in report.caution({"models": models})


def test_training_that_was_thrown_away_is_told_of(tmp_path):
    results = make_results()
    assert "made" not in report.caution(results)
    results["models"]["lw_dna"]["discarded"] = True
    results["protocol"]["epochs_run"] = {"original": 3, "lw_dna": 2}
    page = report.write_report(tmp_path, results, GOAL).read_text()
    assert "it has the weights that it started from" in page
    assert "original: 3, lw_dna: 2" in page


def test_channels_are_counted():
    models = make_results(6)["models"]
    text = report.plot_channels(models).get_suptitle().replace("\n", " ")
    # (2 * 12 + 2 * 25 + 2 * 51) / (2 * 16 + 2 * 32 + 2 * 64)
    assert "79 % of the original's channels" in text
    assert "(first third of the layers 75 %, middle 78 %, last 80 %)" in text


def test_unwritable_workdir(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkdirError, match="file.pictures"):
        report.write_report(tmp_path / "file", make_results(2, 1), GOAL)


def test_old_report_survives_a_failure(tmp_path):
    (tmp_path / "report.html").write_text("old")
    broken = make_results(2, 1)
    del broken["models"]["lw_dna"]["layers"]
    with pytest.raises(KeyError):
        report.write_report(tmp_path, broken, GOAL)
    (tmp_path / "pictures").write_text("in the way")
    with pytest.raises(WorkdirError, match="pictures"):
        report.write_report(tmp_path, make_results(2, 1), GOAL)
    assert (tmp_path / "report.html").read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "pictures",
        "report.html",
    ]


@pytest.mark.parametrize(
    "write, values, text",
    [
        (numbers.millions, (1234567,), "1.23 M"),
        (numbers.millions, (999_960,), "1.00 M"),
        (numbers.millions, (99_960,), "100 k"),
        (numbers.millions, (999,), "999"),
        (numbers.millions, (0,), "0"),
        (numbers.millions, (4.1e9,), "4.10 G"),
        (numbers.tick, (2_500_000,), "2.5 M"),
        (numbers.tick, (100_000,), "100 k"),
        (numbers.tick, (0,), "0"),
        (numbers.file_size, (1_234_567,), "1.23 MB"),
        (numbers.file_size, (12,), "12 B"),
        (numbers.milliseconds, (0.01234,), "0.0123 ms"),
        (numbers.milliseconds, (1234.5,), "1234 ms"),
        (numbers.duration, (59.97,), "1 min 00 s"),
        (numbers.duration, (7325,), "2 h 02 min"),
        (numbers.change, (200, 190), "−5.0 %"),
        (numbers.change, (200, 199.99), "0.0 %"),
        (numbers.change, (0, 5), "–"),
        (numbers.points, (0.88, 0.8912), "+1.12 points"),
        (numbers.points, (None, 0.9), "–"),
        (numbers.percent, (float("nan"),), "–"),
    ],
)
def test_numbers(write, values, text):
    assert write(*values) == text


def test_pictures_need_no_framework():
    folder = pathlib.Path(report.__file__).parent
    for path in folder.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert "import tensorflow" not in source and "import keras" not in source
        assert "pyplot" not in source


def test_figures_can_be_saved_by_the_user():
    buffer = io.BytesIO()
    report.plot_cost(make_results()["models"]).savefig(buffer, format="svg")
    assert b"<svg" in buffer.getvalue()


def test_what_inherited_weights_keep(tmp_path):
    results = make_results()
    shares = {f"conv{k}": 1 - 0.1 * k for k in range(6)}
    results["kept"] = {"share": 0.9123, "agreement": 0.95, "layers": shares}
    results["kept"] |= {"examples": 256, "held_out": True}
    rows = [
        {"share": share, "macs": macs, "params": 1000, "kept": kept}
        | {"agreement": kept, "goal": goal, "place": ""}
        for share, macs, kept, goal in (
            (None, 1000, 1.0, 0.8),
            (0.9, 900, 0.97, 0.79),
            (None, 700, -0.2, None),
        )
    ]
    for sweep in (rows, [{**row, "goal": None, "agreement": None} for row in rows]):
        path = report.write_report(tmp_path, {**results, "sweep": sweep}, GOAL)
        page = path.read_text(encoding="utf-8")
        for words in (
            "keeps 91.23 %",
            "Before training",
            "256 images from which nothing was learnt",
        ):
            assert words in page
        for name in ("kept", "sweep"):
            image = Image.open(tmp_path / f"pictures/{name}.png")
            assert image.size[0] > 500 and np.asarray(image).std() > 5
    assert page.count("<th>output kept</th>") == 1 and "50.00 %" in page
    assert (
        report.plot_sweep(rows, GOAL)
        .get_suptitle()
        .startswith("At 70 % of the MACs nothing")
    )
    assert "91.23 %" in report.plot_kept(results["kept"]).get_suptitle()
