"""The quickstart at its smallest: the table's claims hold against the reference, and every figure is drawn."""

import numpy as np
import pytest

from hjsolve.study import registry
from hjsolve.study.run import run
from hjsolve.study.table import Table

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    keys = ["steps=100", "cells=48", "points=5", "units=4", "dimensions=10", f"out={out}", "name=small"]
    return run(registry.configure("quickstart", keys))


def test_particles_and_network_match_the_reference_and_the_grids_by_their_order(folder):
    table = Table.read(folder)
    error = dict(zip(table.column("method"), table.column("max error u"), strict=True))
    assert error["particle: HopfCole"] < 1e-12
    assert error["network: LSE"] < 1e-12
    assert error["grid: WENO5, 48²"] < error["grid: upwind, 48²"]
    epsilon = dict(zip(table.column("method"), table.column("effective ε"), strict=True))
    assert epsilon["network: LSE"] == pytest.approx(0.1)
    assert epsilon["grid: upwind, 48²"] > 0.11


def test_the_classifier_learns(folder):
    results = {row["network"]: row for row in Table.read(folder).metrics if "test_error" in row}
    # chance is 90%; four atoms a class on ten components reach about 10%
    assert results["full"]["test_error"] < 0.2
    assert results["plane"]["test_error"] < 0.5


def test_the_run_folder_is_complete(folder):
    names = {path.name for path in folder.iterdir()}
    expected = {
        "config.yaml",
        "environment.json",
        "table.csv",
        "metrics.jsonl",
        "fields.zarr",
        "log.txt",
        "status.json",
    }
    assert expected | {"figures"} <= names
    assert len(list((folder / "figures").glob("*.png"))) == 5
    u = Table.read(folder).fields["u"]
    assert u.shape == (4, 121, 121)
    assert np.isfinite(u).all()
