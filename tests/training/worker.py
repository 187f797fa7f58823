"""One of several workers: `python tests/training/worker.py INDEX PORTS... FOLDER`."""

import json
import os
import pathlib
import sys

index, *ports, folder = sys.argv[1:]
cluster = {"worker": [f"localhost:{port}" for port in ports]}
task = {"type": "worker", "index": int(index)}
os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402

import hh_keras as hh  # noqa: E402
from hh_keras.training import strategy  # noqa: E402
from tests.classifiers import train  # noqa: E402
from tests.training import test_replicas as models  # noqa: E402
from tests.training.test_workers import RECIPES, answers, inherit, search  # noqa: E402


def main():
    together = strategy("multiworker")
    for name, recipe in RECIPES.items():
        build = lambda: models.network(recipe.sync_batch_norm)  # noqa: B023, E731
        trained = train(build, models.images(), recipe, together, folder, name)
        arrays = [variable.numpy() for variable in trained.model.variables]
        np.savez(f"{folder}/{name}-{index}.npz", *arrays)
        history = json.dumps(trained.history)
        pathlib.Path(folder, f"{name}-{index}.json").write_text(history)
    trained = answers(together, folder)
    arrays = [variable.numpy() for variable in trained.model.variables]
    np.savez(f"{folder}/answers-{index}.npz", *arrays)
    history = json.dumps(trained.history)
    pathlib.Path(folder, f"answers-{index}.json").write_text(history)
    with together.scope():
        found, inherited = search(), inherit()
    inherited.plan.save(f"{folder}/inherited-{index}.json")
    arrays = [np.asarray(variable) for variable in inherited.model.weights]
    np.savez(f"{folder}/inherited-{index}.npz", *arrays)
    np.save(f"{folder}/scores-{index}.npy", found.scores)
    found.plan.save(f"{folder}/plan-{index}.json")
    assert hh.cost(found.model).macs


if __name__ == "__main__":
    main()
