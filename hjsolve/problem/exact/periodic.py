"""Periodic solutions: finitely many Fourier modes in the Hopf-Cole variable."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_ndim, check_range, concrete, require
from ...typing import Array, ArrayLike, Point, Scalar
from .. import hamiltonians
from ..base import Problem
from ..domains import AbstractDomain, Torus
from .base import AbstractExact, as_number, as_place, at_start

_LONGEST = 64


class Periodic(AbstractExact):
    """u = −(ε/c) log w, w = A + Σ_m B_m exp(−ε|κ_m|²t) cos(κ_m·x + φ_m), for H = c|p|².

    `mean` A, `amplitudes` B `[M]` with Σ|B_m| < A (so that w > 0 wherever the waves meet), `wavevectors` κ `[M, d]` in
    radians per unit length, `phases` φ `[M]` in radians (default 0), `viscosity` ε > 0, `c > 0`.
    Source: the Hopf-Cole transform, Evans, *PDE*, 4.4.1.
    """

    mean: Array
    amplitudes: Array
    wavevectors: Array
    phases: Array
    viscosity: Array
    c: Array

    def __init__(
        self,
        mean: ArrayLike,
        amplitudes: ArrayLike,
        wavevectors: ArrayLike,
        viscosity: ArrayLike,
        phases: ArrayLike | None = None,
        c: ArrayLike = 1.0,
    ):
        self.mean = as_number("mean", mean, above=0.0, remedy="The mean of w = exp(-cu/ε) is positive.")
        self.amplitudes = as_array("amplitudes", amplitudes)
        self.wavevectors = as_array("wavevectors", wavevectors)
        check_ndim(
            "wavevectors", self.wavevectors, 2, "[M, d]", "One row per wave; for d = 1 use wavevectors[:, None]."
        )
        require(self.wavevectors.size > 0, f"`wavevectors` must hold a wave; got shape {self.wavevectors.shape}.")
        shape = self.wavevectors.shape[:1]
        self.phases = as_array("phases", np.zeros(shape) if phases is None else phases)
        for name, value in (("amplitudes", self.amplitudes), ("phases", self.phases)):
            require(value.shape == shape, f"`{name}` must have shape [M] = {shape}; got {value.shape}. One per wave.")
            check_range(name, value, remedy="Give one finite number per wave.")
        check_range("wavevectors", self.wavevectors, remedy="Give one finite vector per wave.")
        remedy = "The inviscid equation has no periodic solution of this form."
        self.viscosity = as_number("viscosity", viscosity, above=0.0, remedy=remedy)
        self.c = as_number("c", c, above=0.0, remedy="For a concave Hamiltonian solve for -u instead.")
        waves, mean_known = concrete(self.amplitudes), concrete(self.mean)
        if waves is not None and mean_known is not None:
            total = np.abs(waves).sum()
            require(
                total < mean_known,
                f"`amplitudes` must satisfy Σ|B_m| < mean = {mean_known:g}, else w reaches 0 and u is infinite; "
                f"got {total:g}. Raise the mean or shrink the amplitudes.",
            )

    def __call__(self, t: ArrayLike, x: Point) -> Scalar:
        """u(t, x)."""
        t, x = as_place(t, x, self.wavevectors.shape[1])
        wavevectors = jnp.asarray(self.wavevectors)
        decay = jnp.exp(-self.viscosity * t * jnp.sum(wavevectors**2, axis=1))
        waves = jnp.sum(self.amplitudes * decay * jnp.cos(wavevectors @ x + self.phases))
        return -self.viscosity / self.c * (jnp.log(self.mean) + jnp.log1p(waves / self.mean))

    def problem(self, domain: AbstractDomain | None = None, horizon: ArrayLike | None = None) -> Problem:
        """Its problem; default horizon 1, default domain the smallest centred torus that all waves fit.

        Raises `ValueError` where the waves do not fit the given periodic axes.
        """
        domain = _common_torus(self.wavevectors) if domain is None else domain
        _check_fit(self.wavevectors, domain)
        horizon = 1.0 if horizon is None else horizon
        return Problem(hamiltonians.Quadratic(self.c), self.viscosity, at_start(self), domain, horizon)


def _common_torus(wavevectors: Array) -> Torus:
    known = concrete(wavevectors)
    if known is None:
        raise ValueError("`domain` must be given while `wavevectors` are traced. Give a Torus that they fit.")
    half = np.array([_common_period(column) / 2 for column in known.T])
    return Torus(-half, half)


def _common_period(wavenumbers: np.ndarray[Any, Any]) -> float:
    """The shortest length that holds whole waves of all `wavenumbers`; 2 where they are all 0."""
    nonzero = np.abs(wavenumbers[wavenumbers != 0])
    if nonzero.size == 0:
        return 2.0
    longest = 2 * np.pi / nonzero.min()
    for count in range(1, _LONGEST + 1):
        if not _misfits(nonzero * count * longest).any():
            return float(count * longest)
    raise ValueError(
        f"`wavevectors` must have a common period of at most {_LONGEST} of their longest waves; got components "
        f"{nonzero.tolist()} along one axis. Give a `domain`, for instance a Box."
    )


def _check_fit(wavevectors: Array, domain: AbstractDomain) -> None:
    known, extent = concrete(wavevectors), concrete(domain.extent)
    if known is None or extent is None or extent.shape != known.shape[1:]:
        return  # Problem names a wrong dimension.
    misfit = _misfits(known * extent).any(axis=0) & np.asarray(domain.periodic)
    require(
        not misfit.any(),
        f"`domain` must hold whole waves in every periodic axis; its extent is {extent.tolist()}. Use a Torus whose "
        "extent is a common multiple of 2π/|κ_i|, which is the default.",
    )


def _misfits(angles: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    turns = angles / (2 * np.pi)
    # 1e-5: a domain's extent may have been computed in float32.
    return np.asarray(np.abs(turns - np.round(turns)) > 1e-5)
