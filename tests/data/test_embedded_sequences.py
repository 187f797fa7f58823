"""The tracking sequences inside the package, and the script that draws them."""

import dataclasses

import numpy as np
from PIL import Image

from hh_keras.data.embedded import SEQUENCES
from hh_keras.data.embedded.prepare_sequences import FRAMES, SEED, SIZE, write
from hh_keras.data.embedded.scenes import SCENES, THINGS


def test_nothing_of_one_part_is_in_the_other():
    for part, scenes in SCENES.items():
        for scene in scenes:
            things = (scene.target, *scene.others, *scene.before)
            photographs = [scene.over, *(THINGS[thing][0] for thing in things)]
            assert all(name.startswith(f"{part}/") for name in photographs)
            assert THINGS[scene.target][0] != scene.over


def test_they_are_small_and_whole():
    stored = [path for path in SEQUENCES.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in stored) <= 2_000_000
    for part, scenes in SCENES.items():
        names = {path.name for path in (SEQUENCES / part).iterdir()}
        assert names == {scene.name for scene in scenes}
        for name in names:
            assert len(list((SEQUENCES / part / name / "img").iterdir())) == FRAMES


def test_the_script_draws_what_is_stored(tmp_path):
    scene = SCENES["val"][0]
    seed = SEED, len(SCENES["train"])
    write(scene, tmp_path, FRAMES, seed)
    stored = SEQUENCES / "val" / scene.name
    boxes, again = (
        np.loadtxt(folder / "groundtruth_rect.txt", delimiter=",")
        for folder in (stored, tmp_path)
    )
    np.testing.assert_allclose(boxes, again, atol=0.11)
    for number in (1, FRAMES):
        with (
            Image.open(stored / "img" / f"{number:04d}.jpg") as one,
            Image.open(tmp_path / "img" / f"{number:04d}.jpg") as other,
        ):
            assert one.size == SIZE
            apart = np.asarray(one, float) - np.asarray(other, float)
        assert np.abs(apart).mean() < 2


def test_a_seed_is_a_scene(tmp_path):
    scene = dataclasses.replace(SCENES["train"][0], others=(), name="any")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write(scene, tmp_path / name, 2, (seed,))
    frames = [(tmp_path / name / "img" / "0002.jpg").read_bytes() for name in "abc"]
    assert frames[0] == frames[1] != frames[2]
