import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj

H = hj.hamiltonians
BOX = hj.Box([-1.0, -1.0], [1.0, 1.0])
DISC = hj.Target(lambda x: jnp.linalg.norm(x) - 0.3)


def test_residual_of_the_equation() -> None:
    """u = |x|²: λ|x|² + 4c|x|² − 4ε − f."""
    problem = hj.StationaryProblem(H.Quadratic(0.7), 0.2, BOX, discount=1.5, source=lambda x: x[0])
    x = jnp.array([0.3, -0.4])
    found = problem.residual(lambda x: jnp.sum(x**2), x)
    np.testing.assert_allclose(found, 1.5 * 0.25 + 4 * 0.7 * 0.25 - 0.8 - 0.3, rtol=1e-14)
    assert problem.dimension == 2


@pytest.mark.slow
def test_the_solution_holds_at_every_time_and_between_nodes() -> None:
    problem = hj.StationaryProblem(H.Eikonal(2.0), 0.0, BOX, target=DISC, source=1.0)
    solution = hj.solve(problem, hj.methods.grid.FastSweeping(20))
    assert solution.ts.tolist() == [0.0]
    assert solution.u.shape == (1, 21**2)
    assert solution.gradient.shape == (1, 21**2, 2)
    x = np.array([[0.61, 0.17], [-0.5, 0.5]])
    np.testing.assert_array_equal(solution(0.0, x), solution(7.0, x))
    # first order with Δx = 0.1, half of it at speed 2
    np.testing.assert_allclose(solution(0.0, x), (np.linalg.norm(x, axis=1) - 0.3) / 2, atol=0.05)
    some = hj.solve(problem, hj.methods.grid.FastSweeping(20), points=x)
    np.testing.assert_allclose(some.u[0], solution(0.0, x), rtol=1e-14)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"`discount` must be >= 0"):
        hj.StationaryProblem(H.Eikonal(), 0.0, BOX, discount=-1.0)
    with pytest.raises(ValueError, match=r"`discount` must be > 0 where there is no `target`.*ergodic"):
        hj.StationaryProblem(H.Eikonal(), 0.1, BOX, source=1.0)
    with pytest.raises(TypeError, match=r"`target` must be an instance.*hj.Target"):
        hj.StationaryProblem(H.Eikonal(), 0.0, BOX, target=lambda x: x[0])
    with pytest.raises(TypeError, match=r"`distance` must be callable"):
        hj.Target(0.3)
    with pytest.raises(ValueError, match=r"`target.distance` must map x \[2\] to a number; it returned \(2,\)"):
        hj.StationaryProblem(H.Eikonal(), 0.0, BOX, target=hj.Target(lambda x: x))
    with pytest.raises(ValueError, match=r"`target.cost` reads components that do not exist"):
        hj.StationaryProblem(H.Eikonal(), 0.0, BOX, target=hj.Target(lambda x: x[0], cost=lambda x: x[2]))
    with pytest.raises(ValueError, match=r"`source` must be a number"):
        hj.StationaryProblem(H.Eikonal(), 0.0, BOX, target=DISC, source=[1.0, 2.0])
    problem = hj.Problem(H.Eikonal(), 0.0, hj.initials.Norm(2), BOX, 1.0)
    with pytest.raises(ValueError, match=r"`ts` is needed"):
        hj.solve(problem, hj.methods.grid.FiniteDifference(10))
    with pytest.raises(TypeError, match=r"FastSweeping does not solve a Problem"):
        hj.solve(problem, hj.methods.grid.FastSweeping(10), [0.5])
