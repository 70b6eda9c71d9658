"""Independent references in NumPy and SciPy, and what the tests measure with."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.integrate import quad
from scipy.special import logsumexp


def orders(errors: Sequence[float], refinement: float = 2.0) -> np.ndarray:
    """Observed orders of convergence between successive refinements."""
    errors = np.asarray(errors)
    return np.log(errors[:-1] / errors[1:]) / np.log(refinement)


def cauchy_1d(g: Callable[[float], float], t: float, x: float, epsilon: float, c: float = 1.0) -> float:
    """`−(ε/c) log ∫ (4πεt)^{−1/2} exp(−(c/ε)(g(y) + (x−y)²/(4ct))) dy` by adaptive quadrature."""
    t, x = float(t), float(x)  # scalars of JAX would compile every operation

    def exponent(y: float) -> float:
        return -(c / epsilon) * (g(y) + (x - y) ** 2 / (4 * c * t))

    samples = x + np.linspace(-12.0, 12.0, 4801)
    values = np.array([exponent(y) for y in samples])
    top, peak = values.max(), samples[values.argmax()]
    # e^−60 of the largest is far below the quadrature's own tolerance
    inside = samples[values > top - 60]
    total = quad(
        lambda y: np.exp(exponent(y) - top), inside[0] - 0.01, inside[-1] + 0.01, points=[peak], limit=400, epsrel=1e-13
    )[0]
    return -(epsilon / c) * (top + np.log(total) - 0.5 * np.log(4 * np.pi * epsilon * t))


def dense_scores(x: np.ndarray, y: np.ndarray, b: np.ndarray, kappa: float) -> np.ndarray:
    """b_j − κ|x_i − y_j|² as a table, in the precision of the arrays."""
    return b[None, :] - kappa * ((x[:, None, :] - y[None, :, :]) ** 2).sum(-1)


def atoms_solution(
    x: np.ndarray,
    t: float,
    y: np.ndarray,
    g: np.ndarray,
    epsilon: float,
    c: float = 1.0,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """u_N at points x `[m, d]` by SciPy's log-sum-exp over the whole table; the lowest energy for ε = 0."""
    energies = -dense_scores(x, y, -g, 1 / (4 * c * t))
    if epsilon == 0:
        return energies.min(1)
    return -(epsilon / c) * logsumexp(-c * energies / epsilon, axis=1, b=1.0 if weights is None else weights[None, :])


def central(f: Callable[[float], float], a: float, h: float = 1e-4) -> float:
    """Fourth-order central difference of a scalar function."""
    return float((8 * (f(a + h) - f(a - h)) - (f(a + 2 * h) - f(a - 2 * h))) / (12 * h))
