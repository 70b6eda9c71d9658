"""Which backend evaluates the log-sum-exp kernels, and in blocks of what size."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax

from ..checks import require
from ..typing import Array

BACKENDS = ("auto", "reference", "blocked", "pallas")
UNROLL = 32
"""Rows of a block that are separate expressions on CPU; more compile longer and gain nothing."""
DIRECT_DIMENSIONS = 8
"""Up to here distances are sums of squared differences; beyond, they are expanded into a matrix product."""


class Blocks(NamedTuple):
    """How many queries and atoms meet at a time, and whether the atoms of a step are unrolled."""

    queries: int
    atoms: int
    unrolled: bool


class Plan(NamedTuple):
    """How to evaluate: `backend`, the `platform` it runs on, and block sizes where they are not left to the shapes."""

    backend: str
    platform: str
    queries: int | None = None
    atoms: int | None = None
    interpret: bool = False

    def blocks(self, sweep: str, dimension: int, itemsize: int) -> Blocks:
        """Block sizes for a sweep ("sum", "average", "entropy", "weighted", "heaviest"), by shape and device.

        On CPU a block of weights stays in a core's L2 cache. Elsewhere a block must be large enough to fill the device.
        """
        if self.platform != "cpu":
            queries, atoms = 16384, 256
        elif dimension > DIRECT_DIMENSIONS:
            sizes = {"average": (1024, 128), "weighted": (512, 256)}
            queries, atoms = sizes.get(sweep, (1024, 64))
        else:
            sizes = {"average": (1024, 128), "weighted": (512, 256)}
            queries, atoms = sizes.get(sweep, (2048, 32))
        if self.platform == "cpu" and itemsize == 8:
            queries //= 2
        if sweep == "heaviest":
            atoms = min(atoms, UNROLL)
        return Blocks(self.queries or queries, self.atoms or atoms, self.platform == "cpu")

    def compiler_options(self) -> tuple[tuple[str, str], ...]:
        """What a program of its own is compiled with: XLA prefers vectors of 256 bits where the CPU has 512."""
        return (("xla_cpu_prefer_vector_width", "512"),) if self.platform == "cpu" and _has_avx512() else ()


def make_plan(
    backend: str,
    arrays: Iterable[Array],
    queries: int | None = None,
    atoms: int | None = None,
    *,
    interpret: bool = False,
) -> Plan:
    """The plan for `arrays`: on their device if they are concrete, else on JAX's default device."""
    require(backend in BACKENDS, f"`backend` must be among {', '.join(BACKENDS)}; got {backend!r}.")
    for name, size in (("queries_per_block", queries), ("atoms_per_block", atoms)):
        require(size is None or size >= 1, f"`{name}` must be >= 1; got {size}. Leave it out to follow the device.")
    arrays = tuple(arrays)
    platforms = [device.platform for a in arrays if isinstance(a, jax.Array) for device in _devices(a)]
    platform = platforms[0] if platforms else jax.default_backend()
    if backend == "auto":
        double = any(a.dtype.itemsize == 8 for a in arrays)
        backend = "pallas" if platform == "gpu" or (platform == "tpu" and not double) else "blocked"
    require(
        backend != "pallas" or platform != "cpu" or interpret,
        "`backend` = 'pallas' needs a GPU or a TPU; the arrays are on a CPU. Use 'blocked', or `interpret` = True to "
        "check the Pallas kernels slowly.",
    )
    return Plan(backend, platform, queries, atoms, interpret)


def _devices(array: Array) -> Iterable[jax.Device]:
    return () if isinstance(array, jax.core.Tracer) else array.devices()


@cache
def _has_avx512() -> bool:
    path = Path("/proc/cpuinfo")
    return path.exists() and "avx512f" in path.read_text()
