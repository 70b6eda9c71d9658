"""The value at a node from its neighbours: Godunov's in closed form for quadratic norms, Lax-Friedrichs for every H."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ...kernels import stencil
from ...kernels.sweep import Near, turned
from ...problem.hamiltonians import AbstractHamiltonian, Eikonal, Norm, Quadratic, WithPotential, WithSource
from ...typing import Array, Values, Vectors

_DAMPING = 0.4
"""Of an update that reads its own old value: undamped, the choices of WENO3 flicker for ever next to kinks."""
_CENTRAL = {1: (2.0, (1.0,)), 2: (2.5, (16 / 15, -1 / 15))}
"""By width: −h² times the weight of the node in ∂_ii, and the mean of both neighbours at each distance, less it."""


def unreached(dtype: Any) -> float:
    """The value of nodes that no characteristic has reached: large, with a square that is finite."""
    return float(np.finfo(dtype).max) ** 0.4


class AbstractUpdate(eqx.Module):
    """Solves the discrete equation at a node for its own value; `data` is what `SweptEquation` keeps for each node."""

    discount: eqx.AbstractVar[Array]
    spacing: eqx.AbstractVar[Array]
    width: eqx.AbstractVar[int]

    @abc.abstractmethod
    def __call__(self, near: Near, data: dict[str, Any], flips: list[Array]) -> Values:
        """The new u at some nodes; see `kernels.sweep` for `near` and `flips`."""

    @abc.abstractmethod
    def residual(self, near: Near, data: dict[str, Any]) -> Values:
        """The left side of the discrete equation less its right side, `near` in the order of rising indices."""


class GodunovUpdate(AbstractUpdate):
    """The root u of `λu + (Σ_i s_i²q_i²)^(1/2) = f + ε Δ_h u` (degree 1), `λu + Σ_i s_i q_i² = f + ε Δ_h u` (2).

    q_i = (u − a_i)⁺/h_i with a_i the smaller neighbour (width 1), or with one-sided WENO3 derivatives at the old value
    (width 2). The left side rises with u; in order of rising a_i, an axis takes part if the root without it is above.
    Sources: Zhao 2004, doi:10.1090/S0025-5718-04-01678-3; Zhang, Zhao & Qian 2006, doi:10.1007/s10915-005-9014-3.
    """

    discount: Array
    spacing: Array
    width: int = eqx.field(static=True)
    degree: int = eqx.field(static=True)

    def __call__(self, near: Near, data: dict[str, Any], flips: list[Array]) -> Values:
        """u at the nodes."""
        lows, weights = self._sorted(near, data)
        kappa, right = self._diffusion(near, data)
        base, limit = lows[0], unreached(lows[0].dtype)
        g = right - kappa * base
        above = g >= 0
        reachable = jnp.where(above, g, 1.0)
        zero = jnp.zeros_like(base)
        first, second, third = zero, zero, zero
        v = jnp.full_like(base, limit)
        for low, weight in zip(lows, weights, strict=True):
            active = v > low - base
            gap = jnp.where(active, low - base, 0.0)
            share = jnp.where(active, weight, 0.0)
            first, second, third = first + share, second + share * gap, third + share * gap**2
            if self.degree == 1:
                v = _root(first - kappa**2, second - reachable * kappa, third - reachable**2, limit)
            else:
                v = _root(first, second - kappa / 2, third - reachable, limit)
        alone = right / jnp.where(kappa > 0, kappa, 1.0)  # below all neighbours
        new = jnp.minimum(jnp.where(above, base + v, alone), limit)
        if self.width == 1:
            return new
        centre = near[0][self.width]
        return centre + _DAMPING * (new - centre)

    def residual(self, near: Near, data: dict[str, Any]) -> Values:
        """The left side of the equation less its right side; 0 at nodes that are not reached."""
        lows, weights = self._sorted(near, data)
        kappa, right = self._diffusion(near, data)
        u = near[0][self.width]
        reached = u < unreached(u.dtype) / 2
        slope = sum(
            w * jnp.where(reached, jnp.maximum(u - a, 0.0), 0.0) ** 2 for a, w in zip(lows, weights, strict=True)
        )
        norm = jnp.sqrt(slope) if self.degree == 1 else slope
        return jnp.where(reached, norm + kappa * u - right, 0.0)

    def _sorted(self, near: Near, data: dict[str, Any]) -> tuple[list[Values], list[Values]]:
        """The smaller neighbours in rising order, and the weights s_i²/h_i² (or s_i/h_i²) of their axes."""
        pairs = []
        for m, row in enumerate(near):
            weight = data["speed"][m] ** (3 - self.degree) / self.spacing[m] ** 2
            pairs.append((self._low(row, self.spacing[m]), weight))
        d = len(pairs)
        for last in range(d - 1, 0, -1):
            for k in range(last):
                (a, v), (b, w) = pairs[k], pairs[k + 1]
                swap = b < a
                pairs[k] = (jnp.where(swap, b, a), jnp.where(swap, w, v))
                pairs[k + 1] = (jnp.where(swap, a, b), jnp.where(swap, v, w))
        return [a for a, _ in pairs], [w for _, w in pairs]

    def _low(self, row: tuple[Values, ...], spacing: Array) -> Values:
        plain = jnp.minimum(row[self.width - 1], row[self.width + 1])
        if self.width == 1:
            return plain
        is_known = known(row)
        safe = jnp.stack([jnp.where(is_known, value, 0.0) for value in row])
        minus, plus = stencil.weno3(safe, spacing)
        centre = row[self.width]
        return jnp.where(is_known, jnp.minimum(centre - spacing * minus[0], centre + spacing * plus[0]), plain)

    def _diffusion(self, near: Near, data: dict[str, Any]) -> tuple[Values, Values]:
        """κ and f of `κu + ... = f`: λ, and the central second difference along axes with both neighbours known."""
        kappa, right = self.discount, data["right"]
        for m, row in enumerate(near):
            strength, mean = central_difference(row, self.spacing[m], data["epsilon"], self.width)
            kappa, right = kappa + strength, right + strength * mean
        return kappa, right


class LaxFriedrichsUpdate(AbstractUpdate):
    """u + r/(λ + Σ_i α_i/h_i + kε/h_i²), r = f + ε Δ_h u − λu − H(x, (p⁻+p⁺)/2) + Σ_i α_i(p_i⁺ − p_i⁻)/2.

    One-sided derivatives are first-order differences (width 1) or WENO3 (width 2), α_i bounds |∂H/∂p_i| for slopes
    between both. Sources: Kao, Osher & Qian 2004, doi:10.1016/j.jcp.2003.11.007; Zhang, Zhao & Qian 2006.
    """

    discount: Array
    spacing: Array
    width: int = eqx.field(static=True)
    hamiltonian: AbstractHamiltonian

    def __call__(self, near: Near, data: dict[str, Any], flips: list[Array]) -> Values:
        """The new u at the nodes."""
        near = turned(near, flips)
        u = near[0][self.width]
        minus, plus, speed = self._slopes(near, data)
        rate = self.discount + sum(a / h for a, h in zip(speed, self.spacing, strict=True))
        rate = rate + sum(_CENTRAL[self.width][0] * data["epsilon"] / h**2 for h in self.spacing)
        moved = rate > 0
        return u - jnp.where(moved, self._left(near, data, minus, plus, speed) / jnp.where(moved, rate, 1.0), 0.0)

    def residual(self, near: Near, data: dict[str, Any]) -> Values:
        """−r."""
        return self._left(near, data, *self._slopes(near, data))

    def _slopes(self, near: Near, data: dict[str, Any]) -> tuple[Vectors, Vectors, Vectors]:
        """(p⁻, p⁺, α)."""
        pairs = []
        for row, h in zip(near, self.spacing, strict=True):
            if self.width == 1:
                pairs.append(((row[1] - row[0]) / h, (row[2] - row[1]) / h))
            else:
                before, after = stencil.weno3(jnp.stack(row), h)
                pairs.append((before[0], after[0]))
        minus, plus = (jnp.stack(side) for side in zip(*pairs, strict=True))
        t, x = jnp.zeros((), minus.dtype), jnp.stack(data["x"])
        speed = self.hamiltonian.speed_bound(t, x, jnp.minimum(minus, plus), jnp.maximum(minus, plus))
        return minus, plus, jnp.broadcast_to(speed, minus.shape)

    def _left(self, near: Near, data: dict[str, Any], minus: Vectors, plus: Vectors, speed: Vectors) -> Values:
        u = near[0][self.width]
        left = self.discount * u - data["right"] - jnp.sum(speed * (plus - minus), axis=0) / 2
        for row, h in zip(near, self.spacing, strict=True):
            strength, mean = central_difference(row, h, data["epsilon"], self.width)
            left = left + strength * (u - mean)
        return left + self.hamiltonian(jnp.zeros((), u.dtype), jnp.stack(data["x"]), (minus + plus) / 2)


def conic_degree(hamiltonian: AbstractHamiltonian) -> int | None:
    """1 for H = |s∘p| − V(x), 2 for Σ s_i p_i² − V(x): what `GodunovUpdate` solves; None for any other."""
    if isinstance(hamiltonian, WithPotential | WithSource):
        return conic_degree(hamiltonian.hamiltonian)
    if isinstance(hamiltonian, Eikonal) or (isinstance(hamiltonian, Norm) and hamiltonian.order == 2):
        return 1
    return 2 if isinstance(hamiltonian, Quadratic) else None


def _root(a: Values, b: Values, c: Values, limit: float) -> Values:
    """The root of a·v² − 2b·v + c = 0 with √(b² − ac) = a·v − b; `limit` where there is none."""
    squared = b * b - a * c
    root = jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)
    top, bottom = jnp.where(b > 0, b + root, -c), jnp.where(b > 0, a, root - b)
    found = bottom > 0
    still = (top == 0) & (bottom == 0) & (a > 0)
    return jnp.where(found, top / jnp.where(found, bottom, 1.0), jnp.where(still, 0.0, limit))


def central_difference(row: tuple[Values, ...], spacing: Array, epsilon: Values, width: int) -> tuple[Values, Values]:
    """(k, m) of ε∂_ii u = k(m − u), central of order 2·width; 0 where a neighbour is not known."""
    is_known = known(row)
    weight, means = _CENTRAL[width]
    mean = sum(share * (row[width - k] + row[width + k]) / 2 for k, share in enumerate(means, start=1))
    return jnp.where(is_known, weight * epsilon / spacing**2, 0.0), jnp.where(is_known, mean, 0.0)


def known(row: tuple[Values, ...]) -> Array:
    """Where all values of a row of neighbours have been reached."""
    limit = unreached(row[0].dtype) / 2
    reached = row[0] < limit
    for value in row[1:]:
        reached = reached & (value < limit)
    return reached
