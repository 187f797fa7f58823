"""A task of two images goes the whole way: search, training, files, report."""

import json
import subprocess
import sys

import pytest

from tests.cli.test_scripts import FILES, ROOT


@pytest.mark.slow
def test_run(tmp_path):
    command = [sys.executable, "-m", "tests.cli.finding", "run", "--task=find"]
    flags = ["--epochs=1", "--batch_size=20", "--search_batches=1", "--macs=0.6x"]
    given = ["--model=tests.siamese:siamese", *flags, f"--workdir={tmp_path}"]
    done = subprocess.run(
        [*command, *given], cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    for name in FILES:
        assert (tmp_path / name).stat().st_size > 0, name
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["dataset"]["image_shape"] == [[7, 7, 3], [15, 15, 3]]
    assert found["parity"]["float32"]["relative"] < 1e-4
    assert "7 × 7 × 3 and 15 × 15 × 3" in (tmp_path / "report.html").read_text()
    # One image is not two.
    one = ["--model=tests.siamese:one_image", *given[1:-1], f"--workdir={tmp_path}/one"]
    done = subprocess.run([*command, *one], cwd=ROOT, capture_output=True, text=True)
    assert "has 1 inputs; a model with 2 is needed" in done.stderr
