"""The exact weights of each family of networks for an equation that the Hopf-Cole transform linearises."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..checks import as_array, check_range, concrete, counts, require
from ..methods.network import LSE, SSM, Attention, SequenceSSM
from ..methods.network.attention import middle_of, token_places
from ..methods.network.fourier_grid import FourierGrid
from ..methods.particle import HopfCole, rules
from ..problem import Problem
from ..problem.hopf_cole import Parts, check_periodic_data, parameters, parts, require_hopf_cole
from ..problem.initials import Atoms
from ..typing import Array, ArrayLike, Points, Scalar

_MOST_TOKENS = 2**22
_SHARES = np.concatenate([[0.0, 1.0], np.arange(1, 32) * (np.sqrt(5) - 1) / 2 % 1])
"""Of a time, where what must be constant in time is looked at: 0, 1 and points that no period fits."""


def lse_network(problem: Problem, t: Scalar) -> LSE:
    """W_j = y_j/2t and b_j = −cg_j − |y_j|²/4t + ε log ω_j of atoms or quadrature nodes y_j."""
    require_hopf_cole(problem, "An LSE network", "No layer solves this equation exactly.")
    c, epsilon = parameters(problem)
    check_range("viscosity", epsilon, above=0.0, remedy="At 0 the layer is max-plus and has no temperature.")
    rule = rules.Trapezoid()
    HopfCole(rule=rule).check(problem)
    cloud = rules.given(problem.initial) if isinstance(problem.initial, Atoms) else rule.prepare(problem)
    bias = -c * cloud.g - jnp.sum(cloud.y**2, axis=1) / (4 * t) + epsilon * cloud.log_weights
    if not isinstance(problem.initial, Atoms):
        bias = bias - problem.dimension * epsilon / 2 * jnp.log(4 * jnp.pi * epsilon * t)
    return LSE(cloud.y / (2 * t), bias, epsilon, time=t)


def attention_network(problem: Problem, t: Scalar, cells: int | tuple[int, ...] | None) -> Attention:
    """Q = (I, 1 | 0; 0, 1), K = (y/2t; −|y|²/4t − cg + constant), scale 1/ε; one head of inner dimension d + 1.

    x and y are counted from the middle of the domain.

    The constant is that of a sum over the places in place of the integral. Images reach to where the kernel falls below
    round-off, in the weight e^{−cg/ε} of the lowest data at most.
    """
    require_hopf_cole(problem, "Attention", "No attention layer solves this equation exactly.")
    c, epsilon = parameters(problem)
    check_range("viscosity", epsilon, above=0.0, remedy="At 0 attention picks the lowest token alone.")
    domain, initial, d = problem.domain, problem.initial, problem.dimension
    constant, period, images = jnp.zeros((), t.dtype), None, (0,) * d
    if isinstance(initial, Atoms):
        require(cells is None, "`cells` belongs to data that are a function: Atoms are the tokens themselves.")
        places = jnp.asarray(initial.y)
    else:
        require(cells is not None, "`cells` is needed for family='attention': tokens per axis.")
        require(
            all(domain.periodic),
            "`domain` must be a torus for family='attention' with data that are a function: tokens outside of a Box "
            "matter too. Use family='lse', whose quadrature goes there.",
        )
        assert cells is not None
        places = token_places(domain, cells)
        volume = jnp.prod(domain.extent) / len(places)
        constant = epsilon * (jnp.log(volume) - d / 2 * jnp.log(4 * jnp.pi * epsilon * t))
        period, images = domain.extent, _images(problem, places, t)
    eye = jnp.eye(d)
    query = jnp.zeros((d + 1, d + 1)).at[:d, :d].set(eye).at[d, d].set(1.0)
    key = jnp.zeros((d + 1, d + 3)).at[:d, :d].set(eye / (2 * t))
    key = key.at[d, d].set(-1 / (4 * t)).at[d, d + 1].set(-c).at[d, d + 2].set(constant)
    network = Attention(
        query[None], key[None], 1 / epsilon, places, period=period, images=images, time=t, centre=middle_of(domain)
    )
    network.check(problem)
    return network


def _images(problem: Problem, places: Points, t: Scalar) -> tuple[int, ...]:
    """Periods to either side beyond which e^{−|x−y|²/4εt} is below round-off of the sum."""
    c, epsilon = parameters(problem)
    assert not isinstance(problem.initial, Atoms)
    g = jax.vmap(problem.initial)(places)
    below = -jnp.log(jnp.finfo(g.dtype).eps / 16)
    reach = jnp.sqrt(4 * t * (epsilon * below + c * (jnp.max(g) - jnp.min(g))))
    known = concrete(reach / problem.domain.extent)
    require(
        known is not None,
        "family='attention' needs concrete numbers in the problem: how many images there are is part of the network.",
    )
    assert known is not None
    images = tuple(int(n) for n in np.ceil(known))
    tokens = len(places) * math.prod(2 * n + 1 for n in images)
    require(
        tokens <= _MOST_TOKENS,
        f"family='attention' must need at most {_MOST_TOKENS} tokens; got {tokens}, {images} whole periods to either "
        "side. Use family='ssm', whose waves are periodic, or fewer `cells`.",
    )
    return images


def ssm_network(problem: Problem, t: Scalar, cells: int | tuple[int, ...], layers: int) -> SSM:
    """A_k = −ε|κ_k|² − i b·κ_k, temperature ε/c, gate cV/ε."""
    d = problem.dimension
    require_hopf_cole(problem, "An SSM", "No diagonal model solves this equation exactly.", drift=True, potential=True)
    found = parts(problem.hamiltonian)
    assert found is not None
    c, epsilon = parameters(problem)
    check_range("viscosity", epsilon, above=0.0, remedy="At 0 there is no w = exp(−cu/ε).")
    given = counts("cells", cells)
    shape = (given,) * d if isinstance(given, int) else given
    require(len(shape) == d, f"`cells` must be one number or one per axis ({d}); got {cells!r}.")
    grid = FourierGrid(problem.domain, shape)
    squared = grid.laplacian
    decay = epsilon * jnp.where(squared > 0, squared, 1.0)
    frequency = None
    if found.drifts:
        drift = _constant(found, grid, t)
        frequency = -sum(b * k for b, k in zip(drift, grid.wavenumbers, strict=True)) + 0 * squared
    gate = c / epsilon * eqx.filter_vmap(found.potential)(grid.points).reshape(shape) if found.potentials else None
    network = SSM(shape, decay, epsilon / c, frequency=frequency, gate=gate, time=t, layers=layers)
    network.check(problem)
    return network


def sequence_network(
    problem: Problem, cells: int | tuple[int, ...], points: ArrayLike, dt: ArrayLike, *, parallel: bool | None = None
) -> SequenceSSM:
    """The selective state-space layer that maps drifts b_1, ..., b_L `[L, d]`, each for a time dt, to u(n dt, ·).

    u, at `points` `[p, d]`, solves `u_t + c|∇u|² + b(t)·∇u = ε Δu` with the data of `problem` on a torus, whose
    H = c|p|² has no drift of its own. States are the modes of w = e^{−cu/ε} on `cells` nodes an axis, A_k = −ε|κ_k|²
    and G_k = −iκ_k: exact on its waves, to round-off in w (osc(u)c/ε up to about 20 in float64). Outputs are `[L, p]`.
    """
    require_hopf_cole(problem, "A sequence SSM", "No diagonal model solves this equation exactly.")
    check_periodic_data(problem, "A sequence SSM")
    require(all(problem.domain.periodic), "`domain` must be periodic in every axis: states are waves. Use hj.Torus.")
    require(not isinstance(problem.initial, Atoms), "`initial` must be a function; got Atoms.")
    assert not isinstance(problem.initial, Atoms)
    c, epsilon = parameters(problem)
    check_range("viscosity", epsilon, above=0.0, remedy="At 0 there is no w = exp(−cu/ε).")
    d, places = problem.dimension, as_array("points", points)
    require(places.shape[1:] == (d,), f"`points` must have shape [p, {d}]; got {places.shape}.")
    given = counts("cells", cells)
    shape = (given,) * d if isinstance(given, int) else given
    require(len(shape) == d, f"`cells` must be one number or one per axis ({d}); got {cells!r}.")
    grid = FourierGrid(problem.domain, shape)
    u = eqx.filter_vmap(problem.initial)(grid.points).reshape(shape)
    offset = jnp.min(u)
    start = grid.modes(jnp.exp((offset - u) * c / epsilon))
    waves = jnp.stack([jnp.broadcast_to(k, start.shape).reshape(-1) for k in grid.wavenumbers], axis=1)
    n, stays = waves.shape[0], jnp.finfo(u.dtype).tiny
    shares = jnp.broadcast_to(grid.shares, start.shape).reshape(-1)
    readout = shares * jnp.exp(1j * (jnp.asarray(places) - problem.domain.lower) @ waves.T)
    return SequenceSSM(
        jnp.maximum(epsilon * grid.laplacian, stays).reshape(-1), jnp.zeros(n), readout,
        drive=jnp.zeros((n, d)), gate=-1j * waves, start=start.reshape(-1), dt=dt, temperature=epsilon / c,
        offset=jnp.full(places.shape[0], offset), parallel=parallel,
    )  # fmt: skip


def _constant(found: Parts, grid: FourierGrid, t: Scalar) -> Array:
    """The drift b `[d]`, which must be the same up to rounding: at some times at every node, at many times at one."""
    x = grid.points.T
    few = jnp.stack([found.drift(share * t, x) for share in _SHARES[:3]])
    many = jnp.stack([found.drift(share * t, x[:, :1]) for share in _SHARES])
    b = few[0, :, 0]
    apart = [jnp.max(jnp.abs(values - b[:, None])) for values in (few, many)]
    known = concrete(jnp.stack([*apart, 8 * jnp.finfo(b.dtype).eps * jnp.max(jnp.abs(few))]))
    require(
        known is None or max(known[:2]) <= known[2],
        "The drift of `hamiltonian` must be constant for family='ssm', whose frequencies are. Use FiniteDifference, or "
        "theory.sequence_network for one that changes with time alone.",
    )
    return b
