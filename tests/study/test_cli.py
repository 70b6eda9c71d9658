"""The command line: exit codes, messages without tracebacks, and a start that loads nothing heavy."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hjsolve
from hjsolve.cli import app
from hjsolve.study import canaries
from hjsolve.study.table import Table

COMMAND = [sys.executable, "-c", "from hjsolve.cli import main; main()"]


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert "Traceback" not in result.output
    return result.exit_code, result.output


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["list"], ["show", "toy"], ["run", "--help"]])
def test_light_commands_load_nothing_heavy(toy: Path, arguments: list[str]) -> None:
    script = (
        "import sys; from hjsolve.cli import app; app(sys.argv[1:], standalone_mode=False)\n"
        "loaded = {'jax', 'numpy', 'scipy', 'zarr', 'matplotlib', 'equinox'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True)


def test_version_list_and_show(toy: Path) -> None:
    assert call("--version") == (0, f"hjsolve {hjsolve.__version__}\n")
    code, listed = call("list")
    assert code == 0 and "Squares of whole numbers" in listed and "Hamiltonians" in listed and "Quadratic" in listed
    code, shown = call("show", "toy", "pause=1e-3")
    assert code == 0 and "count: 4  # how many squares\n" in shown and "pause: 0.001\n" in shown
    assert "precision: float64\n" in shown


def test_run_then_figures(toy: Path) -> None:
    code, output = call("run", "toy", "name=one", "count=2")
    assert code == 0 and "square" in output and "runs/one" in output
    script = (
        "import sys; from hjsolve.cli import app; app(['figures', 'runs/one'], standalone_mode=False)\n"
        "assert 'jax' not in sys.modules"
    )
    (toy / "runs" / "one" / "figures" / "parabola.png").unlink()
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert (toy / "runs" / "one" / "figures" / "parabola.png").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["toi"], ["no experiment `toi`", "`toy`"]),
        (["toy", "cuont=3"], ["`cuont`", "Did you mean `count`", "Keys:"]),
        (["toy", "count=many"], ["`count`", "integer", "'many'"]),
        (["toy", "count=0"], ["`count` must be >= 1", "got 0"]),
        (["toy", "precision=float46"], ["`precision`", "'float32' or 'float64'", "Did you mean `float64`"]),
        (["toy", "name=../up"], ["`name`", "'..'"]),
        (["toy", "name=a/b"], ["`name`", "'/'"]),
        (["toy", "name=taken"], ["taken", "exists", "name="]),
        (["broken.yaml"], ["broken.yaml, line 1"]),
        (["picture.yaml"], ["picture.yaml", "not readable as YAML"]),
        (["absent.yaml"], ["absent.yaml"]),
        (["folder.yaml"], ["folder.yaml"]),
    ],
)
def test_bad_input_is_refused_before_any_work(toy: Path, arguments: list[str], said: list[str]) -> None:
    (toy / "runs" / "taken").mkdir(parents=True)
    (toy / "broken.yaml").write_text("experiment: [toy\n"[:-2] + ": }")
    (toy / "picture.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    (toy / "folder.yaml").mkdir()
    code, output = call("run", *arguments)
    assert code == 2
    assert all(word in output for word in said), output
    assert [path.name for path in (toy / "runs").rglob("*")] == ["taken"]


def test_a_folder_that_is_no_run_is_refused(toy: Path) -> None:
    code, output = call("figures", str(toy))
    assert code == 2 and "is not a run folder" in output


def test_a_failed_run_exits_1_with_a_short_message(toy: Path) -> None:
    code, output = call("run", "toy", "name=bad", "ending=bad")
    assert code == 1 and "ZeroDivisionError: the end is bad" in output and "log.txt" in output


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_what_was_computed(toy: Path, asked: signal.Signals) -> None:
    # jobs in the background of a shell are started deaf to it
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [*COMMAND[:-1], heard + COMMAND[-1], "run", "toy", "name=long", "count=1000", "pause=0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        folder, deadline = toy / "runs" / "long", time.monotonic() + 60
        while not (folder / "fields.zarr" / "row3").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(asked)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert "Traceback" not in output and "runs/long" in output
    assert json.loads((folder / "status.json").read_text())["state"] == "interrupted"
    table = Table.read(folder)
    assert 4 <= len(table.rows) < 1000
    assert table.column("square").tolist() == [n * n for n in range(len(table.rows))]
    assert all(table.fields[name].shape == (4,) for name in table.fields)
    assert call("figures", str(folder))[0] == 0


def test_doctor_passes_here_and_fails_on_a_dead_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    alive, dead = canaries.Verdict("one", True, 0.0), canaries.Verdict("two", False, 0.5)
    monkeypatch.setattr(canaries, "check", lambda thorough: [alive])
    code, output = call("doctor")
    assert code == 0 and "cpu" in output and "float64" in output and "ok" in output
    monkeypatch.setattr(canaries, "check", lambda thorough: [alive, dead])
    code, output = call("doctor")
    assert code == 1 and "WRONG" in output and "0.10.1" in output
