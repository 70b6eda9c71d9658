"""Feynman-Kac: u and ∇u at single points, in any dimension, as averages over paths."""

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import check_kind, check_range, require, whole_number
from ...problem import Problem
from ...problem.hopf_cole import check_periodic_data, parts
from ...problem.initials import Atoms
from ...problem.viscosities import Constant, Numerical
from ...results import RESULTS
from ...typing import Array, Float, Point, Points, PRNGKeyArray, Scalar
from ..base import AbstractRepresentation, Evaluation
from .moments import AbstractAverage, Batch, Mean, Merged, SoftMinimum
from .noise import AbstractNoise, Sobol
from .paths import AbstractScheme, EulerMaruyama, Heun, Law, law_of, linear_parts, root, simulate
from .variance import AbstractControl, AbstractGuide

_FEWEST = 50
"""Effective samples below which the error bar itself is not to be trusted."""


class FeynmanKac(AbstractRepresentation):
    """u = −(ε/c) log E[exp(−(c/ε)(g(X_t) + ∫V(X_s) ds))], dX = −b(t−s, X) ds + √(2ε) dW, X_0 = x.

    Solves `H = c|p|² + b(t,x)·p − V(x)` with constant ε > 0, and the linear `H = b·p − V` with any viscosity, where
    u = E[g(X_t) + ∫V ds]. The optimal control of the stochastic control problem behind the equation is −2c∇u.

    **Arguments.** `samples` paths a point, in `batches` that are drawn independently of each other; `steps` in time
    (one exact step where b = V = 0 and ε is constant). `noise`: scrambled `Sobol` bridges, `Antithetic` or
    `Independent`. `scheme`: default `Heun`, weak order 2 in t/steps, or `EulerMaruyama`, order 1, for varying
    viscosity. `guide` adds a drift with its Girsanov weight (`OpenLoop`, `Feedback`): needed once osc(g) >> ε.
    `control` subtracts a control variate (`QuadraticControl`).

    ∇u is the derivative of the estimate itself along the paths, Σ π_i ∇(g + ∫V)_i: for Lipschitz data it has a smaller
    variance than the likelihood-ratio (Bismut-Elworthy) weight Σ π_i (x − X_t)_i/(2ct), whose variance grows like ε/t
    as t → 0. All points share their random numbers, so that u is smooth in x.

    **Errors.** Statistical: `stats["standard_error"]` of u, per point, by the delta method from batches (Sobol) or from
    single paths and pairs; bias O(1/samples). `stats["effective_sample_size"]` counts the paths that carry weight;
    below 50 the result is `RESULTS.under_sampled`, with a warning: u is then too high and the standard error means
    nothing. Time step: O((t/steps)²), or O(t/steps) for Euler-Maruyama.
    Cost O(m · samples · steps · d) and the evaluations of b, V and g; memory O(samples/batches · steps · d).
    Use it for few points in many dimensions; in d <= 3 without a drift HopfCole is exact and faster.
    Source: Kappen 2005, doi:10.1088/1742-5468/2005/11/P11011; Fleming & Soner, *Controlled Markov Processes*, VI.
    """

    samples: int = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    batches: int = eqx.field(static=True)
    noise: AbstractNoise
    scheme: AbstractScheme | None
    guide: AbstractGuide | None
    control: AbstractControl | None

    def __init__(
        self,
        samples: int = 16384,
        *,
        steps: int = 32,
        batches: int = 16,
        noise: AbstractNoise | None = None,
        scheme: AbstractScheme | None = None,
        guide: AbstractGuide | None = None,
        control: AbstractControl | None = None,
    ):
        self.samples = whole_number("samples", samples, least=4, remedy="The error falls like 1/√samples or faster.")
        self.steps = whole_number("steps", steps, least=1, remedy="More steps lower the error in time.")
        self.batches = whole_number("batches", batches, least=2, remedy="Their spread gives the standard error.")
        require(
            samples % batches == 0,
            f"`samples` must be a multiple of `batches`; got {samples} and {batches}. Powers of two serve every noise.",
        )
        for argument, value, kind, home in (
            ("noise", noise, AbstractNoise, "noise"),
            ("scheme", scheme, AbstractScheme, "paths"),
            ("guide", guide, AbstractGuide, "variance"),
            ("control", control, AbstractControl, "variance"),
        ):
            check_kind(argument, value, kind, f"hj.methods.particle.{home}")
        self.noise = Sobol() if noise is None else noise
        self.scheme, self.guide, self.control = scheme, guide, control

    def check(self, problem: Problem) -> None:
        """Refuse what is neither c|p|² + b·p − V with constant ε > 0 nor b·p − V, and parts that do not fit."""
        hamiltonian, viscosity = problem.hamiltonian, problem.viscosity
        quadratic, linear = parts(hamiltonian), linear_parts(hamiltonian)
        require(
            quadratic is not None or linear is not None,
            "FeynmanKac needs `hamiltonian` = Quadratic(c) or Linear(b), with WithDrift and WithPotential of it; got "
            f"{type(hamiltonian).__name__}. Train a DeepBSDE, or use hj.methods.grid.FiniteDifference.",
        )
        require(
            not isinstance(problem.initial, Atoms),
            "FeynmanKac needs `initial` to be a function; got Atoms, whose average is the sum that HopfCole computes.",
        )
        constant = isinstance(viscosity, Constant)
        if quadratic is not None:
            require(
                constant,
                f"FeynmanKac needs a constant `viscosity` for c|p|²; got {type(viscosity).__name__}. Train a DeepBSDE.",
            )
            check_range(
                "viscosity",
                viscosity.epsilon if isinstance(viscosity, Constant) else 1.0,
                above=0.0,
                remedy="At 0 the average is a minimum: use HopfLax.",
            )
        else:
            require(self.guide is None, "`guide` needs c|p|² in the Hamiltonian: b·p − V has no control. Leave it out.")
            require(
                not isinstance(viscosity, Numerical),
                "`viscosity` depends on ∇u and has no particle noise. Use the problem's own.",
            )
        scheme = self._scheme(problem)
        require(
            constant or not scheme.additive,
            f"{type(scheme).__name__} needs a constant `viscosity`; got {type(viscosity).__name__}. Use EulerMaruyama.",
        )
        found = quadratic or linear
        assert found is not None
        require(
            self.control is None or (constant and not found.drifts),
            "`control` needs a constant `viscosity` and no drift, so that its solution is known. Leave it out.",
        )
        law = law_of(problem)
        self.noise.check(self._steps(law), law.noises, self.samples // self.batches)
        check_periodic_data(problem, "FeynmanKac")

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> None:
        """Nothing is shared between times."""

    def evaluate(
        self, problem: Problem, t: Scalar, state: None, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U and ∇u at `points` with `standard_error` and `effective_sample_size` `[m]` in the stats."""
        assert points is not None and key is not None, "FeynmanKac has no nodes; solve() gives points and a key"
        law, scheme = law_of(problem), self._scheme(problem)
        average: AbstractAverage = Mean() if law.c is None else SoftMinimum(law.scale)
        steps, n = self._steps(law), self.samples // self.batches
        pilot_key, key = jax.random.split(key)
        guides = self._pilots(law, scheme, t, points, pilot_key)

        @jax.checkpoint
        def batch(key: PRNGKeyArray) -> tuple[Batch, Array]:
            normals = self.noise.draw(key, steps, law.noises, n)

            def at(inputs: tuple[Point, Array]) -> tuple[Batch, Array]:
                def averages(x: Point) -> tuple[Array, Batch]:
                    found = self._batch(law, scheme, average, t, x, normals, inputs)
                    return found.value, found

                (_, pullback, found) = jax.vjp(averages, inputs[0], has_aux=True)
                slopes = jax.vmap(pullback)(jnp.eye(found.value.shape[0], dtype=points.dtype))[0]
                return found, slopes

            return jax.lax.map(at, (points, guides))

        batches, slopes = jax.lax.map(batch, jax.random.split(key, self.batches))
        merged = _per_point(average, batches, n // self.noise.group(n))
        gradients = jnp.einsum("mbr,bmrd->mrd", merged.weights, slopes) / self.batches
        effective = self.samples / (1 + merged.spread)
        u, gradient, variance = self._controlled(law, t, points, guides, merged, gradients, effective)
        result = RESULTS.where(jnp.min(effective[:, 0]) < _FEWEST, RESULTS.under_sampled, RESULTS.successful)
        stats = {"standard_error": root(variance), "effective_sample_size": effective[:, 0]}
        return Evaluation(u, gradient, result, stats)

    def equation(self, problem: Problem, state: None = None) -> Problem:
        """The problem itself."""
        return problem

    def _scheme(self, problem: Problem) -> AbstractScheme:
        if self.scheme is not None:
            return self.scheme
        return Heun() if isinstance(problem.viscosity, Constant) else EulerMaruyama()

    def _steps(self, law: Law) -> int:
        return 1 if law.free else self.steps

    def _pilots(
        self, law: Law, scheme: AbstractScheme, t: Scalar, points: Points, key: PRNGKeyArray
    ) -> Float[Array, "m steps k"]:
        steps, guide = self._steps(law), self.guide
        if guide is None:
            return jnp.zeros((points.shape[0], 1, law.noises), points.dtype)
        found = jax.lax.map(lambda x: guide.pilot(law, scheme, t, x, steps, key), jax.lax.stop_gradient(points))
        return jax.lax.stop_gradient(found)

    def _batch(
        self,
        law: Law,
        scheme: AbstractScheme,
        average: AbstractAverage,
        t: Scalar,
        x: Point,
        normals: Array,
        inputs: tuple[Point, Array],
    ) -> Batch:
        """The averages over one batch of paths from x, those of the control variate beside those of the cost."""
        place, found = inputs
        steps, _, n = normals.shape
        shift = None if self.guide is None else self.guide.shift(law, t, found, steps)
        cost, ratio, end = simulate(law, scheme, t, x, normals, shift)
        costs = [cost]
        if self.control is not None:
            costs.append(self.control.surrogate(law, t, _centre(law, t, place, found))[0](end))
        return average.batch(jnp.stack(costs), ratio, self.noise.group(n))

    def _controlled(
        self, law: Law, t: Scalar, points: Points, guides: Array, merged: Merged, gradients: Array, effective: Array
    ) -> tuple[Array, Array, Array]:
        """U, ∇u and the variance of u, with the control's known error subtracted at the best factor β.

        β = 0 where the control itself is under-sampled: its own bias would be carried over.
        """
        values, covariance = merged.value, merged.covariance
        if self.control is None:
            return values[:, 0], gradients[:, 0], covariance[:, 0, 0]
        control = self.control

        def exact(inputs: tuple[Point, Array]) -> tuple[Scalar, Array]:
            x, found = inputs
            solution = control.surrogate(law, t, _centre(law, t, x, found))[1]
            return jax.value_and_grad(lambda y: solution(t, y))(x)

        known, slopes = jax.lax.map(exact, (points, guides))
        tiny = jnp.finfo(points.dtype).tiny
        beta = jax.lax.stop_gradient(covariance[:, 0, 1] / jnp.maximum(covariance[:, 1, 1], tiny))
        beta = jnp.where(effective[:, 1] < _FEWEST, 0.0, beta)
        u = values[:, 0] - beta * (values[:, 1] - known)
        gradient = gradients[:, 0] - beta[:, None] * (gradients[:, 1] - slopes)
        return u, gradient, jnp.maximum(covariance[:, 0, 0] - beta * covariance[:, 0, 1], 0.0)


def _per_point(average: AbstractAverage, batches: Batch, groups: int) -> Merged:
    """Merge leaves `[B, m, ...]` point by point."""

    def merge(found: Batch) -> Merged:
        return average.merge(found, groups)

    return jax.vmap(merge, in_axes=1)(batches)


def _centre(law: Law, t: Scalar, x: Point, found: Array) -> Point:
    """Where guided paths without drift end, in the mean."""
    assert law.epsilon is not None
    return x + root(2 * law.epsilon * t / found.shape[0]) * jnp.sum(found, axis=0)
