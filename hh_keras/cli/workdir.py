"""The work directory: one run's files, its configuration, what is finished.

`run.json` says which run a folder belongs to. Nothing is written before the run has
something to keep, every file appears whole or not at all, and a run that is started
again with the same configuration goes on behind its last finished stage.
"""

import dataclasses
import fcntl
import json
import os
import pathlib
import platform
import subprocess
import tempfile
import time
import weakref
from collections.abc import Iterable
from typing import Any

from absl.flags import FlagValues

from hh_keras import files
from hh_keras.errors import WorkdirError
from hh_keras.models import sources

__all__ = [
    "Run",
    "claim",
    "configuration",
    "finish",
    "is_finished",
    "open_run",
    "to_json",
    "versions",
]

# How a run is carried out, not what it finds.
_NOT_PART_OF_A_RUN = (
    "workdir", "overwrite", "debug", "checkpoint_steps", "resume", "on_nan",
    "epoch_models", "tensorboard", "memory_mb", "strategy", "devices",
    "steps_per_execution", "jit_compile", "stage", "run", "formats", "max_drop",
    "allow_drop",
)  # fmt: skip
_OUTPUTS = ("plan.json", "results.json", "report.html", "history", "saved_model")


@dataclasses.dataclass
class Run:
    """A run and its folder.

    Attributes:
        path: the folder.
        config: flag name to value, as JSON holds it.
        stages: finished stages: name to what they recorded, `seconds` included.
        chief: whether this process writes the files; of several workers, one does.
    """

    path: pathlib.Path
    config: dict
    stages: dict
    chief: bool = True


def configuration(program: str, args: FlagValues) -> dict:
    """Returns what makes a run the run it is, as plain JSON values.

    Args:
        program: name of the command.
        args: its parsed flags.
    """
    config: dict = {"program": program}
    for name, value in args.flag_values_dict().items():
        if name in _NOT_PART_OF_A_RUN:
            continue
        config[name] = value
        # Another file of the same name is another run.
        behind = list(filter(None, map(_file_behind, _texts(value))))
        if behind:
            digests = [files.digest(path) for path in behind]
            config[f"{name}_sha256"] = digests[0] if len(behind) == 1 else digests
    return json.loads(json.dumps(config, default=str))


def _texts(value):
    values = value if isinstance(value, (list, tuple)) else [value]
    return [each for each in values if isinstance(each, str)]


def _file_behind(text):
    """The file that a flag's text names: by its path, or as `module:NAME`."""
    if os.path.isfile(text):
        return pathlib.Path(text)
    return sources.file_of(text)


def open_run(
    path: str | pathlib.Path, config: dict, overwrite: bool = False, chief: bool = True
) -> Run:
    """Opens a work directory for a run; changes nothing but makes the folder.

    Args:
        path: the folder, which need not exist.
        config: the run's `configuration`.
        overwrite: whether files of another run may be replaced.
        chief: False for further workers of a run, which neither lock nor write.

    Returns:
        A `Run`, with the stages that the same run has finished before.

    Raises:
        WorkdirError: the folder cannot be written, holds another run's files, or is
            in use by a run that has not ended.
    """
    path = pathlib.Path(path)
    if not chief:
        run = _found_run(path, config, overwrite)
        return dataclasses.replace(run, chief=False)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise WorkdirError(
            f"--workdir={path} cannot be written ({error.strerror}); "
            "choose another --workdir."
        ) from error
    lock = _lock(path)
    run = _found_run(path, config, overwrite)
    weakref.finalize(run, os.close, lock)
    if run.stages or (path / "run.json").exists():
        files.sweep(path)
    return run


def _lock(path):
    """Locks a folder; the system unlocks it when the process ends, however it ends."""
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise WorkdirError(
            f"--workdir={path} is in use by another run that has not ended. Wait for "
            "it, or choose another --workdir."
        ) from error
    return lock


def _found_run(path, config, overwrite):
    if not (path / "run.json").exists():
        taken = [name for name in _OUTPUTS if (path / name).exists()]
        if taken and not overwrite:
            raise WorkdirError(
                f"--workdir={path} holds {taken[0]}, but no run.json: it is not from "
                "a run that can go on. Choose another --workdir, or --overwrite."
            )
        return Run(path, config, {})
    there = _read(path / "run.json", overwrite)
    if there.get("config") == config:
        return Run(path, config, there.get("stages", {}))
    if not overwrite:
        raise WorkdirError(
            f"--workdir={path} belongs to another run "
            f"({_differences(there.get('config'), config)}). "
            "Choose another --workdir, or --overwrite to replace its files."
        )
    return Run(path, config, {})


def _read(path, overwrite):
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    except (OSError, ValueError):
        pass
    if overwrite:
        return {}
    raise WorkdirError(
        f"{path} cannot be read as the record of a run. "
        "Choose another --workdir, or --overwrite to replace the files there."
    )


def _differences(theirs, ours):
    if not isinstance(theirs, dict):
        return "it records no configuration"
    names = sorted(
        name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name)
    )
    shown = [f"{n} was {theirs.get(n)}, is {ours.get(n)}" for n in names[:3]]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return "; ".join(shown) + more


def claim(run: Run) -> None:
    """Writes run.json: from here on the folder is this run's."""
    if not run.chief:
        return
    record = {
        "config": run.config,
        "seed": run.config.get("seed"),
        "versions": versions(),
        "commit": commit(),
        "stages": run.stages,
    }
    files.write(run.path / "run.json", to_json(record))


def finish(
    run: Run, stage: str, started: float, left: Iterable[str] = (), **facts: Any
) -> None:
    """Records that a stage is finished.

    Args:
        run: the `Run`.
        stage: its name.
        started: `time.perf_counter()` at its start.
        left: the files and folders in the work directory that it leaves.
        **facts: JSON values that a later start of the run wants back.
    """
    seconds = round(time.perf_counter() - started, 2)
    run.stages[stage] = {"seconds": seconds, **facts}
    if run.chief:
        digests = {name: files.digest(run.path / name) for name in left}
        run.stages[stage]["files"] = digests
    claim(run)


def is_finished(run: Run, stage: str, needed: Iterable[str]) -> bool:
    """Whether a stage was finished before and all its files are still there.

    Raises:
        WorkdirError: one of them is not what the stage left.
    """
    if stage not in run.stages:
        return False
    if not all((run.path / name).exists() for name in needed):
        return False
    digests = run.stages[stage].get("files", {})
    for name in needed:
        path = run.path / name
        if name in digests and files.digest(path) != digests[name]:
            raise WorkdirError(
                f"{path} is not what this run wrote: it was damaged or changed since. "
                "Delete it to have it made again, or choose another --workdir to keep "
                "it."
            )
    return True


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    import keras
    import numpy
    import tensorflow

    import hh_keras

    return {
        "hh_keras": hh_keras.__version__,
        "keras": keras.__version__,
        "tensorflow": tensorflow.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
    }


def to_json(value: Any) -> str:
    """JSON text of plain values, indented."""
    return json.dumps(value, indent=2) + "\n"


def commit() -> str | None:
    """The git commit of this source tree, None if it is not a clone."""
    root = pathlib.Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
