"""Parts of a problem that jump in time: where intervals begin, and the problem between two jumps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj
from hjsolve.problem.jumps import from_jump, interval, interval_end, next_jump

LENGTHS = np.random.default_rng(0).uniform(0.01, 3.0, 20)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", LENGTHS)
def test_an_interval_holds_where_it_begins_and_not_where_it_ends(length: float, dtype: str) -> None:
    """Also where the ends are summed up and rounded."""
    length, k = jnp.asarray(length, dtype), jnp.arange(300)
    begins = jnp.cumsum(jnp.full(299, length, dtype))
    for t in (k * length, k.astype(dtype) * length * (1 + jnp.finfo(dtype).eps)):
        np.testing.assert_array_equal(jax.vmap(lambda t: interval(t, length, 300))(t), k)
        ends = jax.vmap(lambda t: interval_end(t, length, 300))(t)
        np.testing.assert_allclose(ends[:-1], t[1:], rtol=1e-6)
        assert np.isinf(ends[-1])
    if dtype == "float64":
        np.testing.assert_array_equal(jax.vmap(lambda t: interval(t, length, 300))(begins), k[1:])
    np.testing.assert_array_equal(jax.vmap(lambda t: interval(t, length, 300))((k + 0.999) * length), k)
    assert interval(-length, length, 300) == 0 and interval(400 * length, length, 300) == 299


def flow_problem(shared: bool) -> hj.Problem:
    network = hj.methods.network.ResidualFlow.random(1, layers=5, shared=shared, time=1.5, key=jax.random.key(0))
    return hj.theory.as_problem(network, domain=hj.Torus([-4.0], [4.0]))


def test_between_jumps_a_problem_does_not_change_in_time() -> None:
    problem = flow_problem(shared=False)
    x, p = np.linspace(-1, 1, 7)[None], np.ones((1, 7))
    assert problem.changes_in_time
    for t, end in ((0.0, 0.3), (0.31, 0.6), (1.2, np.inf)):
        np.testing.assert_allclose(next_jump(problem, jnp.asarray(t)), end)
        held = from_jump(problem, jnp.asarray(t))
        assert not held.changes_in_time
        for later in (t, t + 0.1, 3.0):
            np.testing.assert_array_equal(
                held.hamiltonian(jnp.asarray(later), x, p), problem.hamiltonian(jnp.asarray(t), x, p)
            )
    np.testing.assert_allclose(
        problem.hamiltonian(jnp.asarray(0.1), x, p), -problem.hamiltonian.field.flow.velocity(jnp.asarray(1.4), x)[0]
    )


def test_shared_layers_never_jump() -> None:
    problem = flow_problem(shared=True)
    assert np.isinf(next_jump(problem, jnp.asarray(0.3))) and not problem.changes_in_time


def test_an_ordinary_problem_is_left_as_it_is() -> None:
    problem = hj.Problem(hj.hamiltonians.Quadratic(), 0.1, hj.initials.Norm(), hj.Box([-1.0], [1.0]), 1.0)
    assert next_jump(problem, jnp.asarray(0.0)) is None
    assert from_jump(problem, jnp.asarray(0.0)) is problem


def test_the_equation_of_a_stepper_with_weights_of_its_own_in_each_layer_jumps() -> None:
    """|p|² with strengths 1 and 3 in two layers, whose blocks are Lax-Friedrichs steps of other Hamiltonians."""
    torus, data = hj.Torus([0.0], [2 * np.pi]), hj.initials.Custom(lambda x: 0.3 * jnp.sin(x[0]))
    parts = [
        hj.theory.as_network(
            hj.Problem(hj.hamiltonians.Quadratic(c), 0.1, data, torus, 0.1), family="residual", cells=32, layers=20
        )
        for c in (1.0, 3.0)
    ]
    blocks = jax.tree.map(
        lambda *a: np.concatenate(a) if a[0].shape[0] == 20 else np.repeat(np.concatenate(a), 20, 0),
        *(n.block for n in parts),
    )
    network = hj.methods.network.ResidualStepper(blocks, torus, 32, layers=40, time=0.2)
    problem = hj.Problem(hj.hamiltonians.Quadratic(1.0), 0.1, data, torus, 0.2)
    read = network.equation(problem)
    t, x, p = jnp.asarray(0.15), np.zeros((1, 1)), np.full((1, 1), 0.5)
    np.testing.assert_allclose(read.hamiltonian(t, x, p), 0.75)
    np.testing.assert_allclose(read.hamiltonian(t - 0.1, x, p), 0.25)
    np.testing.assert_allclose(next_jump(read, t), 0.155)
    assert not from_jump(read, t).changes_in_time
