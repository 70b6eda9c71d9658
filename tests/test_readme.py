"""The README's example runs as written, and its file for `hjsolve solve` is accepted."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

from hjsolve.cli import app

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


CHOOSING = (Path(__file__).parents[1] / "docs" / "choosing.md").read_text(encoding="utf-8")


def block(language, text=README):
    return re.search(rf"```{language}\n(.*?)```", text, re.DOTALL).group(1)


def test_the_python_example_runs_as_written_and_says_what_is_true(capsys):
    source = block("python")
    assert len([line for line in source.splitlines() if line.strip()]) <= 20
    names = {}
    exec(compile(source, "README.md", "exec"), names)
    assert names["exact"].u.shape == (2, 101)
    assert names["grid"].gradient.shape == (2, 101, 1)
    assert "difference" in capsys.readouterr().out
    # the steepest front spans a few of the 400 cells: 2.0e-3 measured
    assert float(jnp.abs(names["exact"].u - names["grid"].u).max()) < 3e-3
    assert float(names["weights"].sum()) == pytest.approx(1, abs=1e-5)
    # the network is the solution at its own time
    layer = np.array([names["network"](x) for x in names["points"][::25]])
    squares = np.asarray(names["points"][::25, 0]) ** 2 / (4 * 0.5)
    # float32: a few ulp of the largest energies (about 40) over the 4096 units
    np.testing.assert_allclose(squares - layer, names["exact"].u[-1][::25], atol=1e-4)


def test_the_training_example_learns(tmp_path, monkeypatch, capsys):
    """A tenth of its steps, on a quarter of its data: percents by then, and the equation to a tenth."""
    monkeypatch.chdir(tmp_path)
    source = block("python", CHOOSING).replace("steps = 2000", "steps = 200").replace("(256, 2, 3)", "(64, 2, 3)")
    names = {}
    exec(compile(source, "choosing.md", "exec"), names)
    shown = capsys.readouterr().out
    assert re.match(r"u_t \+ \S+ \|∇u\|² = \S+ Δu ", shown), shown
    assert float(names["history"].best_loss) < 0.1 * names["history"].losses[:10].mean()
    assert (tmp_path / "attention.npz").exists()


def test_the_yaml_example_solves(tmp_path):
    file = tmp_path / "two_cones.yaml"
    file.write_text(block("yaml").replace("cells: 100", "cells: 16"), encoding="utf-8")
    result = CliRunner().invoke(app, ["solve", str(file), "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert sorted(path.suffix for path in tmp_path.glob("two_cones.*")) == [".npz", ".png", ".yaml"]


def test_every_number_is_filled_in():
    assert not re.search(r"\b(ORDER\d|PEAK|TODO)\b", README)
