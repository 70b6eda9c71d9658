"""Variance reduction for Feynman-Kac: guides that steer the paths, and a control variate whose solution is known."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import require
from ...typing import Array, Float, Point, PRNGKeyArray, Scalar
from .paths import AbstractScheme, Law, root, simulate


class AbstractGuide(eqx.Module):
    """A drift a(s, X) added to the paths of H = c|p|² + b·p − V, paid for by its Girsanov weight.

    The best one is −2c∇u, the optimal control: with it every path has the same weight. Any other drift leaves the
    expectation as it is, but a guide that leads all paths into one of several valleys hides the others from the error
    bar; where the data have several, compare with a run without a guide.
    """

    @abc.abstractmethod
    def pilot(
        self, law: Law, scheme: AbstractScheme, t: Scalar, x: Point, steps: int, key: PRNGKeyArray
    ) -> Float[Array, "steps k"]:
        """What is found once for each point x, before its paths are drawn."""

    @abc.abstractmethod
    def shift(self, law: Law, t: Scalar, found: Array, steps: int) -> Callable[[Scalar, Scalar, Array], Array]:
        """`(j, t − s, X [d, n]) -> [k, 1 or n]`: the mean of the normals of step j, a√(dt)/√(2ε)."""


class OpenLoop(AbstractGuide):
    """The best drift that depends on time alone: it minimises E[g + ∫(V + |a|²/(4c)) ds], an upper bound of u.

    For b = V = 0 it centres the samples near the Hopf-Lax minimiser, smoothed over the noise. `samples` antithetic
    paths, the same for every trial, make a smooth objective for `iterations` of L-BFGS, so that thousands of components
    are found without noise of their own.
    Source: Boué & Dupuis 1998, doi:10.1214/aop/1022855876 (the variational formula).
    """

    samples: int = eqx.field(static=True)
    iterations: int = eqx.field(static=True)

    def __init__(self, samples: int = 64, iterations: int = 30):
        require(
            samples >= 2 and samples % 2 == 0, f"`samples` must be even and >= 2; got {samples}. They come in pairs."
        )
        require(iterations >= 1, f"`iterations` must be >= 1; got {iterations}.")
        self.samples, self.iterations = samples, iterations

    def pilot(
        self, law: Law, scheme: AbstractScheme, t: Scalar, x: Point, steps: int, key: PRNGKeyArray
    ) -> Float[Array, "steps k"]:
        """The means μ `[steps, k]` of the normals."""
        import optax

        half = jax.random.normal(key, (steps, law.noises, self.samples // 2), x.dtype)
        normals = jnp.concatenate([half, -half], axis=-1)

        def bound(means: Array) -> Scalar:
            cost = simulate(law, scheme, t, x, normals + means[:, :, None])[0]
            # in units of ε/c, in which the paths' own distribution has curvature 1
            return jnp.mean(cost) / law.scale + jnp.sum(means**2) / 2

        optimiser = optax.lbfgs()
        evaluate = optax.value_and_grad_from_state(bound)

        def improve(_: int, carry: tuple[Array, optax.OptState]) -> tuple[Array, optax.OptState]:
            means, state = carry
            value, gradient = evaluate(means, state=state)
            updates, state = optimiser.update(gradient, state, means, value=value, grad=gradient, value_fn=bound)
            return optax.apply_updates(means, updates), state

        start = jnp.zeros((steps, law.noises), x.dtype)
        found = jax.lax.fori_loop(0, self.iterations, improve, (start, optimiser.init(start)))[0]
        return jnp.where(jnp.all(jnp.isfinite(found)), found, 0.0)

    def shift(self, law: Law, t: Scalar, found: Array, steps: int) -> Callable[[Scalar, Scalar, Array], Array]:
        """Row j, for every path."""
        return lambda j, now, place: jax.lax.stop_gradient(found)[j.astype(int)][:, None]


class Feedback(AbstractGuide):
    """The drift −2c∇v(t − s, X) of a coarse solution v: `gradient(t, x [d]) -> [d]`.

    Any callable serves, such as `coarse.gradient_at` of another method's solution, or `jax.grad(v, 1)` of a formula. It
    is read at every step of every path.
    """

    gradient: Callable[[Scalar, Point], Point]

    def pilot(
        self, law: Law, scheme: AbstractScheme, t: Scalar, x: Point, steps: int, key: PRNGKeyArray
    ) -> Float[Array, "steps k"]:
        """Nothing to find."""
        return jnp.zeros((steps, law.noises), x.dtype)

    def shift(self, law: Law, t: Scalar, found: Array, steps: int) -> Callable[[Scalar, Scalar, Array], Array]:
        """−2c∇v √dt/√(2ε), frozen: with an adapted drift held fixed, the gradient in x is unbiased too."""
        assert law.c is not None and law.epsilon is not None
        factor = -2 * law.c * root(t / steps) / jnp.sqrt(2 * law.epsilon)
        slope = jax.vmap(self.gradient, in_axes=(None, 1), out_axes=1)
        return lambda j, now, place: jax.lax.stop_gradient(factor * slope(now, place))


class AbstractControl(eqx.Module):
    """A control variate: a cost at the end of the same paths for which u is known."""

    @abc.abstractmethod
    def surrogate(
        self, law: Law, t: Scalar, centre: Point
    ) -> tuple[Callable[[Array], Array], Callable[[Scalar, Point], Scalar]]:
        """q on `[d, n] -> [n]`, and its solution (t, x) ↦ u_q, for paths that end about `centre`."""


class QuadraticControl(AbstractControl):
    """A quadratic q(y) = p·y + ½yᵀAy with the mean slope p and curvature A of g over the width √(2εt) of the samples.

    Its solution is closed: `u_q = q(x) − ct rᵀ(I + 2ctA)⁻¹r + (ε/2c) log det(I + 2ctA)`, r = ∇q(x) (the negative part
    of A left out); without |p|², `u_q = q(x) + εt tr A`. The means are over `samples` antithetic points. Needs paths
    without drift and constant ε. Pays where g is smooth over the width of the samples. Cost d³ + samples·d² a point.
    Source: Glasserman, *Monte Carlo Methods in Financial Engineering*, 4.1 (control variates).
    """

    samples: int = eqx.field(static=True)

    def __init__(self, samples: int = 32):
        require(
            samples >= 2 and samples % 2 == 0, f"`samples` must be even and >= 2; got {samples}. They come in pairs."
        )
        self.samples = samples

    def surrogate(
        self, law: Law, t: Scalar, centre: Point
    ) -> tuple[Callable[[Array], Array], Callable[[Scalar, Point], Scalar]]:
        """The quadratic with its coefficients frozen, so that it is one function for every x nearby."""
        assert law.epsilon is not None

        def g(y: Point) -> Scalar:
            return law.data(y[:, None])[0]

        # any fixed points will do: the key decides which quadratic is taken, not what is estimated
        half = jax.random.normal(jax.random.key(0), (self.samples // 2, centre.shape[0]), centre.dtype)
        width = root(2 * law.epsilon * t)
        around = jax.lax.stop_gradient(centre + width * jnp.concatenate([half, -half]))
        slope = jax.lax.stop_gradient(jnp.mean(jax.vmap(jax.grad(g))(around), axis=0))
        hessian = jax.lax.stop_gradient(jnp.mean(jax.lax.map(jax.hessian(g), around), axis=0))
        centre = jax.lax.stop_gradient(centre)
        values, vectors = jnp.linalg.eigh(hessian)
        curvatures = jnp.maximum(values, 0.0) if law.c is not None else values

        def q(y: Array) -> Array:
            away = y - centre[:, None]
            turned = vectors.T @ away
            return slope @ away + 0.5 * curvatures @ turned**2

        def solution(t: Scalar, x: Point) -> Scalar:
            assert law.epsilon is not None
            value = q(x[:, None])[0]
            if law.c is None:
                return value + law.epsilon * t * jnp.sum(curvatures)
            r = vectors.T @ slope + curvatures * (vectors.T @ (x - centre))
            growth = 1 + 2 * law.c * t * curvatures
            return value - law.c * t * jnp.sum(r**2 / growth) + law.scale / 2 * jnp.sum(jnp.log(growth))

        return q, solution
