"""The value at a node from its neighbours: Godunov's in closed form for quadratic norms, Lax-Friedrichs for every H."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ...kernels import stencil
from ...kernels.sweep import Near, turned
from ...problem.hamiltonians import AbstractHamiltonian, Eikonal, Norm, Quadratic, WithPotential, WithSource
from ...typing import Array, Values

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


class GodunovUpdate(AbstractUpdate):
    """The root u of `λu + (Σ_i s_i²q_i²)^(1/2) = f + ε Δ_h u` (degree 1) or `λu + Σ_i s_i q_i² = f + ε Δ_h u` (degree 2).

    q_i = (u − a_i)⁺/h_i with a_i the smaller neighbour (width 1), or with one-sided WENO3 derivatives at the old value
    (width 2). The left side rises with u; in order of rising a_i, an axis takes part if the root without it exceeds a_i.
    Sources: Zhao 2004, doi:10.1090/S0025-5718-04-01678-3; Zhang, Zhao & Qian 2006, doi:10.1007/s10915-005-9014-3.
    """

    discount: Array
    spacing: Array
    degree: int = eqx.field(static=True)
    width: int = eqx.field(static=True)

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
        falling = g / jnp.where(kappa > 0, kappa, 1.0)
        new = jnp.minimum(base + jnp.where(above, v, falling), limit)
        if self.width == 1:
            return new
        centre = near[0][self.width]
        return centre + _DAMPING * (new - centre)

    def residual(self, near: Near, data: dict[str, Any]) -> Values:
        """The left side of the equation less its right side; 0 at nodes that are not reached."""
        lows, weights = self._sorted(near, data)
        kappa, right = self._diffusion(near, data)
        u = near[0][self.width]
        known = u < unreached(u.dtype) / 2
        slope = sum(w * jnp.where(known, jnp.maximum(u - a, 0.0), 0.0) ** 2 for a, w in zip(lows, weights, strict=True))
        norm = jnp.sqrt(slope) if self.degree == 1 else slope
        return jnp.where(known, norm + kappa * u - right, 0.0)

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
        known = _known(row)
        safe = jnp.stack([jnp.where(known, value, 0.0) for value in row])
        minus, plus = stencil.weno3(safe, spacing)
        centre = row[self.width]
        return jnp.where(known, jnp.minimum(centre - spacing * minus[0], centre + spacing * plus[0]), plain)

    def _diffusion(self, near: Near, data: dict[str, Any]) -> tuple[Values, Values]:
        """κ and f of `κu + ... = f`: λ, and the central second difference along axes with both neighbours known."""
        kappa, right = self.discount, data["right"]
        for m, row in enumerate(near):
            strength, mean = _central(row, self.spacing[m], data["epsilon"], self.width)
            kappa, right = kappa + strength, right + strength * mean
        return kappa, right


class LaxFriedrichsUpdate(AbstractUpdate):
    """u + r/(λ + Σ_i α_i/h_i + kε/h_i²), r = f + ε Δ_h u − λu − H(x, (p⁻+p⁺)/2) + Σ_i α_i(p_i⁺ − p_i⁻)/2.

    One-sided derivatives are first-order differences (width 1) or WENO3 (width 2), α_i bounds |∂H/∂p_i|.
    Sources: Kao, Osher & Qian 2004, doi:10.1016/j.jcp.2003.11.007; Zhang, Zhao & Qian 2006.
    """

    discount: Array
    spacing: Array
    hamiltonian: AbstractHamiltonian
    width: int = eqx.field(static=True)

    def __call__(self, near: Near, data: dict[str, Any], flips: list[Array]) -> Values:
        """The new u at the nodes."""
        near = turned(near, flips)
        rate = self.discount + sum(a / h for a, h in zip(data["alpha"], self.spacing, strict=True))
        weight = _CENTRAL[self.width][0]
        rate = rate + sum(weight * data["epsilon"] / h**2 for h in self.spacing)
        return near[0][self.width] - self.residual(near, data) / jnp.where(rate > 0, rate, 1.0)

    def residual(self, near: Near, data: dict[str, Any]) -> Values:
        """−r."""
        u = near[0][self.width]
        slopes, left = [], self.discount * u - data["right"]
        for m, row in enumerate(near):
            h = self.spacing[m]
            strength, mean = _central(row, h, data["epsilon"], self.width)
            if self.width == 1:
                minus, plus = (u - row[0]) / h, (row[2] - u) / h
            else:
                minus, plus = (side[0] for side in stencil.weno3(jnp.stack(row), h))
            slopes.append((minus + plus) / 2)
            left = left + strength * (u - mean) - data["alpha"][m] * (plus - minus) / 2
        t = jnp.zeros((), u.dtype)
        return left + self.hamiltonian(t, jnp.stack(data["x"]), jnp.stack(slopes))


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


def _central(row: tuple[Values, ...], spacing: Array, epsilon: Values, width: int) -> tuple[Values, Values]:
    """(k, m) of ε∂_ii u = k(m − u), central of order 2·width; 0 where a neighbour is not known."""
    known = _known(row)
    weight, means = _CENTRAL[width]
    mean = sum(share * (row[width - k] + row[width + k]) / 2 for k, share in enumerate(means, start=1))
    return jnp.where(known, weight * epsilon / spacing**2, 0.0), jnp.where(known, mean, 0.0)


def _known(row: tuple[Values, ...]) -> Array:
    limit = unreached(row[0].dtype) / 2
    known = row[0] < limit
    for value in row[1:]:
        known = known & (value < limit)
    return known
