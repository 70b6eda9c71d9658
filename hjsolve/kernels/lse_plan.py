"""Which backend evaluates the log-sum-exp kernels, and in blocks of what size."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from ..checks import require, whole_number
from ..typing import Array

BACKENDS = ("auto", "reference", "blocked", "cells", "pallas")
UNROLL = 8
"""Rows of a block that are separate expressions on CPU (twice as many where they are read from a table).

More compile longer and gain nothing.
"""
DIRECT_DIMENSIONS = 8
"""Up to here distances are sums of squared differences; beyond, they are expanded into a matrix product."""


class Blocks(NamedTuple):
    """How many queries and atoms meet at a time, and whether the atoms of a step are unrolled."""

    queries: int
    atoms: int
    unrolled: bool


class Plan(NamedTuple):
    """How to evaluate: `backend`, the `platform` it runs on, and block sizes where they are not left to the shapes.

    `truncation` is the share of the Gibbs weights that the backend "cells" may leave out.
    """

    backend: str
    platform: str
    queries: int | None = None
    atoms: int | None = None
    interpret: bool = False
    truncation: float | None = None

    def blocks(self, sweep: str, dimension: int, itemsize: int) -> Blocks:
        """Block sizes for a sweep (sum, average, entropy, weighted, highest, heaviest), by shape and device.

        On CPU a block of weights stays in a core's L2 cache. Elsewhere a block must be large enough to fill the device.
        """
        sizes = {"average": (1024, 128), "weighted": (512, 256)}
        if self.platform != "cpu":
            queries, atoms = 16384, 256
        else:
            queries, atoms = sizes.get(sweep, (1024, 64) if dimension > DIRECT_DIMENSIONS else (2048, 32))
        if self.platform == "cpu" and itemsize == 8:
            queries //= 2
        if sweep in ("heaviest", "highest"):
            few = sweep == "highest" and self.platform == "cpu" and dimension <= DIRECT_DIMENSIONS
            atoms = UNROLL if few else 32
        return Blocks(self.queries or queries, self.atoms or atoms, self.platform == "cpu")


def make_plan(
    backend: str,
    arrays: Iterable[Array],
    queries: int | None = None,
    atoms: int | None = None,
    *,
    interpret: bool = False,
    truncation: float | None = None,
) -> Plan:
    """The plan for `arrays`: on their device if they are concrete, else on JAX's default device."""
    require(backend in BACKENDS, f"`backend` must be among {', '.join(BACKENDS)}; got {backend!r}.")
    truncation = check_truncation(truncation)
    require(
        truncation is None or backend in ("auto", "cells"),
        f"`truncation` is for the backends 'cells' and 'auto'; `backend` is {backend!r}, which sums over all atoms. "
        "Leave one of the two out.",
    )
    require(
        truncation is not None or backend != "cells",
        "`backend` = 'cells' needs `truncation`, the share of the Gibbs weights that may be left out, such as 1e-9.",
    )
    remedy = "Leave it out to follow the device."
    if queries is not None:
        queries = whole_number("queries_per_block", queries, least=1, remedy=remedy)
    if atoms is not None:
        atoms = whole_number("atoms_per_block", atoms, least=1, remedy=remedy)
    arrays = tuple(arrays)
    platforms = [device.platform for a in arrays if isinstance(a, jax.Array) for device in _devices(a)]
    platform = platforms[0] if platforms else jax.default_backend()
    if backend == "auto":
        double = any(a.dtype.itemsize == 8 for a in arrays)
        backend = "pallas" if platform == "gpu" or (platform == "tpu" and not double) else "blocked"
        if truncation is not None and platform == "cpu":
            backend = "cells"  # its loops of unknown length suit no other device, and all atoms keep any tolerance
    require(
        backend != "pallas" or platform != "cpu" or interpret,
        "`backend` = 'pallas' needs a GPU or a TPU; the arrays are on a CPU. Use 'blocked', or `interpret` = True to "
        "check the Pallas kernels slowly.",
    )
    return Plan(backend, platform, queries, atoms, interpret, truncation if backend == "cells" else None)


def check_truncation(truncation: Any) -> float | None:
    """`truncation` as a number between 0 and 1, or None."""
    if truncation is None:
        return None
    if isinstance(truncation, jax.core.Tracer) or not isinstance(truncation, float | int | np.generic):
        raise TypeError(
            f"`truncation` must be a plain number or None, fixed when a program is compiled; got {truncation!r}."
        )
    require(
        0 < float(truncation) < 1,
        f"`truncation` must be > 0 and < 1; got {truncation}. It is the share of the Gibbs weights that may be left "
        "out, such as 1e-9; None sums over all atoms.",
    )
    return float(truncation)


def _devices(array: Array) -> Iterable[jax.Device]:
    return () if isinstance(array, jax.core.Tracer) else array.devices()
