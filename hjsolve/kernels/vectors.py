"""What a program is told about the CPU's vectors."""

from functools import cache
from pathlib import Path

import jax


def wide_vectors() -> tuple[tuple[str, str], ...]:
    """Options of the compiler on JAX's default device: XLA prefers vectors of 256 bits where the CPU has 512.

    JAX takes them for a program of its own alone, not for a part of another one.
    """
    return (("xla_cpu_prefer_vector_width", "512"),) if jax.default_backend() == "cpu" and _has_avx512() else ()


@cache
def _has_avx512() -> bool:
    path = Path("/proc/cpuinfo")
    return path.exists() and "avx512f" in path.read_text()
