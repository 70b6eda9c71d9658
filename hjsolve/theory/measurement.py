"""The equation of a black box: H and ε regressed from what one step of it does to smooth periodic fields."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import t as student

from ..checks import check_range, concrete, counts, number, require, whole_number
from ..kernels.interpolate import interpolate
from ..methods.base import AbstractEvolution, AbstractRepresentation
from ..methods.network.fourier_grid import FourierGrid
from ..problem import Problem
from ..problem.initials import Atoms
from ..results import HJWarning
from ..solve import cast
from ..typing import Array, ArrayLike, Float, Scalar, Values, Vectors

_Table: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

_LEVEL = 0.95
_UNEXPLAINED = 0.1
"""The residual above which a measured equation is warned of."""
_SEEN = 0.5
"""Hats that fewer nodes than this have touched, in sum, say nothing."""


class MeasuredEquation(eqx.Module):
    """`u_t + Ĥ(∇u) − v̂ V = ε̂ Δu`, as a method was seen to solve it.

    `slopes` are the knots `[K]` of each axis, `hamiltonian_curve` Ĥ there `[K, ..., K]`, poor at the last knots, of few
    data, and NaN where none came near.
    `viscosity` is ε̂, averaged over the data where it depends on |∇u|: ε̂(p) = Σ_j `viscosity_terms`_j |p|^{2j}.
    The average is over all nodes of all samples. `viscosity_interval` is ε̂ and its 95 % interval over independent
    samples: of chance alone, not of a bias of order Δt² or of terms that neither H nor ε has, which with exact and many
    samples is the larger of the two. `potential` is v̂, 0 without one.
    `residual` is what this equation does not explain of u_t, relative, in the mean square.
    """

    slopes: Float[Array, "d K"]
    hamiltonian_curve: Array
    viscosity: float
    viscosity_interval: tuple[float, float]
    viscosity_terms: Float[Array, "J"]
    potential: float
    residual: float

    def hamiltonian(self, p: Vectors) -> Values:
        """Ĥ `[...]` at slopes p `[d, ...]`, linear between the knots."""
        lower, spacing = self.slopes[:, 0], self.slopes[:, 1] - self.slopes[:, 0]
        points = p.reshape(len(p), -1).T
        flat = interpolate(self.hamiltonian_curve, lower, spacing, (False,) * len(p), points, order=1)
        return flat.reshape(p.shape[1:])


def measure_equation(
    method: AbstractEvolution | AbstractRepresentation,
    samples: Sequence[Problem],
    *,
    time: ArrayLike = 0.0,
    dt: ArrayLike | None = None,
    cells: int | tuple[int, ...] | None = None,
    knots: int | None = None,
    viscosity_terms: int = 1,
    potential: Callable[[Vectors], Values] | None = None,
) -> MeasuredEquation:
    """Regress (u₁ − u₀)/Δt on −Ĥ(∇u), ε̂ Δu and v̂ V at ū = (u₀ + u₁)/2, over all nodes of all `samples`.

    `samples` are problems on one torus that differ in the numbers of their data (and are alike otherwise), smooth
    enough for their derivatives to be taken by Fourier transform; u₀ is the method's solution at `time`, which a method
    that steps reaches by its longest stable steps, u₁ one step later: of length `dt`, by default the longest stable
    step of all samples. A representation (such as `Attention`) has no steps and no nodes, and needs `dt` and `cells`;
    any map of node values is a method by `network.BlackBox(map, cells, dt=...)`. Ĥ is linear between
    `knots` an axis (default 41 in 1-D, 13 in 2-D) over the slopes that occur; ε̂ has `viscosity_terms` terms in |∇u|².
    The difference quotient at the midpoint is that of an equation to O(Δt²), so that of a first-order Lax-Friedrichs
    scheme this is `ε + αΔx/2 − (Δt/2)H'(u_x)²`.

    Warns where the equation found leaves a tenth of u_t unexplained, as over a step that is long for its fields (the
    longest stable step of an SSM is the horizon: give `dt`). The interval is of the spread between samples alone, and
    not of terms that neither H nor ε has.

    Raises `ValueError` for fewer than 2 samples, another kind of domain, and samples that differ in more than data.
    """
    problems = _stacked(samples)
    first = samples[0]
    d = first.dimension
    begin, grid = _checked(method, first, time, dt, cells)
    whole_number("viscosity_terms", viscosity_terms, least=1, remedy="1 is a constant ε.")
    count = {1: 41, 2: 13}.get(d, 7) if knots is None else whole_number("knots", knots, least=3, remedy="Per axis.")
    before, after, step = _stepped(method, problems, begin, None if dt is None else number("dt", dt), grid)
    middle = (before + after) / 2
    rate = np.asarray((after - before) / step, np.float64)
    require(
        np.isfinite(rate).all(),
        "the method's step is not finite on all samples. Give a smaller `dt`, or a `time` > 0 if it is singular at 0.",
    )
    slopes, laplacian = (np.asarray(a, np.float64) for a in jax.vmap(lambda u: _derivatives(grid, u))(middle))
    slopes = np.moveaxis(slopes, 1, -1).reshape(len(rate), -1, d)
    fixed = [np.sum(slopes**2, axis=-1) ** j * laplacian.reshape(len(rate), -1) for j in range(viscosity_terms)]
    if potential is not None:
        fixed.append(np.broadcast_to(potential(grid.points.T), fixed[0].shape))
    low, high = slopes.min(axis=(0, 1)), slopes.max(axis=(0, 1))
    require((high > low).all(), "`samples` must have slopes: all of these are constant.")
    found = _regress(slopes, np.stack(fixed, axis=-1), rate.reshape(len(rate), -1), low, high, count)
    if found.residual > _UNEXPLAINED:
        warnings.warn(
            f"measure_equation: the equation found leaves {found.residual:.0%} of u_t unexplained: H and ε say little. "
            f"Give a smaller `dt` than {float(step):.3g}, a later `time`, or smoother samples; a network may need more "
            "training.",
            HJWarning,
            stacklevel=2,
        )
    return _summary(found, slopes, fixed[0], np.linspace(low, high, count).T, viscosity_terms)


class _Fit(NamedTuple):
    coefficients: _Table
    covariance: _Table
    touched: _Table
    residual: float
    knots: int


def _stacked(samples: Sequence[Problem]) -> Problem:
    require(
        len(samples) >= 2, f"`samples` must hold at least 2 problems, whose spread is the error; got {len(samples)}."
    )
    arrays, statics = zip(*(eqx.partition(sample, eqx.is_array_like) for sample in samples), strict=True)
    require(
        all(eqx.tree_equal(static, statics[0]) is True for static in statics),
        "`samples` must be problems that differ in numbers alone. Write their data as one function with arrays: "
        "hj.initials.Custom(eqx.Partial(function, numbers)).",
    )
    for name in ("hamiltonian", "viscosity", "domain"):
        parts = [jax.tree.leaves(eqx.filter(getattr(sample, name), eqx.is_array_like)) for sample in samples]
        known = [[concrete(leaf) for leaf in part] for part in parts]
        same = all(
            a is None or b is None or np.array_equal(a, b)
            for part in known
            for a, b in zip(part, known[0], strict=True)
        )
        require(same, f"`samples` must be problems of one `{name}`: only their data may differ.")
    stacked: Problem = eqx.combine(jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays), statics[0])
    return cast(stacked, jnp.result_type(float))


def _checked(
    method: Any, problem: Problem, time: ArrayLike, dt: ArrayLike | None, cells: int | tuple[int, ...] | None
) -> tuple[Scalar, FourierGrid]:
    d = problem.dimension
    require(all(problem.domain.periodic), "`samples` must live on a torus: derivatives are taken by Fourier transform.")
    require(not isinstance(problem.initial, Atoms), "`samples` must have functions as data; got Atoms.")
    begin = jnp.asarray(number("time", time), jnp.result_type(float))
    check_range("time", begin, least=0.0, remedy="When the step begins.")
    if isinstance(method, AbstractEvolution):
        require(cells is None, "`cells` belongs to representations: this method has nodes of its own.")
        x = np.asarray(method.nodes(problem))
        shape = tuple(len(np.unique(np.round(x[:, k], 12))) for k in range(d))
    elif isinstance(method, AbstractRepresentation):
        require(
            dt is not None and cells is not None, "`dt` and `cells` are needed for a method without steps and nodes."
        )
        assert cells is not None
        given = counts("cells", cells)
        shape = (given,) * d if isinstance(given, int) else given
    else:
        raise TypeError(
            f"`method` must be a method of hj.methods; got {type(method).__name__}. Of a map of node values make one: "
            "hj.methods.network.BlackBox(map, cells, dt=...)."
        )
    if dt is not None:
        check_range("dt", number("dt", dt), above=0.0, remedy="The length of the step.")
    method.check(problem)
    return begin, FourierGrid(cast(problem, jnp.result_type(float)).domain, shape)


@eqx.filter_jit
def _stepped(
    method: AbstractEvolution | AbstractRepresentation,
    problems: Problem,
    begin: Scalar,
    dt: Array | None,
    grid: FourierGrid,
) -> tuple[Array, Array, Scalar]:
    """u₀ and u₁ `[samples, n_1, ..., n_d]`, and the step."""
    method = cast(method, begin.dtype)

    def shaped(u: Array) -> Array:
        return u.reshape(-1, *grid.cells)

    if isinstance(method, AbstractRepresentation):
        assert dt is not None
        step = jnp.asarray(dt, begin.dtype)

        def both(problem: Problem) -> Array:
            state = method.prepare(problem, key=jax.random.key(0))
            times = (begin, begin + step)
            return jnp.stack([method.evaluate(problem, t, state, grid.points, key=jax.random.key(0)).u for t in times])

        found = eqx.filter_vmap(both)(problems)
        return shaped(found[:, 0]), shaped(found[:, 1]), step
    states = eqx.filter_vmap(lambda p: _at(method, p, begin))(problems)
    longest = jnp.min(eqx.filter_vmap(lambda p, s: method.stable_dt(p, begin, s))(problems, states))
    step = longest if dt is None else jnp.asarray(dt, begin.dtype)

    def value(problem: Problem, t: Scalar, state: Any) -> Array:
        return method.evaluate(problem, t, state, None).u

    after = eqx.filter_vmap(lambda p, s: method.step(p, begin, step, s)[0])(problems, states)
    return (
        shaped(eqx.filter_vmap(lambda p, s: value(p, begin, s))(problems, states)),
        shaped(eqx.filter_vmap(lambda p, s: value(p, begin + step, s))(problems, after)),
        step,
    )


def _at(method: AbstractEvolution, problem: Problem, begin: Scalar) -> Any:
    """The method's state at `begin`, by its own stable steps."""

    def step(carry: tuple[Scalar, Any]) -> tuple[Scalar, Any]:
        t, state = carry
        dt = jnp.minimum(method.stable_dt(problem, t, state), begin - t)
        return t + dt, method.step(problem, t, dt, state)[0]

    almost = begin * (1 - 8 * jnp.finfo(begin.dtype).eps)
    start = jnp.zeros_like(begin), method.init(problem)
    return jax.lax.while_loop(lambda carry: carry[0] < almost, step, start)[1]


def _derivatives(grid: FourierGrid, u: Values) -> tuple[Vectors, Values]:
    """∇u and Δu by Fourier transform."""
    modes = grid.modes(u)
    return grid.values(grid.with_gradient(modes)[1:]), grid.values(-grid.laplacian * modes)


def _regress(slopes: _Table, fixed: _Table, rate: _Table, low: _Table, high: _Table, knots: int) -> _Fit:
    """Least squares on hats in the slopes `[s, m, d]` and the columns `fixed` `[s, m, f]`; rows of a sample depend.

    In NumPy and float64 whatever the samples' precision: normal equations lose half of the digits.
    """
    samples, d = rate.shape[0], slopes.shape[-1]
    scale = np.sqrt(np.mean(fixed**2, axis=(0, 1)))
    units = np.concatenate([np.ones(knots**d), np.where(scale > 0, scale, 1.0)])

    def columns(k: int) -> _Table:
        share = (slopes[k] - low) / (high - low) * (knots - 1)
        hats = np.maximum(1 - np.abs(share[:, :, None] - np.arange(knots)), 0.0)  # [m, d, K]
        table = hats[:, 0]
        for axis in range(1, d):
            table = (table[:, :, None] * hats[:, axis, None, :]).reshape(len(table), -1)
        joined: _Table = np.concatenate([-table, fixed[k]], axis=1) / units
        return joined

    gram = sum(columns(k).T @ columns(k) for k in range(samples))
    right = sum(columns(k).T @ rate[k] for k in range(samples))
    inverse = np.linalg.pinv(gram, rcond=1e-12, hermitian=True)
    coefficients = inverse @ right
    left = [rate[k] - columns(k) @ coefficients for k in range(samples)]
    pulls = np.stack([columns(k).T @ left[k] for k in range(samples)])
    covariance = inverse @ (pulls.T @ pulls) @ inverse * samples / (samples - 1)
    residual = np.sqrt(sum(np.sum(row**2) for row in left) / np.sum(rate**2))
    return _Fit(
        coefficients / units, covariance / units[:, None] / units, np.diag(gram)[: knots**d], float(residual), knots
    )


def _summary(found: _Fit, slopes: _Table, laplacian: _Table, places: _Table, terms: int) -> MeasuredEquation:
    samples, d = slopes.shape[0], slopes.shape[-1]
    hats = found.knots**d
    weight = np.sum(slopes**2, axis=-1)
    mean = np.array([np.sum(weight**j * laplacian**2) / np.sum(laplacian**2) for j in range(terms)])
    chosen = slice(hats, hats + terms)
    viscosity = float(mean @ found.coefficients[chosen])
    quantile = float(student.ppf((1 + _LEVEL) / 2, samples - 1))
    spread = quantile * float(np.sqrt(mean @ found.covariance[chosen, chosen] @ mean))
    curve = np.where(found.touched > _SEEN, found.coefficients[:hats], np.nan).reshape((found.knots,) * d)
    potential = float(found.coefficients[hats + terms]) if len(found.coefficients) > hats + terms else 0.0
    return MeasuredEquation(
        jnp.asarray(places), jnp.asarray(curve), viscosity, (viscosity - spread, viscosity + spread),
        jnp.asarray(found.coefficients[chosen]), potential, found.residual,
    )  # fmt: skip
