"""Flows trained on digits at their smallest: the same solution by the network, a grid and particles."""

import numpy as np

from hjsolve.study import registry
from hjsolve.study.run import run
from hjsolve.study.table import Table


def test_network_grid_and_particles_solve_the_equation_that_was_read(tmp_path):
    keys = ["kinds=[lstm]", "layers=3", "hidden=8", "steps=60", "splits=[4, 8, 16]", "cells=[20, 40]", "points=4"]
    folder = run(registry.configure("flow", [*keys, "path_steps=[96]", f"out={tmp_path}"]))
    table = Table.read(folder)
    errors = {}
    for row in table.rows:
        errors.setdefault(row["method"], []).append(row["mean error"])
    network = np.array(errors["network, steps a layer"])
    np.testing.assert_allclose(np.log2(network[:-1] / network[1:]), 1.0, atol=0.2)
    grid = errors["WENO5, cells an axis"]
    assert grid[1] < 0.6 * grid[0] and grid[1] < 0.02
    assert errors["particles, steps"][0] < 0.02
    assert {path.stem for path in (folder / "figures").iterdir()} == {"flow", "flow_orders"}
