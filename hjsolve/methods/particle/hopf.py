"""The Hopf formula: convex data and any H(p) without viscosity, one maximisation per point."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import check_range, concrete, require, whole_number
from ...problem import Problem
from ...problem.hamiltonians import (
    AbstractHamiltonian,
    Linear,
    WithDrift,
    WithPotential,
    WithSource,
)
from ...problem.initials import Atoms
from ...results import RESULTS
from ...typing import Array, Float, Function, Point, Points, PRNGKeyArray, Scalar
from ..base import AbstractRepresentation, Evaluation
from .convex.control import Control
from .convex.kinks import MOST_CONTROLS, compass, descend
from .convex.panoc import Minimum, panoc
from .inviscid import default_tolerance, poison, require_inviscid
from .starts import in_box, map_blocks, spread

_SCREENED = 16
_PAIRS = 64
"""Pairs of points between which convexity is tried."""


class _Found(NamedTuple):
    y: Points
    p: Points
    residual: Array
    agreement: Array


class Hopf(AbstractRepresentation):
    """u(t, x) = sup_p p·x − g*(p) − tH(p), the solution of `u_t + H(∇u) = 0` for convex g and any continuous H.

    With p = ∇g(y), g*(p) = p·y − g(y), the maximum runs over y: u = max_y g(y) + ∇g(y)·(x − y) − tH(∇g(y)). H need not
    be convex; g must be convex (tried on 64 pairs of points of the domain, else trusted), smooth and with a gradient
    that reaches the maximiser p.

    Each point runs `starts` ascents (PANOC) from the best of 16 places per start in the domain, widened to the point,
    and keeps the highest. Where H is not convex only the best of the starts is known. In d <= 6 the best is taken
    on by searches that serve kinks of H at the maximiser. `stats`, all `[m]`: `residual`,
    |x − y − t∇H(p)|, which is 0 at a smooth maximiser; `agreement`, the share of starts that reach the same u. In
    d > 6 a residual above √`tolerance`·(1 + |x|) is `RESULTS.not_converged` (default tolerance 4e-11 in float64, 2e-5
    in float32). ∇u = p; u is differentiable once in t, x and all parameters, at the fixed maximiser; second derivatives
    are not provided: do not use the zeros that come out.

    Raises `ValueError` for viscosity, `Atoms`, periodic domains, H that depends on t or x, and data seen not to be
    convex. Cost per point and start: an iteration takes two Hessian-vector products of g. Sources: Bardi & Evans 1984,
    doi:10.1016/0362-546X(84)90020-8; Darbon & Osher 2016, arXiv 1605.01799.
    """

    starts: int = eqx.field(static=True)
    max_iterations: int = eqx.field(static=True)
    tolerance: Array | None

    def __init__(self, starts: int = 16, max_iterations: int = 500, tolerance: float | None = None):
        self.starts = whole_number("starts", starts, least=1, remedy="Wells of data need more of them.")
        self.max_iterations = whole_number("max_iterations", max_iterations, least=1, remedy="The default is 500.")
        self.tolerance = None if tolerance is None else jnp.asarray(tolerance, float)
        if tolerance is not None:
            check_range("tolerance", tolerance, above=0.0, remedy="None is the precision's own limit.")

    def check(self, problem: Problem) -> None:
        """Refuse viscosity, H that depends on t or x, periodic domains, atoms, and data seen not to be convex."""
        require_inviscid(problem, "Hopf")
        hamiltonian = problem.hamiltonian
        moving = isinstance(hamiltonian, WithDrift | WithPotential | WithSource)
        moving = moving or (isinstance(hamiltonian, Linear) and callable(hamiltonian.field))
        require(
            not moving and not _depends_on_place(problem),
            f"Hopf needs a `hamiltonian` of p alone; {type(hamiltonian).__name__} depends on t or x. Use "
            "Characteristics or hj.methods.grid.FiniteDifference.",
        )
        require(
            not isinstance(problem.initial, Atoms) and not any(problem.domain.periodic),
            "Hopf needs `initial` to be a smooth convex function on a Box. For Atoms and on a torus use HopfLax.",
        )
        _check_convex(problem)

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> Float[Array, "n d"]:
        """Where the ascents may begin, relative to the domain."""
        key = jax.random.key(0) if key is None else key
        return spread(key, _SCREENED * self.starts, problem.dimension)

    def evaluate(
        self, problem: Problem, t: Scalar, state: Array, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U and ∇u = p at `points`."""
        assert points is not None, "Hopf has no nodes; solve() refuses points=None"
        assert not isinstance(problem.initial, Atoms)
        arrays, rest = eqx.partition((problem, t, points), eqx.is_array)
        held = eqx.combine(jax.lax.stop_gradient(arrays), rest)
        found = jax.lax.stop_gradient(self._maximise(held[0], held[1], held[2], state))
        g, p, y = problem.initial, found.p, found.y
        u = jnp.sum(p * (points - y), axis=1) + jax.vmap(g)(y) - t * problem.hamiltonian(t, points.T, p.T)
        ended = jnp.all(self._smooth(found.residual, points)) | (problem.dimension <= MOST_CONTROLS)
        result = RESULTS.where(ended, RESULTS.successful, RESULTS.not_converged)
        stats = {"residual": found.residual, "agreement": found.agreement}
        return Evaluation(poison(problem, u), p, result, stats)

    def equation(self, problem: Problem, state: Array | None = None) -> Problem:
        """The problem itself."""
        return problem

    def _tolerance(self, like: Array) -> Scalar:
        return default_tolerance(like) if self.tolerance is None else self.tolerance.astype(like.dtype)

    def _maximise(self, problem: Problem, t: Scalar, points: Points, state: Array) -> _Found:
        lower = jnp.minimum(jnp.asarray(problem.domain.lower), jnp.min(points, axis=0))
        upper = jnp.maximum(jnp.asarray(problem.domain.upper), jnp.max(points, axis=0))
        candidates = in_box(state, lower, upper)

        def block(xs: Points) -> _Found:
            results = jax.vmap(lambda x: self._search(problem, t, x, candidates))(xs)
            if problem.dimension > MOST_CONTROLS:
                return results
            rough = ~self._smooth(results.residual, xs)

            def polish() -> _Found:
                polished = jax.vmap(lambda x, found: _at_kink(problem, t, x, found))(xs, results)
                return jax.tree.map(
                    lambda new, old: jnp.where(rough.reshape((-1,) + (1,) * (new.ndim - 1)), new, old),
                    polished,
                    results,
                )

            return jax.lax.cond(jnp.any(rough), polish, lambda: results)

        return map_blocks(block, points, self.starts)

    def _smooth(self, residual: Array, points: Points) -> Array:
        return residual <= jnp.sqrt(self._tolerance(residual)) * (1 + jnp.max(jnp.abs(points), axis=1))

    def _search(self, problem: Problem, t: Scalar, x: Point, candidates: Points) -> _Found:
        assert not isinstance(problem.initial, Atoms)
        depth = _depth(problem.hamiltonian, problem.initial, t, x)
        begins = jnp.concatenate([x[None], candidates])
        heights = jax.vmap(depth)(begins)
        heights = jnp.where(jnp.isfinite(heights), heights, jnp.inf)
        begins = begins[jax.lax.top_k(-heights, self.starts)[1]]
        tolerance = self._tolerance(x)
        precise = jnp.sqrt(jnp.finfo(x.dtype).eps)

        def finished(value: Scalar, gap: Scalar, residual: Array, gradient: Array) -> Array:
            return jnp.max(jnp.abs(residual)) <= precise * (1 + jnp.abs(value))

        def run(y: Point) -> Minimum:
            return panoc(jax.value_and_grad(depth), _free, _zero, y, finished, self.max_iterations)

        ends = jax.vmap(run)(begins)
        values = jnp.where(jnp.isfinite(ends.value), ends.value, jnp.inf)
        best = jnp.argmin(values)
        y, u = ends.z[best], -values[best]
        agreement = jnp.mean(-values >= u - jnp.sqrt(tolerance) * (1 + jnp.abs(u)))
        return _at(problem, t, x, y, agreement)


def _at(problem: Problem, t: Scalar, x: Point, y: Point, agreement: Scalar) -> _Found:
    assert not isinstance(problem.initial, Atoms)
    p = jax.grad(problem.initial)(y)
    residual = jnp.max(jnp.abs(x - y - t * problem.hamiltonian.velocity(t, x, p)))
    return _Found(y, p, residual, agreement)


def _at_kink(problem: Problem, t: Scalar, x: Point, found: _Found) -> _Found:
    """The search taken on for kinks of H, from where it stopped: by the compass, then along hulls of gradients."""
    assert not isinstance(problem.initial, Atoms)
    depth = _depth(problem.hamiltonian, problem.initial, t, x)
    y = compass(depth, found.y, 1e-2 * (1 + jnp.max(jnp.abs(found.y))))
    one = jnp.ones((), x.dtype)
    everywhere = Control(size=len(x), steer=jnp.negative, proximal=_free, conjugate=_zero, best=jnp.zeros_like)
    # With controls −y from x = 0 at time 1 the objective of the search is the depth alone, which nothing certifies.
    end = descend(everywhere, jax.value_and_grad(depth), jnp.zeros_like(x), one, y, -one * jnp.inf)
    return _at(problem, t, x, end.z, found.agreement)


def _free(a: Array, step: Scalar) -> tuple[Array, Scalar]:
    return a, jnp.zeros((), a.dtype)


def _zero(eta: Array) -> Scalar:
    return jnp.zeros((), eta.dtype)


def _depth(hamiltonian: AbstractHamiltonian, g: Function, t: Scalar, x: Point) -> Function:
    """y ↦ −[g(y) + ∇g(y)·(x − y) − tH(∇g(y))]."""

    def depth(y: Point) -> Scalar:
        value, p = jax.value_and_grad(g)(y)
        return t * hamiltonian(t, x, p) - value - jnp.sum(p * (x - y))

    return depth


def _depends_on_place(problem: Problem) -> bool:
    """Whether H reads t or x, seen from its computation: they then reach the output."""
    d = problem.dimension
    p = jax.ShapeDtypeStruct((d,), jnp.result_type(float))
    t = jax.ShapeDtypeStruct((), p.dtype)
    jaxpr = eqx.filter_make_jaxpr(lambda t, x, p: problem.hamiltonian(t, x, p))(t, p, p)[0].jaxpr
    reached = {jaxpr.invars[0], jaxpr.invars[1]}
    for equation in jaxpr.eqns:
        if any(v in reached for v in equation.invars if not hasattr(v, "val")):
            reached |= set(equation.outvars)
    return any(v in reached for v in jaxpr.outvars if not hasattr(v, "val"))


def _check_convex(problem: Problem) -> None:
    lower, upper = concrete(problem.domain.lower), concrete(problem.domain.upper)
    if lower is None or upper is None:
        return
    rng = np.random.default_rng(0)
    a, b = (jnp.asarray(rng.uniform(lower, upper, size=(_PAIRS, len(lower)))) for _ in range(2))
    assert not isinstance(problem.initial, Atoms)
    g = jax.vmap(problem.initial)
    ends, middle = (g(a) + g(b)) / 2, g((a + b) / 2)
    rise, size = concrete(middle - ends), concrete(jnp.abs(middle) + jnp.abs(ends))
    if rise is None or size is None:
        return
    require(
        (rise <= 1e-5 * (1 + size)).all(),
        f"`initial` must be convex for Hopf; between two points of the domain it rises {rise.max():.3g} above its "
        "chord. For convex H use HopfLax, else hj.methods.grid.FiniteDifference.",
    )
