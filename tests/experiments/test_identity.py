"""The identity experiment at its smallest, and its reference against an unrelated formula."""

import numpy as np
import pytest
from scipy.special import logsumexp

from hjsolve.study import registry
from hjsolve.study.run import run
from hjsolve.study.table import Table


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    keys = ["dimensions=[3]", "layers=3", "points=7", "units=6", f"out={out}", "name=small"]
    return Table.read(run(registry.configure("identity", keys)))


def test_the_identity_holds_to_round_off_at_every_viscosity(table):
    assert sorted(set(table.column("ε"))) == [0.01, 0.1, 1.0, 10.0]
    assert table.column("identity").max() <= 1e-12
    assert table.column("semigroup").max() <= 1e-12


def test_the_residual_needs_the_source(table):
    assert table.column("residual").max() <= 1e-11
    np.testing.assert_allclose(table.column("bare residual"), table.column("dε/2t"), rtol=1e-9)


def test_the_tropical_error_lies_between_two_tied_units_and_the_bound(table):
    errors, epsilons = table.fields["tropical_error"], np.array(table.config["tropical"])
    assert (errors <= epsilons * np.log(6) * (1 + 1e-9)).all()
    assert (errors >= epsilons * np.log(2) * (1 - 1e-6)).all()


def test_the_reference_agrees_with_the_closed_form_at_another_start():
    reference = registry._module("reference")
    rng = np.random.default_rng(3)
    y, g, x = rng.normal(size=(5, 2)), rng.normal(size=5), rng.normal(size=(4, 2))
    squares = ((x[:, None] - y) ** 2).sum(2)
    closed = -0.2 * logsumexp(-(g + squares / (4 * 0.9)) / 0.2, axis=1)
    for start in (0.1, 0.45, 0.8):
        np.testing.assert_allclose(reference.propagated(y, g, 0.2, 0.9, start, x), closed, atol=1e-13)
