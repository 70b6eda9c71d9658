"""Numerical Hamiltonians Ĥ(p⁻, p⁺): consistent, and monotone with first-order differences unless they say otherwise."""

import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from ...checks import require
from ...problem.hamiltonians import AbstractHamiltonian, Freezing
from ...problem.hamiltonians.base import as_column, components, each, total
from ...problem.hamiltonians.upwind import engquist_osher, has_engquist_osher, is_upwindable, upwind
from ...typing import Array, Float, Scalar, Values, Vectors


class SlopeRange(NamedTuple):
    """The least and the largest slope `[d]` on the grid, of first-order differences at the beginning of the step.

    High-order slopes leave this range by the little that they correct; looked up anew for each of them, in every
    stage, it would cost more than the slopes themselves.
    """

    low: Float[Array, "d"]
    high: Float[Array, "d"]

    def everywhere(self, like: Vectors) -> tuple[Vectors, Vectors]:
        """Both on all nodes `[d, ...]`."""
        low, high = (jnp.broadcast_to(as_column(ends, like), like.shape) for ends in self)
        return low, high


class Slopes(NamedTuple):
    """The one-sided derivatives p⁻ and p⁺ `[d, n_1, ..., n_d]`, and the range of slopes on the grid."""

    minus: Vectors
    plus: Vectors
    range: SlopeRange


class AbstractFlux(eqx.Module):
    """A numerical Hamiltonian."""

    @abc.abstractmethod
    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        """Refuse Hamiltonians that it is not made for."""

    @abc.abstractmethod
    def __call__(self, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, slopes: Slopes) -> Values:
        """Ĥ `[n_1, ..., n_d]` from the one-sided derivatives."""


class GlobalLaxFriedrichs(AbstractFlux):
    """Ĥ = H((p⁻+p⁺)/2) − Σ_i α_i (p_i⁺ − p_i⁻)/2, α_i = max |∂H/∂p_i| over the range of p on the whole grid.

    At every node, α_i is the bound for its own x. The most dissipative of the three, and the simplest.
    Source: Osher & Shu 1991, doi:10.1137/0728049.
    """

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        """Any Hamiltonian."""

    def __call__(self, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, slopes: Slopes) -> Values:
        """The Lax-Friedrichs Hamiltonian."""
        speed = hamiltonian.speed_bound(t, x, *slopes.range.everywhere(slopes.minus))
        return _lax_friedrichs(hamiltonian, t, x, slopes, speed)


class LocalLaxFriedrichs(AbstractFlux):
    """Ĥ = H((p⁻+p⁺)/2) − Σ_i α_i (p_i⁺ − p_i⁻)/2, α_i = max |∂H/∂p_i|: monotone, so the default.

    The maximum is over p_i between p_i⁻ and p_i⁺ at that node and the other components over their range on the whole
    grid. Source: Osher & Shu 1991, doi:10.1137/0728049.
    """

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        """Any Hamiltonian."""

    def __call__(self, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, slopes: Slopes) -> Values:
        """The local Lax-Friedrichs Hamiltonian."""
        d = slopes.minus.shape[0]
        own = [components(ends) for ends in _between(slopes.minus, slopes.plus)]
        rest = [components(ends) for ends in slopes.range.everywhere(slopes.minus)]
        speeds = []
        for i in range(d):
            box = (jnp.stack([(a if k == i else b)[k] for k in range(d)]) for a, b in zip(own, rest, strict=True))
            speeds.append(hamiltonian.speed_bound(t, x, *box)[i])
        return _lax_friedrichs(hamiltonian, t, x, slopes, jnp.stack(speeds))


class LocalLocalLaxFriedrichs(AbstractFlux):
    """Ĥ = H((p⁻+p⁺)/2) − Σ_i α_i (p_i⁺ − p_i⁻)/2, α_i = max |∂H/∂p_i| over the box between p⁻ and p⁺ at that node.

    The least dissipative; where H couples its components it need not be monotone. doi:10.1137/0728049.
    """

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        """Any Hamiltonian."""

    def __call__(self, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, slopes: Slopes) -> Values:
        """The local local Lax-Friedrichs Hamiltonian."""
        speed = hamiltonian.speed_bound(t, x, *_between(slopes.minus, slopes.plus))
        return _lax_friedrichs(hamiltonian, t, x, slopes, speed)


class Roe(AbstractFlux):
    """Ĥ = H(p*), p_i* upwind where ∂H/∂p_i keeps its sign between p⁻ and p⁺, else local Lax-Friedrichs along that axis.

    Roe's scheme with the entropy fix of Osher and Shu: for any H nearly as sharp as Godunov's where characteristics
    run one way, and dissipative where they may part (a rarefaction, a sonic point). The sign is looked at in p⁻, p⁺
    and between them, and is not trusted where the bound of the speed exceeds all three. It need not be monotone where
    H couples its components. Source: Osher & Shu 1991, doi:10.1137/0728049.
    """

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        """Any Hamiltonian."""

    def __call__(self, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, slopes: Slopes) -> Values:
        """Roe's Hamiltonian."""
        middle = each(lambda minus, plus: (minus + plus) / 2, slopes.minus, slopes.plus)
        places = [hamiltonian.velocity(t, x, p) for p in (slopes.minus, middle, slopes.plus)]
        bound = hamiltonian.speed_bound(t, x, *_between(slopes.minus, slopes.plus))
        slack = 1 + jnp.sqrt(jnp.finfo(slopes.minus.dtype).eps)
        chosen, lost = [], jnp.zeros_like(slopes.minus[0])
        for i in range(slopes.minus.shape[0]):
            speeds = [place[i] for place in places]
            low = jnp.minimum(jnp.minimum(speeds[0], speeds[1]), speeds[2])
            high = jnp.maximum(jnp.maximum(speeds[0], speeds[1]), speeds[2])
            seen = bound[i] <= slack * jnp.maximum(jnp.abs(low), jnp.abs(high))
            rises, falls = seen & (low >= 0), seen & (high <= 0)
            chosen.append(jnp.where(rises, slopes.minus[i], jnp.where(falls, slopes.plus[i], middle[i])))
            lost = lost + jnp.where(rises | falls, 0.0, bound[i] * (slopes.plus[i] - slopes.minus[i]) / 2)
        return hamiltonian(t, x, jnp.stack(chosen)) - lost


class Godunov(AbstractFlux):
    """Ĥ = ext_{p_1} ... ext_{p_d} H(p), the minimum over [p_i⁻, p_i⁺] where p_i⁻ <= p_i⁺, else the maximum between.

    The solution of the Riemann problem at a node, so the least dissipative monotone choice. For Hamiltonians that fall
    and then rise along every axis, about a place that the other components do not move: Quadratic, Eikonal, Norm,
    Power, Linear, ConvexSeparable, and these with a potential or a source; Quadratic with a drift too.
    Source: Bardi & Osher 1991, doi:10.1137/0522022.
    """

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        """Refuse Hamiltonians whose extrema along the axes are not known."""
        require(
            is_upwindable(hamiltonian),
            f"`flux` Godunov does not know the extrema of {type(hamiltonian).__name__} along the axes. Use "
            "hj.methods.grid.fluxes.LocalLaxFriedrichs(), or give the Hamiltonian a method `upwind`.",
        )

    def __call__(self, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, slopes: Slopes) -> Values:
        """Godunov's Hamiltonian."""
        return hamiltonian(t, x, upwind(hamiltonian, t, x, slopes.minus, slopes.plus))


class EngquistOsher(AbstractFlux):
    """Ĥ = H(m) + Σ_i ∫_m^{p_i⁻} max(∂_i H, 0) + ∫_m^{p_i⁺} min(∂_i H, 0) for H = Σ_i H_i(p_i), each least at m_i.

    Smoother than Godunov's, which it is wherever p⁻ and p⁺ lie on one side of m, and monotone. For H that depends on
    |p| alone it is the scheme of Osher and Sethian, p_i² -> max(p_i⁻, 0)² + min(p_i⁺, 0)². For Quadratic (with a
    drift), Linear, ConvexSeparable, Norm of order 1; Eikonal, Power, Norm of order 2; and these with a potential or a
    source. Source: Engquist & Osher 1980, doi:10.1090/S0025-5718-1980-0551288-3; Osher & Sethian 1988,
    doi:10.1016/0021-9991(88)90002-2.
    """

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        """Refuse Hamiltonians that are neither a sum over the axes nor a function of |p|."""
        require(
            has_engquist_osher(hamiltonian),
            f"`flux` EngquistOsher needs H = Σ H_i(p_i), or H(|p|); got {type(hamiltonian).__name__}. Use "
            "hj.methods.grid.fluxes.LocalLaxFriedrichs().",
        )

    def __call__(self, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, slopes: Slopes) -> Values:
        """Engquist and Osher's Hamiltonian."""
        return engquist_osher(hamiltonian, t, x, slopes.minus, slopes.plus)


def numerical(flux: AbstractFlux, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, slopes: Slopes) -> Values:
    """The flux's Ĥ; max(Ĥ, 0) for max(H, 0), whose dissipation would otherwise move what is at rest."""
    if isinstance(hamiltonian, Freezing):
        return jnp.maximum(numerical(flux, hamiltonian.hamiltonian, t, x, slopes), 0.0)
    return flux(hamiltonian, t, x, slopes)


def _between(p_minus: Vectors, p_plus: Vectors) -> tuple[Vectors, Vectors]:
    return each(jnp.minimum, p_minus, p_plus), each(jnp.maximum, p_minus, p_plus)


def _lax_friedrichs(hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, slopes: Slopes, speed: Vectors) -> Values:
    """H((p⁻+p⁺)/2) − Σ_i speed_i (p_i⁺ − p_i⁻)/2."""
    central = hamiltonian(t, x, each(lambda minus, plus: (minus + plus) / 2, slopes.minus, slopes.plus))
    return central - total(lambda s, minus, plus: s * (plus - minus), speed, slopes.minus, slopes.plus) / 2
