"""The harness of the study: what controls cost, what a kill leaves, what sums say."""

import dataclasses
import json
import tempfile

import heterogeneity
import numpy as np
import pytest
from study import (
    data,
    fitting,
    networks,
    summary,
    times,
    training,
    usage,
    variants,
    verdict,
)
from study.runs import Law, Protocol, Run, Search

import hh_keras as hh
from hh_keras.search import profiles

PROTOCOL = Protocol(steps=6, batch_size=4)
TEXT = "clothes:40@16"


@pytest.fixture
def clothes(tmp_path, monkeypatch):
    """A data set in MNIST's format: noise, ten classes."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 60), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        for kind, header, array in (
            ("images-idx3", 16, images),
            ("labels-idx1", 8, labels),
        ):
            path = tmp_path / f"{prefix}-{kind}-ubyte"
            path.write_bytes(bytes(header) + array.tobytes())
    return {"clothes": str(tmp_path)}


def run_of(kind, search=None, **changes):
    return Run("vgg11_eighth", TEXT, kind, 1, 1.0, 2, search, PROTOCOL, **changes)


def found(run, folders):
    images, shape, classes = data.load(TEXT, folders, PROTOCOL, 0)
    original = networks.build(run.network, shape, classes)
    return original, variants.find(run, original, lambda seed: images)


@pytest.mark.parametrize(
    "kind, search",
    [
        ("original", None),
        ("uniform", None),
        ("random", None),
        ("lwdna", Search(batches=2, per_cost=1.0)),
        ("lwdna", Search("balanced", blend=0.5)),
        ("lwdna", Search(batches=1, warmup=1)),
        ("shuffled", Search("balanced")),
    ],
)
def test_every_network_costs_about_as_much_and_never_more(kind, search, clothes):
    original, got = found(run_of(kind, search), clothes)
    before, after = hh.cost(original), hh.cost(got.model)
    assert 0.98 * before.macs <= after.macs <= before.macs
    assert after.params <= before.params
    if kind in ("original", "uniform"):
        assert after.params == before.params
    searched = kind == "lwdna" and search.criterion == "gradient"
    assert (got.search_steps > 0) == searched


@pytest.mark.parametrize("round_to", ["auto", 1])
def test_networks_by_a_law(round_to, clothes):
    law = Law(0.4, 0.3, -0.5, noise=0.1)
    run = run_of("law", law=law, round_to=round_to)
    original, got = found(run, clothes)
    assert 0.98 <= hh.cost(got.model).macs / hh.cost(original).macs <= 1
    eights = [n % 8 == 0 for n in got.kept.values() if n >= 16]
    assert all(eights) == (round_to == "auto")
    assert Run.of(json.loads(json.dumps(dataclasses.asdict(run)))) == run


def test_half_the_share_of_the_cost_is_balanced():
    channels = hh.trace(networks.build("mobilenetv2_quarter", (16, 16, 3), 10))
    balanced = profiles.balanced_profile(channels)
    assert np.allclose(variants.law_profile(channels, Law(0.5)), balanced)
    later = variants.law_profile(channels, Law(0.5, gamma=1.0)) / balanced
    assert later[-1] / later[0] == pytest.approx(np.e, rel=0.1)


def test_a_run_is_repeated_exactly_and_says_what_it_was(clothes, tmp_path):
    run = run_of("lwdna", Search(batches=1))
    first, second = (training.execute(run, clothes, tmp_path / "new") for _ in range(2))
    assert first["accuracy"] == second["accuracy"]
    assert first["train_loss"] == pytest.approx(second["train_loss"], rel=1e-6)
    assert Run.of(json.loads(json.dumps(first))["run"]) == run
    assert first["steps"] + first["search_steps"] == PROTOCOL.steps
    assert not list((tmp_path / "new").iterdir())


def test_the_same_seed_gives_the_same_images_in_the_same_order(clothes):
    a, b, c = (data.load(TEXT, clothes, PROTOCOL, seed)[0] for seed in (3, 3, 4))
    batches = [list(each.train.as_numpy_iterator()) for each in (a, b, c)]
    later = list(a.epoch(0, 4).as_numpy_iterator())
    assert len(batches[0]) == PROTOCOL.steps
    for (x, _), (y, _) in zip(batches[0], batches[1], strict=True):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(later[0][0], batches[0][4][0])
    assert any((x != y).any() for (x, _), (y, _) in zip(batches[0], batches[2]))


def test_lines_cut_off_by_a_kill_are_made_again(tmp_path):
    path = tmp_path / "study.jsonl"
    heterogeneity.append(path, {"key": "a"})
    with open(path, "a") as file:
        file.write('{"key": "b", "accu')
    assert list(heterogeneity.finished(path)) == ["a"]
    heterogeneity.append(path, {"key": "c"})
    assert list(heterogeneity.finished(path)) == ["a", "c"]


def test_different_runs_have_different_keys():
    runs = [run_of("original"), run_of("uniform"), run_of("lwdna", Search())]
    runs += [run_of("lwdna", Search(per_cost=1.0))]
    runs += [dataclasses.replace(runs[0], seed=5)]
    assert len({run.key for run in runs}) == len(runs)


def test_intervals_are_students():
    # 1, 2, 3: mean 2, standard error 1/√3, t(0.975, 2) = 4.3027.
    low, high = summary.interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx(
        (2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), 1e-4
    )


def test_differences_are_paired_by_seed():
    def row(kind, seed, accuracy):
        run = Run("vgg11_eighth", TEXT, kind, seed)
        return {"run": run, "accuracy": accuracy}

    base = [row("original", 0, 0.5), row("original", 1, 0.7)]
    own = [row("random", 1, 0.71), row("random", 0, 0.52), row("random", 2, 0.9)]
    got = summary.differences_of(own, base + own, "original")
    np.testing.assert_allclose(got, [1, 2])


def rows_of_laws(value):
    """Originals and random laws of three pairs whose gain is a function of the law."""
    rng, rows, times = np.random.default_rng(0), [], {}
    for pair, noise in (("a", 0.005), ("b", 0.002), ("c", 0.008)):
        for seed in range(4):
            run = Run(pair, "x", "original", seed)
            rows.append({"run": run, "accuracy": 0.5 + noise * rng.normal()})
        for _ in range(60):
            law = Law(*map(float, rng.uniform((-0.25, -0.6, -1.2), (1, 0.6, 1.2))))
            share = 0.5 if law.gamma > 0.6 else 1.0
            accuracy = 0.52 - 0.01 * value(law) + 0.05 * np.log(share)
            run = Run(pair, "x", "law", 0, law=law)
            row = {"key": run.key, "run": run, "macs": share}
            row |= {
                "accuracy": accuracy + noise * rng.normal(),
                "original": {"macs": 1},
            }
            rows.append(row)
            times[run.key] = np.exp(law.alpha - 0.1) * share
    return rows, times


def test_the_fit_finds_a_law_that_is_there():
    def lost(law):
        a, b, c = law.alpha - 0.375, law.beta + 0.3, law.gamma - 0.3
        return 8 * a**2 + 3 * b**2 + 1.5 * c**2

    rows, times = rows_of_laws(lost)
    laws = fitting.grid()
    used = np.log(np.where(laws[:, 2] > 0.6, 0.5, 1.0))
    found = fitting.fit(rows, laws, used, times)
    law, fast = found["law"], found["in_time"]
    numbers = law.alpha, law.beta, law.gamma
    assert np.abs(np.subtract(numbers, (0.375, -0.3, 0.3))).max() < 0.35
    assert found["runs"] == 180 and min(found["correlation"].values()) > 0.7
    # Of no use is a law that takes longer, whatever it would gain.
    assert law.alpha > 0.2 and fast.alpha <= 0.13


def test_a_law_that_leaves_the_budget_unused_is_not_the_best():
    rows, _ = rows_of_laws(lambda law: -2 * law.gamma)
    laws = fitting.grid()
    used = np.log(np.where(laws[:, 2] > 0.6, 0.5, 1.0))
    assert fitting.fit(rows, laws, used)["law"].gamma == 0.6
    assert fitting.fit(rows, laws, np.zeros(len(laws)))["law"].gamma == 1.2


def test_what_a_law_uses_is_known_before_training(clothes):
    laws = [(0.5, 0.0, 0.0), (0.0, 0.0, 0.0)]
    shares = np.exp(usage.used([("vgg11_eighth", TEXT)], laws, clothes))
    assert shares[1] == pytest.approx(1.0, abs=0.02)  # the original's counts
    run = run_of("law", law=Law(0.5), round_to=1)
    _, got = found(run, clothes)
    shape, classes = data.load(TEXT, clothes, PROTOCOL, 0)[1:]
    before = hh.cost(networks.build(run.network, shape, classes))
    assert shares[0] == pytest.approx(hh.cost(got.model).macs / before.macs)


def test_networks_of_a_studys_first_seed_are_timed_once(clothes, tmp_path, monkeypatch):
    own = run_of("lwdna", Search("balanced"))
    other = dataclasses.replace(own, seed=2)
    runs = {"small": lambda: [run_of("original"), own, other]}
    monkeypatch.setattr("study.studies.STUDIES", runs)
    monkeypatch.setattr(times, "_ROUNDS", 2)
    folder = f"clothes={clothes['clothes']}"
    flags = ["x", "--study=small", "--times", f"--data={folder}"]
    monkeypatch.setattr("sys.argv", [*flags, f"--results={tmp_path / 'out'}"])
    for _ in range(2):
        heterogeneity.main()
    [line] = (tmp_path / "out/times.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert Run.of(row["run"]) == own
    assert row["float32"] > 0 and row["int8"] > 0


def test_the_verdict_counts_the_pairs_that_hold_what_was_aimed_at():
    def rows_of(pair, kind, gains, macs=1.0, search=None, law=None):
        for seed, gain in enumerate(gains):
            run = Run(pair, TEXT, kind, seed, search=search, law=law)
            row = {"key": run.key, "run": run, "macs": macs, "params": 0.9}
            row |= {"accuracy": 0.5 + 0.01 * (seed + gain)}
            yield row | {"original": {"macs": 1, "params": 1}}

    def pair_of(pair, law, random, macs=1.0):
        yield from rows_of(pair, "original", (0, 0, 0))
        yield from rows_of(pair, "law", law, macs, law=Law(0.5))
        yield from rows_of(pair, "random", random)
        yield from rows_of(pair, "lwdna", (0.2, 0.2, 0.2), search=Search("balanced"))
        yield from rows_of(pair, "lwdna", (-0.3,), search=Search(batches=3))

    rows = [
        *pair_of("sure", (1.0, 1.1, 0.9), (0.1, 0.1, 0.1)),
        *pair_of("behind random", (1.0, 1.1, 0.9), (2, 2, 2)),
        *pair_of("unsure", (-1.0, 3.0, 0.1), (0, 0, 0), macs=1.1),
        *pair_of("one seed", (1.0,), (0.0,)),
    ]
    firsts = [r for r in rows if r["run"].kind == "law" and r["run"].seed == 0]
    clock = {row["key"]: {"float32": 0.9, "int8": 1.2} for row in firsts}
    lines = verdict.verdict(rows, clock).splitlines()
    assert "Of 3 pairs" in lines[-1]
    assert "in the mean on 2, " in lines[-1] and "above zero on 2, " in lines[-1]
    assert lines[-1].endswith("float32 time on 2.")
    [sure] = [line for line in lines if line.startswith("| sure")]
    assert "| **+1.00** (+0.75 to +1.25) | **+0.90** (" in sure
    assert (
        "| **+0.20** (+0.20 to +0.20) | -0.30 | 1.000 | 0.900 | 0.900 | 1.200 |" in sure
    )
    assert verdict.verdict(rows, {}).endswith("float32 time on 0.")  # none was timed


def test_variants_across_pairs_of_one_budget():
    def rows_of(data, kind, gains, budget=1.0):
        for seed, gain in enumerate(gains):
            run = Run("vgg11_eighth", data, kind, seed, budget)
            row = {"run": run, "accuracy": 0.5 + 0.01 * (seed + gain), "params": 3}
            yield row | {"original": {"params": 4}}

    rows = [
        *rows_of("a", "original", (0, 0, 0)),
        *rows_of("a", "random", (1, 1.5, 2)),
        *rows_of("b", "random", (-1, 1)),  # whose second original is not there yet
        *rows_of("b", "original", (0,)),
        *rows_of("a", "uniform", (0, 0, 0), 0.5),
    ]
    lines = summary.across(rows, 1.0).splitlines()
    assert (
        lines[2]
        == "| variant | runs | params | vgg11_eighth, a | vgg11_eighth, b | all runs |"
    )
    assert "| original | 4 | 0.75x | 51.00% | 50.00% |  |" in lines
    [random] = [line for line in lines if line.startswith("| random | 5 |")]
    # 1, 1.5, 2: 1.5 ± 4.3027 · 0.5 / √3; with -1 it is 0.875 ± 3.1824 · 1.315 / 2
    assert random.endswith(
        "| **+1.50** (+0.26 to +2.74) | -1.00 | +0.88 (-1.22 to +2.97) |"
    )
    assert len(summary.across(rows, 0.5).splitlines()) == 5


def test_the_summary_leaves_noisy_laws_to_the_fit(tmp_path, monkeypatch):
    base = run_of("original")
    runs = [base, run_of("law", law=Law(0.5)), run_of("law", law=Law(0.5, noise=0.2))]
    monkeypatch.setattr(summary, "STUDIES", studies := {"small": made_of(runs)})
    monkeypatch.setattr("study.studies.STUDIES", studies)
    rows = {
        run.key: {
            "run": dataclasses.asdict(run),
            "accuracy": 0.5,
            "macs": 1,
            "params": 1,
            "original": {"macs": 1, "params": 1},
            "search_steps": 0,
            "steps": 6,
            "kept": {"input": 3, "conv": 8, "logits": 10},
        }
        for run in runs
    }
    summary.summarise(tmp_path, rows)
    text = (tmp_path / "tables.md").read_text()
    assert "| law alpha=0.5 |" in text and "noise" not in text
    assert (tmp_path / "small_channels.png").stat().st_size > 0


def made_of(runs):
    def study():
        """Made for a test."""
        return runs

    return study
