"""The log-sum-exp kernel against its peers in the same run: CPU seconds on one core, compile seconds, extra memory.

Each figure is the median of interleaved runs, and each ratio is that peer's time over ours: above 1 we are faster.
Peers that are missing are named with the remedy and skipped. `--smoke` runs a small size once. With a GPU, `--gpu`
times 10^6 x 10^6 x 3 against the device's measured rate of exponentials.
"""

import argparse
import time
from pathlib import Path

import _lse_peers

if __name__ == "__main__":
    _lse_peers.one_core()

import jax
import jax.numpy as jnp
import numpy as np

import hjsolve as hj
from hjsolve.kernels.lse import log_sum_exp

CASES = {"A": (4096, 4096, 2), "B": (20_000, 20_000, 3), "C": (10_000, 10_000, 64)}
EPSILON = 0.1
STATUS = Path("/proc/self/status")


def data(m, n, d):
    rng = np.random.default_rng(0)
    x, y, g = (rng.normal(size=shape).astype(np.float32) for shape in ((m, d), (n, d), (n,)))
    return x, y, g


def ours(x, y, g):
    """At t = c = 1, κ = 1/(4ε) and b = −g/ε. The calls are eager; "in a jit" is what a caller's own program gets."""
    x, y, g = (jnp.asarray(a) for a in (x, y, g))
    eps, kappa = np.float32(EPSILON), np.float32(1 / (4 * EPSILON))
    forward_program = jax.jit(lambda x, y, b: log_sum_exp(x, y, b, kappa))
    vjp_program = jax.jit(jax.grad(lambda x, y, b: jnp.sum(log_sum_exp(x, y, b, kappa)), argnums=(0, 1, 2)))

    def forward():
        return hj.kernels.lse(x, y, g, t=1.0, eps=eps, outputs=("u",)).u / -eps

    def gradient():
        found = hj.kernels.lse(x, y, g, t=1.0, eps=eps, outputs=("u", "barycentre"))
        return found.u / -eps, found.barycentre

    def vjp():
        return jax.grad(lambda x, y, b: jnp.sum(log_sum_exp(x, y, b, kappa)), argnums=(0, 1, 2))(x, y, -g / eps)

    return {
        "forward": {"called": forward, "in a jit": lambda: forward_program(x, y, -g / eps)},
        "gradient": {"called": gradient},
        "vjp": {"called": vjp, "in a jit": lambda: vjp_program(x, y, -g / eps)},
    }


def first_call(function):
    """Seconds of CPU the first call takes beyond a second one, and the memory the second adds at its peak (MiB)."""
    began = time.process_time()
    jax.block_until_ready(function())
    first = time.process_time() - began
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")  # the high-water mark starts again from here
    before, began = memory("VmRSS"), time.process_time()
    jax.block_until_ready(function())
    return first - (time.process_time() - began), memory("VmHWM") - before


def memory(field):
    if not STATUS.exists():
        return float("nan")
    return int(STATUS.read_text().split(f"{field}:")[1].split()[0]) / 1024


def median_seconds(functions, repeats):
    """Interleaved, so that a machine that slows down slows all of them."""
    seconds = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            began = time.process_time()
            jax.block_until_ready(function())
            seconds[name].append(time.process_time() - began)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def compare(name, m, n, d, repeats, peers):
    x, y, g = data(m, n, d)
    b, kappa = -g / np.float32(EPSILON), np.float32(1 / (4 * EPSILON))
    print(f"\n{name}: {m} x {n}, d = {d}, float32, ε = {EPSILON}, one core")
    found = {}
    for peer, build in peers.items():
        try:
            found[peer] = build(x, y, b, kappa)
        except _lse_peers.MissingPeerError as reason:
            print(f"  {peer} left out: {reason}")
    reference = _lse_peers.numpy_chunked(*(a.astype(np.float64) for a in (x[:64], y, b)), float(kappa))["forward"]()
    for task, variants in ours(x, y, g).items():
        functions = {f"hjsolve {variant}": f for variant, f in variants.items()}
        costs = {label: first_call(f) for label, f in functions.items()}
        functions |= {peer: f[task] for peer, f in found.items() if task in f}
        for peer in found:
            if task in found[peer]:
                found[peer][task]()  # pykeops compiles on its first call
        if task == "forward":
            errors = {label: np.abs(np.asarray(f())[:64] - reference).max() for label, f in functions.items()}
        seconds = median_seconds(functions, repeats)
        own = seconds["hjsolve called"]
        print(f"  {task}")
        for label, value in seconds.items():
            line = f"    {label:24s} {value:8.4f} s  ratio {value / own:6.2f}"
            if task == "forward":
                line += f"  error {errors[label]:.1e}"
            if label in costs:
                line += f"  first call + {costs[label][0]:.1f} s, extra memory {costs[label][1]:.0f} MiB"
            print(line, flush=True)


def on_gpu():
    """10^6 x 10^6 x 3 in float32, and how close it comes to the exponentials that the device can do."""
    if jax.default_backend() != "gpu":
        print("no GPU here: JAX's default device is", jax.devices()[0])
        return
    n = 10**6
    x, y, g = (jnp.asarray(a) for a in data(n, n, 3))
    exponentials, chain = 2**28, 64

    @jax.jit
    def burn(v):
        return jax.lax.fori_loop(0, chain, lambda _, v: jnp.exp2(-v), v)

    functions = {
        "forward": lambda: hj.kernels.lse(x, y, g, t=1.0, eps=EPSILON, outputs=("u",)).u,
        "value and gradient": lambda: hj.kernels.lse(x, y, g, t=1.0, eps=EPSILON).gradient,
        "exponentials": lambda: burn(jnp.ones(exponentials, jnp.float32)),
    }
    seconds = {}
    for name, function in functions.items():
        jax.block_until_ready(function())
        began = time.perf_counter()
        jax.block_until_ready(function())
        seconds[name] = time.perf_counter() - began
    limit = n * n * seconds["exponentials"] / (exponentials * chain)
    for name in ("forward", "value and gradient"):
        print(f"GPU {name}: {seconds[name]:.3f} s, {seconds[name] / limit:.2f} x the time of its exponentials alone")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a small size, once, without peers")
    parser.add_argument("--gpu", action="store_true", help="time the device instead")
    parser.add_argument("--cases", default="ABC", help="which of A (4096² x 2), B (20000² x 3), C (10000² x 64)")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.gpu:
        on_gpu()
    elif arguments.smoke:
        compare("smoke", 700, 900, 3, 1, {"NumPy, chunked": _lse_peers.numpy_chunked})
    else:
        for name in arguments.cases:
            compare(name, *CASES[name], arguments.repeats, _lse_peers.PEERS)


if __name__ == "__main__":
    main()
