"""What a computation costs: compile time, run time and the memory that the compiled program holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cost:
    """`compile_seconds` once, the median `seconds` of a run, and `peak_bytes`: arguments, results and temporaries."""

    compile_seconds: float
    seconds: float
    peak_bytes: int


def measure(function: Callable[..., Any], cases: Sequence[tuple[Any, ...]]) -> tuple[list[Any], Cost]:
    """Compile `function` once for the shapes of `cases[0]`, run it on every case, and say what that cost.

    The cases must agree in everything but the numbers in their arrays.
    """
    import equinox as eqx
    import jax
    import numpy as np

    began = time.perf_counter()
    jitted: Any = eqx.filter_jit(function)
    compiled = jitted.lower(*cases[0]).compile()
    compile_seconds = time.perf_counter() - began
    results, seconds = [], []
    for case in cases:
        began = time.perf_counter()
        results.append(jax.block_until_ready(compiled(*case)))
        seconds.append(time.perf_counter() - began)
    memory = compiled.compiled.memory_analysis()
    peak = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return results, Cost(compile_seconds, float(np.median(seconds)), int(peak))
