import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj
from hjsolve.problem.hopf_cole import check_periodic_data, parts, require_hopf_cole
from hjsolve.problem.probe import reads_outside

H = hj.hamiltonians


def problem(**changes) -> hj.Problem:
    parts = {
        "hamiltonian": H.Quadratic(),
        "viscosity": 0.1,
        "initial": hj.initials.Norm(),
        "domain": hj.Box([-1.0, -1.0], [1.0, 1.0]),
        "horizon": 1.0,
    }
    return hj.Problem(**{**parts, **changes})


def test_residual_of_any_function() -> None:
    """u = t sin(x)e^y + t², by hand."""
    p = problem(
        hamiltonian=H.Custom(lambda t, x, p: t * p[0] ** 2 + x[0] * p[1]),
        viscosity=hj.viscosities.Varying(lambda t, x: x[1] ** 2),
    )
    t, (x, y) = 0.7, (0.3, -0.4)
    u = lambda t, z: t * jnp.sin(z[0]) * jnp.exp(z[1]) + t**2
    s, c, e = np.sin(x), np.cos(x), np.exp(y)
    expected = s * e + 2 * t + t * (t * c * e) ** 2 + x * (t * s * e) - y**2 * 0.0  # sin·exp is harmonic
    np.testing.assert_allclose(p.residual(u, t, jnp.array([x, y])), expected, rtol=1e-14)
    with_laplacian = p.residual(lambda t, z: u(t, z) + z[0] ** 2 * z[1], t, jnp.array([x, y]))
    u_x, u_y = t * c * e + 2 * x * y, t * s * e + x**2
    np.testing.assert_allclose(with_laplacian, s * e + 2 * t + t * u_x**2 + x * u_y - y**2 * 2 * y, rtol=1e-13)


def test_a_number_is_a_constant_viscosity() -> None:
    assert isinstance(problem(viscosity=0.2).viscosity, hj.viscosities.Constant)
    assert problem(viscosity=0).viscosity.epsilon == 0.0
    assert problem().dimension == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"viscosity": -0.1}, r"`viscosity` must be >= 0; got -0\.1\. Use 0 for the inviscid equation"),
        ({"horizon": 0.0}, r"`horizon` must be > 0; got 0\.0"),
        ({"horizon": -1.0}, r"`horizon` must be > 0; got -1\.0"),
        ({"horizon": np.nan}, r"`horizon` must not contain NaN"),
        ({"horizon": np.inf}, r"`horizon` must be finite"),
        ({"horizon": [1.0, 2.0]}, r"`horizon` must be a number; got shape \(2,\)"),
        ({"hamiltonian": lambda t, x, p: p}, r"`hamiltonian` must be one of.*function.*hamiltonians\.Custom"),
        ({"initial": np.sin}, r"`initial` must be one of.*initials\.Custom"),
        ({"domain": (-1.0, 1.0)}, r"`domain` must be one of.*tuple.*hj\.Box"),
        ({"hamiltonian": H.Linear([1.0])}, r"`hamiltonian` does not fit.*dimension 2"),
        ({"hamiltonian": H.Separable((jnp.cos,) * 3)}, r"`hamiltonian` does not fit.*3 functions.*dimension 2"),
        ({"initial": hj.initials.Quadratic(np.eye(3))}, r"`initial` does not fit.*3 x 3.*dimension 2"),
        ({"initial": hj.initials.Cosine(1.0, [1.0])}, r"`initial` does not fit.*1 components.*dimension 2"),
        ({"initial": hj.initials.Custom(lambda x: x)}, r"`initial` must map x \[2\] to a number.*\(2,\)"),
        ({"initial": hj.initials.Atoms([[0.0]], [0.0])}, r"`initial` holds atoms of dimension 1.*dimension 2"),
        ({"initial": hj.initials.Gridded(np.zeros(9), 0.0, 1.0)}, r"`initial` does not fit.*1 axes.*dimension 2"),
        ({"hamiltonian": H.Custom(lambda t, x, p: p[0] + p[2])}, r"`hamiltonian`.*dimension 2"),
        ({"initial": hj.initials.Custom(lambda x: x[0] + x[2])}, r"`initial`.*dimension 2"),
    ],
)
def test_bad_problems_are_refused(changes: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        problem(**changes)


def test_traced_numbers_pass_every_check() -> None:
    def build(epsilon, c, horizon, edge):
        p = hj.Problem(
            H.Quadratic(c), epsilon, hj.initials.Quadratic(edge), hj.Box([-edge, -1.0], [edge, 1.0]), horizon
        )
        x = jnp.array([0.3, 0.2])
        u = lambda t, z: p.initial(z) - t * p.horizon
        return p.residual(u, 0.5, x)

    # −T + c a²|x|² − 2εa with a = edge, |x|² = 0.13
    value, slopes = jax.value_and_grad(build, argnums=(0, 1, 2, 3))(0.1, 2.0, 3.0, 1.5)
    np.testing.assert_allclose(value, -3.0 + 2 * 2.25 * 0.13 - 0.2 * 1.5, rtol=1e-14)
    np.testing.assert_allclose(slopes, [-3.0, 2.25 * 0.13, -1.0, 2 * 2 * 1.5 * 0.13 - 0.2], rtol=1e-13)
    batch = jax.vmap(build, in_axes=(0, None, None, None))(jnp.array([0.1, 0.2]), 2.0, 3.0, 1.5)
    np.testing.assert_allclose(batch[1] - batch[0], -0.3, rtol=1e-12)
    jitted = eqx.filter_jit(build)(0.1, 2.0, 3.0, 1.5)
    np.testing.assert_allclose(jitted, value, rtol=1e-14)


def test_an_equation_prints_with_its_numbers() -> None:
    drifting = H.WithDrift(H.Quadratic(0.5), lambda t, x: x)
    assert str(problem(hamiltonian=H.Quadratic(1.0), viscosity=0.25)) == "u_t + |∇u|² = 0.25 Δu"
    assert str(problem(hamiltonian=drifting, viscosity=0.0)) == "u_t + 0.5 |∇u|² + b(t, x)·∇u = 0"
    assert jax.vmap(lambda c: len(str(problem(hamiltonian=H.Quadratic(c)))) + 0 * c)(jnp.ones(2))[0] > 0  # no number


@pytest.mark.parametrize(
    ("function", "outside"),
    [
        (lambda x: x[0] + x[1], False),
        (lambda x: x[-1] * x[0:5].sum(), False),  # slices end where the array ends, as in NumPy
        (lambda x: x[jnp.argmax(x)], False),
        (lambda x: jax.lax.dynamic_slice(x, (0,), (2,)).sum(), False),
        (lambda x: jax.lax.fori_loop(0, 2, lambda k, s: s + x[k], 0.0), False),
        (lambda x: x[2], True),
        (lambda x: x[-3], True),
        (jax.jit(lambda x: x[0] * jnp.sin(x[3])), True),
        (jax.vmap(lambda s: s, in_axes=0), False),
        (lambda x: jax.vmap(lambda k: k * x[2])(x), True),
    ],
)
def test_reads_outside(function, outside: bool) -> None:
    assert reads_outside(function, jax.ShapeDtypeStruct((2,), jnp.float64)) is outside
    assert reads_outside(function, jnp.ones(2)) is outside


def test_require_hopf_cole() -> None:
    require_hopf_cole(problem(), "It", "Use something else.")
    with pytest.raises(
        ValueError, match=r"It needs `hamiltonian` = Quadratic\(c\); got Eikonal\. Use something else\."
    ):
        require_hopf_cole(problem(hamiltonian=H.Eikonal()), "It", "Use something else.")
    with pytest.raises(ValueError, match=r"It needs a constant `viscosity`; got Varying"):
        require_hopf_cole(problem(viscosity=hj.viscosities.Varying(lambda t, x: 1.0)), "It", "")


@pytest.mark.parametrize(
    ("initial", "periodic", "fits"),
    [
        (hj.initials.Cosine(1.0, [np.pi, 2 * np.pi]), [True, True], True),
        (hj.initials.Cosine(1.0, [np.pi, 2.0]), [True, True], False),
        (hj.initials.Cosine(1.0, [np.pi, 2.0]), [True, False], True),
        (hj.initials.Quadratic(1.0), [True, True], True),  # even: it matches across opposite faces, with a kink
        (hj.initials.Custom(lambda x: 1e6 + x[1]), [False, True], False),
        (hj.initials.Custom(lambda x: 1e6 + jnp.cos(jnp.pi * x[1])), [False, True], True),
        (hj.initials.Custom(lambda x: x[1] ** 3), [False, True], False),
        (hj.initials.Custom(lambda x: jnp.exp(x[0])), [True, False], False),
    ],
)
def test_data_that_jump_across_periodic_faces(initial, periodic: list[bool], fits: bool) -> None:
    p = problem(initial=initial, domain=hj.Box([-1.0, -1.0], [1.0, 1.0], periodic=periodic))
    if fits:
        check_periodic_data(p, "It")
        return
    with pytest.raises(ValueError, match=r"`initial` must be periodic for It.*it jumps by.*Use a Box"):
        check_periodic_data(p, "It")


def test_parts_of_a_hopf_cole_hamiltonian() -> None:
    drift = lambda t, x: t * x
    potential = lambda x: jnp.sum(x**2, axis=0)
    nested = H.WithPotential(H.WithDrift(H.WithPotential(H.Quadratic(2.0), potential), drift), potential)
    found = parts(nested)
    assert found is not None
    x = jnp.array([1.0, 2.0])
    assert float(found.c) == 2.0
    np.testing.assert_array_equal(found.drift(0.5, x), 0.5 * x)
    assert float(found.potential(x)) == 10.0
    assert parts(H.WithDrift(H.Eikonal(), drift)) is None
    case = hj.Problem(nested, 0.1, hj.initials.Quadratic(jnp.eye(2)), hj.Box([-1, -1], [1, 1]), 1.0)
    require_hopf_cole(case, "It", "", drift=True, potential=True)
    with pytest.raises(ValueError, match="Quadratic\\(c\\) or WithDrift of it; got WithPotential"):
        require_hopf_cole(case, "It", "", drift=True)
