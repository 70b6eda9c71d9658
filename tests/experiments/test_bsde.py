"""The deep-BSDE experiment at its smallest."""

import numpy as np
import pytest

from hjsolve.study import registry
from hjsolve.study.run import run
from hjsolve.study.table import Table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    keys = ["dimension=60", "steps=50", "batch=32", "time_steps=4", "samples=16384", f"out={out}", "name=small"]
    return Table.read(run(registry.configure("bsde", keys)))


def test_every_equation_is_solved_by_what_can_solve_it(table):
    methods = table.column("method")
    assert (methods == "DeepBSDE").sum() == 6
    assert (methods == "FeynmanKac").sum() == 3
    assert np.isfinite(table.column("u(1, 0)").astype(float)).all()


def test_feynman_kac_meets_the_exact_values_within_its_error_bars(table):
    rows = table.column("method") == "FeynmanKac"
    error = np.abs(table.column("u(1, 0)")[rows] - table.column("exact")[rows])
    assert (error < 5 * table.column("standard error")[rows]).all()


def test_training_comes_near_even_when_short(table):
    rows = (table.column("method") == "DeepBSDE") & (table.column("equation") == "HJB, λ = 1")
    assert table.column("relative error")[rows][0] < 0.02  # four time steps, 50 training steps


def test_the_figure_draws(table):
    assert registry.figure("bsde")(table) is not None
