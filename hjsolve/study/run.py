"""One run from config to figures: the order in which things are checked, computed, stored and shown."""

from __future__ import annotations

import json
import time
import traceback
from pathlib import Path

from . import canaries, environment, figures, registry, report, store
from .config import RunConfig, to_yaml
from .errors import RunFailed, StoreError
from .table import Table
from .terminal import console


def run(config: RunConfig) -> Path:
    """Run the experiment that `config` names and return its run folder.

    Nothing is written before the experiment, the folder's name and the device are known to be good and the compiler's
    canaries pass. Afterwards whatever happens is recorded in `status.json`, and what was computed stays readable.

    Raises:
        ConfigError: the experiment, the run folder or the device is not to be had.
        RunFailed: the canaries, the experiment or a figure failed.
        KeyboardInterrupt: passed on once the interruption is recorded.
    """
    experiment = registry.load(config.experiment)
    store.refuse_existing(config.out, config.name)
    device = environment.pick_device(config.device)
    canaries.require()
    folder = store.new_folder(config.out, config.name, config.experiment)
    start = time.perf_counter()
    store.write_status(folder, "running")
    store.write(folder / "config.yaml", to_yaml(config))
    record = environment.describe(config.precision, device, config.seed)
    store.write(folder / "environment.json", json.dumps(record, indent=2) + "\n")
    table = Table(config.model_dump(mode="json"), folder=folder, echo=console.print)
    try:
        with environment.settings(config.precision, device):
            experiment.run(config, table)
        failures = figures.draw(table, folder, experiment.figures)
        if failures:
            raise RunFailed("; ".join(failures))
    except KeyboardInterrupt:
        store.write_status(folder, "interrupted", "stopped by Ctrl-C or a signal", time.perf_counter() - start)
        console.print(f"interrupted; what was computed is in {folder}")
        raise
    except Exception as error:
        _record_failure(folder, error, time.perf_counter() - start)
        raise RunFailed(f"`{config.experiment}` failed: {_line(error)}\nDetails: {folder / 'log.txt'}") from error
    seconds = time.perf_counter() - start
    store.write_status(folder, "finished", seconds=seconds)
    shown = table if experiment.summary is None else experiment.summary(table)
    console.print(report.render(shown, console.width, config.experiment))
    console.print(f"{folder}  ({seconds:.1f} s)", soft_wrap=True)
    return folder


def _record_failure(folder: Path, error: Exception, seconds: float) -> None:
    """Store what went wrong; on a full disk even that may fail, and the first error is then the one to report."""
    try:
        store.append(folder / "log.txt", "".join(traceback.format_exception(error)))
        store.write_status(folder, "failed", _line(error), seconds)
    except StoreError as second:
        error.add_note(str(second))


def _line(error: Exception) -> str:
    """Return the error in one line with its kind, which Python's own messages leave out."""
    first = (str(error).strip() or "no message").splitlines()[0]
    return first if isinstance(error, RunFailed | StoreError) else f"{type(error).__name__}: {first}"
