"""The blocked log-sum-exp kernel against hand-chunked NumPy in the same run: time, compile time, peak memory.

Each figure is the median of interleaved runs. `--smoke` runs a small size once.
"""

import argparse
import functools
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np

from hjsolve.kernels.lse import gibbs_average, log_sum_exp

CASES = {"A": (4096, 4096, 2), "B": (20_000, 20_000, 3), "C": (10_000, 10_000, 64)}
EPSILON = 0.1


def data(m, n, d, dtype=np.float32):
    rng = np.random.default_rng(0)
    return (
        rng.normal(size=(m, d)).astype(dtype),
        rng.normal(size=(n, d)).astype(dtype),
        rng.normal(size=n).astype(dtype),
    )


def numpy_forward(x, y, b, kappa, chunk=256):
    results = []
    squares = (y * y).sum(1)
    for start in range(0, len(x), chunk):
        q = x[start : start + chunk]
        scores = b - kappa * ((q * q).sum(1)[:, None] - 2 * q @ y.T + squares)
        highest = scores.max(1)
        results.append(highest + np.log(np.exp(scores - highest[:, None]).sum(1)))
    return np.concatenate(results)


def median_seconds(functions, repeats):
    """Interleaved, so that a machine that slows down slows all of them."""
    seconds = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            began = time.perf_counter()
            jax.block_until_ready(function())
            seconds[name].append(time.perf_counter() - began)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def compiled(function, *arguments):
    began = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    return program, time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    smoke = parser.parse_args().smoke
    for name, sizes in ({"smoke": (700, 900, 3)} if smoke else CASES).items():
        compare(name, *sizes, repeats=1 if smoke else 5)


def compare(name, m, n, d, repeats):
    """Print one case: every derivative's time as a ratio to NumPy's forward pass."""
    x, y, b = data(m, n, d)
    kappa = np.float32(1 / (4 * EPSILON))
    arrays = [jnp.asarray(a) for a in (x, y, b, kappa)]
    functions = {
        "forward": log_sum_exp,
        "value and gradient": lambda x, y, b, k: gibbs_average(x, y, b, k, y),
        "full VJP": jax.grad(lambda x, y, b, k: jnp.sum(log_sum_exp(x, y, b, k)), argnums=(0, 1, 2)),
    }
    programs, compile_seconds = {}, {}
    for label, function in functions.items():
        program, compile_seconds[label] = compiled(function, *arrays)
        programs[label] = functools.partial(program, *arrays)
    programs["NumPy forward"] = functools.partial(numpy_forward, x, y, b, kappa)
    error = np.abs(np.asarray(programs["forward"]()) - programs["NumPy forward"]()).max()
    seconds = median_seconds(programs, repeats)
    peer = seconds["NumPy forward"]
    print(f"{name}: {m} x {n}, d = {d}, float32; largest difference from NumPy {error:.1e}")
    print(f"  NumPy forward       {peer:8.3f} s")
    for label, compiling in compile_seconds.items():
        ratio = peer / seconds[label]
        print(f"  {label:19s} {seconds[label]:8.3f} s = NumPy forward / {ratio:.2f}; compile {compiling:.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  peak memory of the process so far {peak:.0f} MiB")


if __name__ == "__main__":
    main()
