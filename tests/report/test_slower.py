"""Where latency rose, the report says in which layers, and what would cure it."""

import copy

import pytest

from hh_keras import report
from hh_keras.tasks.classification.task import GOAL

TIMES = {"median": 2.0, "p10": 1.9, "p90": 2.2}
ROSE = {**TIMES, "median": 2.6, "ratio_p25": 1.25, "ratio_p75": 1.35}


def layer(name, outputs, ms, size=(32, 32), inputs=(3, 3)):
    return {"name": name, "size": size, "inputs": inputs, "outputs": outputs}  | {
        "ms": ms, "contracts": True}  # fmt: skip


LAYERS = [
    layer("stem", (16, 19), (0.2, 0.5)),
    layer("body", (32, 33), (0.3, 0.4), (8, 8), (16, 19)),
    layer("head", (64, 48), (0.4, 0.2), (8, 8), (32, 33)),
]


def make_results(times=ROSE, layers=LAYERS, round_to=1, limit=None):
    def network(latency, stem):
        macs = {"stem": stem, "body": 300, "head": 400}
        rows = [{"name": n, "type": "Conv2D", "macs": m, "params": 9}
                for n, m in macs.items()]  # fmt: skip
        return {"accuracy": 0.9, "macs": 1000, "params": 100, "layers": rows} | {
            "channels": dict.fromkeys(macs, 8), "tflite_bytes": 500,
            "latency_ms": latency,
        }  # fmt: skip

    return {
        "models": {"original": network(TIMES, 100), "lw_dna": network(times, 150)},
        "layer_times": layers,
        "search": {"round_to": round_to},
        "budget": {"latency_ms": limit},
    }


def test_a_rise_is_put_down_to_layers_with_a_cure():
    text = report.cause(make_results())
    assert "0.900 ms before and 1.10 ms after" in text
    assert "stem (0.200 → 0.500 ms), body (0.300 → 0.400 ms)" in text
    assert "head" not in text
    assert "2 of the 2 slower layers" in text and "(19, 33)" in text
    assert "--round_to=auto (or 8)" in text and "--latency=1.0x" in text
    assert "stem (+50.0 % at 32x32, 0.200 → 0.500 ms)" in text
    assert "body (+" not in text  # at small images, and no more MACs


@pytest.mark.parametrize("round_to", ["auto", 8, 16])
def test_nothing_is_advised_that_was_done(round_to):
    text = report.cause(make_results(round_to=round_to, limit=2.5))
    assert "stem" in text and "--" not in text


def test_layers_alike_are_named_once():
    twins = [{**LAYERS[0], "name": name} for name in ("one", "two", "three")]
    text = report.cause(make_results(layers=twins))
    assert "one and 2 alike" in text and "two" not in text


@pytest.mark.parametrize(
    "ratios, said",
    [
        ({"ratio_p25": 0.98, "ratio_p75": 1.4}, "no clear difference in latency"),
        ({"ratio_p25": 0.7, "ratio_p75": 0.8}, "with 15.0 % lower latency"),
        ({}, "with 15.0 % lower latency"),  # of an older run
    ],
)
def test_without_a_rise_there_is_no_cause(ratios, said):
    results = make_results({**TIMES, "median": 1.7, **ratios})
    assert report.cause(results) == ""
    assert said in report.verdict(results["models"], GOAL)


def test_an_unexplained_rise_still_has_a_cure():
    assert report.cause(make_results(layers=[])).startswith("--latency=1.0x")
    old = make_results()
    del old["layer_times"], old["budget"], old["search"]
    assert report.cause(old).startswith("--latency=1.0x")


def test_what_was_wanted_comes_first():
    models = make_results()["models"]
    text = report.verdict(models, GOAL)
    places = [text.index(w) for w in ("accurate", "latency", ".tflite", "MACs", "para")]
    assert places == sorted(places)
    assert "30.0 % higher latency, a .tflite file as large" in text
    labels = [row.label for row in report.compare(models, GOAL)]
    places = [labels.index(w) for w in ("accuracy", "latency", "MACs", "parameters")]
    assert places == sorted(places)


def test_page_shows_cause_and_layers():
    results = copy.deepcopy(make_results())
    images = dict.fromkeys(("summary", "channels", "cost", "curves"), b"")
    page = report.render(results, GOAL, images)
    assert "Time of layers" in page and "--round_to=auto" in page
    row = "<td>head</td><td>0.400 ms</td><td>0.200 ms</td><td>32 → 33</td><td>64 → 48"
    assert row in page
    del results["layer_times"]
    assert "Time of layers" not in report.render(results, GOAL, images)


def test_layers_that_got_faster_in_all_are_not_the_cause():
    layers = [
        layer("a", (16, 19), (1.0, 0.2)),
        layer("b", (32, 33), (0.10, 0.12), (8, 8), (16, 19)),
    ]
    text = report.cause(make_results(layers=layers))
    assert "no slower" in text and "most of the rise" not in text
    assert "b (0.100 → 0.120 ms)" in text
