"""The comparison at its smallest: every cell of its table, its figures, and networks carried to another equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj
from hjsolve.study import registry
from hjsolve.study.run import run
from hjsolve.study.table import Table

KEYS = [
    "hamiltonians=[quadratic]",
    "solvers=[Propagator]",
    "cells=16",
    "train=16",
    "test=8",
    "seconds=0.05",
    "seeds=1",
    "horizon=0.3",
]


@pytest.fixture(scope="module", params=["Attention", pytest.param("ResidualStepper", marks=pytest.mark.slow)])
def network(request):
    return request.param


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    return run(
        registry.configure(
            "compare", [*KEYS, f"networks=[{network}]", f"out={tmp_path_factory.mktemp('runs')}", "name=small"]
        )
    )


def test_every_method_is_asked_under_every_condition(network, folder):
    table = Table.read(folder)
    asked = {(row["method"], row["condition"]) for row in table.rows}
    data = {"held-out", "kinks", "shocks"}
    carried = data | {"finer grid", "twice the horizon", "twice the viscosity"}
    assert asked == {("Propagator", c) for c in data} | {(network, c) for c in carried}
    propagator = [row["L1"] for row in table.rows if row["method"] == "Propagator" and row["condition"] == "held-out"]
    assert propagator[0] < 0.1  # four waves on 16 nodes
    assert all(np.isfinite(row["L1"]) and row["ms a solve"] > 0 for row in table.rows)
    trained = [row for row in table.rows if row["condition"] == "held-out" and row["seed"] is not None]
    assert all(row["weights"] <= 160 and row["ε low"] <= row["ε measured"] <= row["ε high"] for row in trained)


def test_all_figures_are_drawn(folder):
    assert {path.stem for path in (folder / "figures").iterdir()} == {
        "compare", "compare_transfer", "compare_curves", "compare_panels",
    }  # fmt: skip


def test_what_serves_which_equation():
    experiment = registry._module("compare")
    inviscid = experiment.Equation("quadratic", 0.0, 1, None)
    assert [inviscid.serves(m) for m in ("SSM", "HopfCole", "ResidualStepper", "WENO5")] == [False, False, True, True]
    assert not experiment.Equation("eikonal", 0.1, 1, None).serves("Attention")
    assert experiment.Equation("quadratic", 0.1, 1, None).serves("Attention")


def test_every_family_of_data_is_periodic_and_of_one_range():
    families = registry._module("initial_families")
    for family in families.FAMILIES:
        for d in (1, 2):
            numbers = families.draw(family, d, 5, np.random.default_rng(0))
            x = np.random.default_rng(1).uniform(-np.pi, np.pi, size=(400, d))
            at = jax.vmap(jax.vmap(families.profile(d), in_axes=(None, 0)), in_axes=(0, None))
            u, shifted = at(numbers, x), at(numbers, x + 2 * np.pi * np.eye(d)[0])
            np.testing.assert_allclose(u, shifted, atol=1e-12)
            spans = np.ptp(u, axis=1)
            assert (spans > 0.3).all()
            assert (spans < 1.1 * families.RANGE).all()  # scaled by its range on a coarser grid


@pytest.mark.slow
def test_a_network_is_carried_to_another_grid_and_viscosity():
    """From exact weights for ε to those for 2ε, on twice the nodes: the solution of that equation."""
    networks, experiment = registry._module("compared_networks"), registry._module("compare")
    hamiltonian, torus = hj.hamiltonians.Quadratic(1.0), hj.Torus([-np.pi], [np.pi])
    equation = experiment.Equation("quadratic", 0.2, 1, hamiltonian)
    data = hj.initials.Custom(lambda x: 0.4 * jnp.cos(x[0]))
    problem, thicker = (hj.Problem(hamiltonian, epsilon, data, torus, 0.5) for epsilon in (0.2, 0.4))
    points = np.array([[0.3], [2.0]])
    exact = hj.solve(thicker, hj.methods.particle.HopfCole(), [0.5], points=points).u
    for family in ("ssm", "attention"):
        network = hj.theory.as_network(problem, family=family, cells=32)
        carried = networks.rebuilt(network, equation, cells=64, factor=2.0)
        np.testing.assert_allclose(hj.solve(thicker, carried, [0.5], points=points).u, exact, atol=1e-8)
    block = hj.theory.as_network(problem, family="residual", cells=32)
    read = [
        n.equation(problem).viscosity.matrix(jnp.zeros(()), jnp.zeros((1, 1)), jnp.zeros((1, 1)))[0, 0, 0]
        for n in (block, networks.rebuilt(block, equation, factor=2.0), networks.rebuilt(block, equation, cells=64))
    ]
    np.testing.assert_allclose(read, read[0] * np.array([1.0, 2.0, 1.0]), rtol=1e-12)
    np.testing.assert_allclose(networks.viscosity_read(network, equation), 0.2, rtol=1e-12)
    np.testing.assert_allclose(networks.viscosity_read(block, equation), read[0], rtol=1e-12)


def test_layers_are_as_many_as_a_monotone_scheme_takes():
    """Δt (2ε/h² + α/h) <= 1 for the steepest difference of the data, the bound that Lax-Friedrichs has."""
    networks, experiment = registry._module("compared_networks"), registry._module("compare")
    equation = experiment.Equation("quadratic", 0.1, 1, hj.hamiltonians.Quadratic(1.0))
    config = experiment.Config(experiment="compare", cells=32, horizon=0.5)
    start = np.abs(np.arange(32) - 16.0)[None] * 0.1
    h = 2 * np.pi / 32
    expected = 0.5 * (2 * 0.1 / h**2 + 2 * (0.1 / h) / h)
    assert networks.stable_layers(config, equation, start) == np.ceil(expected)


def test_the_summary_takes_medians_over_the_seeds():
    table = Table()
    for seed, wrong in enumerate((0.1, 0.4, 0.2)):
        table.add(H="eikonal", ε=0.1, d=1, method="SSM", seed=seed, condition="held-out", L1=wrong)
    table.add(H="eikonal", ε=0.1, d=1, method="SSM", condition="not applicable")
    (row,) = registry._module("compare").summary(table).rows
    assert row["L1, held-out"] == 0.2 and row["L1, kinks"] is None
