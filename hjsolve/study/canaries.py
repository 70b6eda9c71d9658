"""Small computations that a broken compiler gets wrong, checked against NumPy before a number is trusted.

jax 0.10.2 on CPU silently returned wrong maxima and sums (jax bug 39103: its YNN fusion). The sizes are the smallest
that set it off; every run checks the two fast cases, `hjsolve doctor` and the tests check all three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import RunFailed

REMEDY = (
    "The installed jax computes wrong numbers on this machine. Install jax 0.10.1 or >= 0.10.3, "
    "or set XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type= and start again."
)


@dataclass(frozen=True)
class Verdict:
    """One canary: the largest error against NumPy, and whether it is only rounding."""

    name: str
    ok: bool
    error: float


def check(*, thorough: bool = False) -> list[Verdict]:
    """Run the fast canaries, and with `thorough` the large one (3.3 GB for a few seconds), on the CPU.

    They compile anew in every process: a stored verdict would hide a compiler that changed underneath. The list is
    empty where JAX has no CPU backend.
    """
    import jax

    try:
        cpu = jax.devices("cpu")[0]
    except RuntimeError:
        return []
    with jax.default_device(cpu):
        verdicts = [_squares(16385, np.float64, 1e-11), _squares(32769, np.float32, 1e-4)]
        return [*verdicts, _maxima(20000)] if thorough else verdicts


def require() -> None:
    """Raise `RunFailed` with the remedy where the compiler gets a fast canary wrong."""
    wrong = [verdict for verdict in check() if not verdict.ok]
    if wrong:
        raise RunFailed("\n".join([*(f"{one.name}: relative error {one.error:.1e}" for one in wrong), REMEDY]))


def _squares(rows: int, dtype: type[np.floating[Any]], tolerance: float) -> Verdict:
    """Check `vmap(lambda r: sum((M r)^2))`: in 0.10.2 the last row was wrong."""
    import jax

    random = np.random.default_rng(0)
    M, R = random.normal(size=(3, 3)).astype(dtype), random.normal(size=(rows, 3)).astype(dtype)
    expected = ((R @ M.T) ** 2).sum(1)
    with jax.enable_x64(dtype is np.float64):
        computed = _jit(lambda R: jax.vmap(lambda r: ((M @ r) ** 2).sum())(R), R)
    return _verdict(f"batched |M r|^2, {rows} rows, {np.dtype(dtype)}", computed, expected, tolerance)


def _maxima(size: int) -> Verdict:
    """Check `max(X W + b)` over rows: in 0.10.2 every row was wrong once both sizes reached 20000."""
    import jax

    random = np.random.default_rng(0)
    X, W, b = random.normal(size=(size, 3)), random.normal(size=(3, size)), random.normal(size=size)
    rows = np.arange(0, size, 7)  # NumPy in blocks of 40 MB, on a sample: a wrong kernel is wrong everywhere
    expected = np.concatenate([(X[block] @ W + b).max(1) for block in np.array_split(rows, 12)])
    with jax.enable_x64(True):
        computed = _jit(lambda X, W, b: (X @ W + b).max(1), X, W, b)[rows]
    return _verdict(f"max(X W + b), {size} x {size}, float64", computed, expected, 1e-12)


def _jit(function: Callable[..., Any], *arguments: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import jax

    return np.asarray(jax.jit(function)(*arguments))


def _verdict(name: str, computed: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], tolerance: float) -> Verdict:
    """Compare relative to the largest value; the tolerance is a thousand roundings above a right compiler's error."""
    error = float(np.abs(computed - expected).max() / np.abs(expected).max())
    return Verdict(name, error <= tolerance, error)
