"""A small experiments folder of its own, so that the command line is tested apart from the real experiments."""

from pathlib import Path

import pytest

TOY = '''"""Squares of whole numbers, slowly if asked.

More text that a list does not show.
"""

import time
from typing import Literal

from pydantic import Field

from hjsolve.study.config import RunConfig

from .helper import square

FIGURES = ("parabola",)


class Config(RunConfig):
    """How many, and how long each takes."""

    count: int = Field(default=3, ge=1, le=1000, description="how many squares")
    pause: float = Field(default=0.0, ge=0)
    ending: Literal["good", "bad"] = "good"


def run(config, table):
    import jax.numpy as jnp

    table.log(f"dtype {jnp.ones(()).dtype}")
    for n in range(config.count):
        table.add(n=n, square=square(n), **{"time [s]": config.pause})
        table.metric(step=n, loss=1.0 / (n + 1))
        table.field(f"row{n}", jnp.full(4, n), dims=("x",), unit="m")
        time.sleep(config.pause)
    if config.ending == "bad":
        raise ZeroDivisionError("the end is bad")
'''
FIGURE = '''"""The parabola."""

from matplotlib.figure import Figure


def draw(table):
    figure = Figure()
    figure.add_subplot().plot(table.column("n"), table.column("square"))
    return figure
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An HJSOLVE_ROOT with one experiment, and an empty folder to run in."""
    experiments = tmp_path / "root" / "experiments"
    (experiments / "figures").mkdir(parents=True)
    (experiments / "toy.py").write_text(TOY)
    (experiments / "helper.py").write_text('"""No experiment."""\n\n\ndef square(n):\n    return n * n\n')
    (experiments / "figures" / "parabola.py").write_text(FIGURE)
    (tmp_path / "root" / "configs").mkdir()
    (tmp_path / "root" / "configs" / "toy.yaml").write_text("experiment: toy\ncount: 4\n")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("HJSOLVE_ROOT", str(tmp_path / "root"))
    monkeypatch.chdir(work)
    return work
