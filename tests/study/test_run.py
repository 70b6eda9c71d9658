"""A run: checked before it writes, recorded as it goes, and honest about how it ended."""

import errno
import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest

from hjsolve.study import canaries, registry, store
from hjsolve.study.errors import ConfigError, RunFailed
from hjsolve.study.figures import redraw
from hjsolve.study.run import run
from hjsolve.study.table import Table


def start(*overrides: str) -> Path:
    return run(registry.configure("toy", list(overrides)))


def test_a_run_folder_holds_everything(toy: Path) -> None:
    folder = start("name=first", "seed=7")
    table = Table.read(folder)
    assert table.column("square").tolist() == [0, 1, 4, 9]
    assert table.config["seed"] == 7 and table.config["count"] == 4
    assert [record["step"] for record in table.metrics] == [0, 1, 2, 3]
    np.testing.assert_array_equal(table.fields["row3"], np.full(4, 3.0))
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["versions"]["jax"] == jax.__version__ and environment["seed"] == 7
    assert (folder / "figures" / "parabola.png").read_bytes().startswith(b"\x89PNG")
    assert not list(folder.rglob("*.tmp"))


def test_an_experiment_with_many_rows_shows_a_summary(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = registry.root() / "experiments" / "toy.py"
    lines = (
        "\n\ndef summary(table):\n    from hjsolve.study.table import Table\n\n    shown = Table()\n"
        "    shown.add(total=sum(table.column('square')))\n    return shown\n"
    )
    module.write_text(module.read_text() + lines)
    folder = start("count=4")
    shown = capsys.readouterr().out
    assert "total" in shown and "14" in shown and "square" not in shown
    assert len(Table.read(folder).rows) == 4


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_precision_holds_for_the_run_only(toy: Path, precision: str) -> None:
    before = jax.config.jax_enable_x64
    folder = start(f"precision={precision}")
    assert f"dtype {precision}" in (folder / "log.txt").read_text()
    assert jax.config.jax_enable_x64 == before and jax.config.jax_default_device is None


def test_an_existing_folder_is_refused_and_left_alone(toy: Path) -> None:
    (toy / "runs" / "mine").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"runs/mine` exists.*another `name=`"):
        start("name=mine")
    assert list((toy / "runs" / "mine").iterdir()) == []


def test_runs_without_a_name_never_collide(toy: Path) -> None:
    folders = [store.new_folder("runs", None, "toy") for _ in range(3)]
    assert len({folder.name for folder in folders}) == 3
    assert all(folder.name.startswith("toy-2") for folder in folders)


def test_an_absent_device_is_refused_before_anything_is_written(toy: Path) -> None:
    if any(device.platform == "tpu" for device in jax.devices()):
        pytest.skip("this machine has a TPU")
    with pytest.raises(ConfigError, match=r"`device` is 'tpu'.*finds: .*cpu.*device=auto"):
        start("device=tpu")
    assert not (toy / "runs").exists()


def test_a_failing_canary_stops_a_run_with_the_remedy(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canaries, "_jit", lambda function, *arguments: np.asarray(jax.jit(function)(*arguments)) + 1)
    with pytest.raises(RunFailed, match=r"(?s)16385 rows.*32769 rows.*Install jax 0\.10\.1"):
        start()
    assert not (toy / "runs").exists()


def test_every_canary_lives_here() -> None:
    verdicts = canaries.check(thorough=True)
    assert len(verdicts) == 3
    assert all(verdict.ok for verdict in verdicts), verdicts


def test_a_failure_keeps_what_was_computed(toy: Path) -> None:
    with pytest.raises(RunFailed, match="`toy` failed: ZeroDivisionError: the end is bad"):
        start("name=bad", "ending=bad")
    folder = toy / "runs" / "bad"
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["message"]) == ("failed", "ZeroDivisionError: the end is bad")
    assert "Traceback" in (folder / "log.txt").read_text()
    assert len(Table.read(folder).rows) == 4


def test_a_full_disk_fails_the_run_and_keeps_the_rows(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, calls = os.fsync, iter(range(100))

    def fill_up(handle: int) -> None:
        if next(calls) > 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(RunFailed, match=r"No space left.*free some space"):
        start("name=full", "count=50")
    table = Table.read(toy / "runs" / "full")
    assert 1 <= len(table.rows) < 50
    assert table.column("square").tolist() == [n * n for n in range(len(table.rows))]
    assert not list((toy / "runs" / "full").rglob("*.tmp"))


def test_figures_are_redrawn_from_the_table_alone(toy: Path) -> None:
    folder = start("name=drawn")
    picture = folder / "figures" / "parabola.png"
    picture.unlink()
    (toy.parent / "root" / "experiments" / "helper.py").write_text("def square(n):\n    raise AssertionError\n")
    assert redraw(folder) == [picture]
    assert picture.exists()


def test_a_broken_figure_is_named_and_the_table_stays(toy: Path) -> None:
    drawing = toy.parent / "root" / "experiments" / "figures" / "parabola.py"
    drawing.write_text("def draw(table):\n    return table.column('cube')\n")
    with pytest.raises(RunFailed, match=r"figure `parabola`: KeyError.*no column `cube`"):
        start("name=undrawn")
    assert len(Table.read(toy / "runs" / "undrawn").rows) == 4
