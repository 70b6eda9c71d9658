import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj
from hjsolve.problem.boundaries import Extrapolation, Neumann


def test_wrap_and_contains() -> None:
    box = hj.Box([-1.0, 0.0], [1.0, 3.0], periodic=[True, False])
    x = jnp.array([[1.5, 5.0], [-1.0, 0.0], [1.0, 3.0], [-7.3, -0.1]])
    np.testing.assert_allclose(box.wrap(x), [[-0.5, 5.0], [-1.0, 0.0], [-1.0, 3.0], [0.7, -0.1]], rtol=0, atol=1e-14)
    np.testing.assert_array_equal(box.contains(x), [False, True, True, False])
    assert box.dimension == 2
    np.testing.assert_array_equal(box.extent, [2.0, 3.0])
    assert hj.Torus([0.0], [1.0]).contains(jnp.array([17.0]))
    np.testing.assert_array_equal(jax.jacfwd(box.wrap)(x[0]), np.eye(2))


def test_linear_extrapolation_continues_lines() -> None:
    inner = jnp.array([[3.0, 0.0], [2.0, 1.0], [5.0, 2.0], [0.0, 3.0]])
    ghosts = Extrapolation().ghosts(inner, 0.1, 3)
    np.testing.assert_array_equal(ghosts, [[4.0, -1.0], [5.0, -2.0], [6.0, -3.0]])


@pytest.mark.parametrize("slope", [0.0, 2.0])
def test_neumann_ghosts_have_the_outward_slope_on_quadratics(slope: float) -> None:
    """u = s·r + r²·q with r the distance beyond the face: symmetric about it once the slope is taken off."""
    h, r = 0.1, -0.1 * np.arange(5)
    u = lambda r: slope * r + 3 * r**2
    ghosts = Neumann(slope).ghosts(jnp.asarray(u(r)), jnp.asarray(h), 4)
    np.testing.assert_allclose(ghosts, u(h * np.arange(1, 5)), rtol=0, atol=1e-14)


def test_boundaries_may_differ_by_face() -> None:
    box = hj.Box([0.0, 0.0], [1.0, 1.0], boundary=[(Neumann(), Extrapolation()), (Neumann(1.0), Neumann())])
    assert isinstance(box.boundary[0][1], Extrapolation)
    assert box.boundary[1][0].slope == 1.0
    assert all(isinstance(face, Neumann) for pair in hj.Box([0.0], [1.0], boundary=Neumann()).boundary for face in pair)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: hj.Box([0.0], [0.0]), r"`upper - lower` must be > 0; got \[0\.0\]"),
        (lambda: hj.Box([1.0, 0.0], [0.0, 1.0]), r"`upper - lower` must be > 0"),
        (lambda: hj.Box([0.0], [1.0, 1.0]), r"`lower` and `upper` must have the same length; got 1 and 2"),
        (lambda: hj.Box(0.0, 1.0), r"`lower` must have shape \[d\]; got \(\).*lower=\[-1\.0\]"),
        (lambda: hj.Box([], []), r"`lower` must have at least one entry"),
        (lambda: hj.Box([-np.inf], [1.0]), r"`lower` must be finite; got \[-inf\]"),
        (lambda: hj.Torus([0.0], [np.nan]), r"`upper` must not contain NaN"),
        (lambda: hj.Box([0.0], [1.0], periodic=[True, True]), r"`periodic` must have one entry per axis \(1\); got 2"),
        (lambda: hj.Box([0.0], [1.0], periodic=True), r"`periodic` must be a list of 1 flags; got True.*Torus"),
        (lambda: hj.Box([0.0], [1.0], boundary=[]), r"`boundary` must have one .* pair per axis \(1\); got \[\]"),
        (lambda: hj.Box([0.0], [1.0], boundary="wall"), r"`boundary` must hold boundary conditions; got 'wall'.*Write"),
        (lambda: hj.Box([0.0], [1.0], boundary=[Neumann()]), r"`boundary` must have one .* pair per axis \(1\).*Write"),
        (lambda: hj.Box([0.0], [1.0], boundary=[(Neumann(),) * 3]), r"`boundary` must have one .* pair per axis"),
        (lambda: hj.Box([0.0], [1.0], boundary=[("wall", "wall")]), r"`boundary` must hold boundary conditions.*wall"),
        (lambda: Neumann(np.inf), r"`slope` must be finite; got inf"),
    ],
)
def test_bad_domains_are_refused(build, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build()
