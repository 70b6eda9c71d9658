"""The truncated log-sum-exp sweep against the full one: CPU seconds on one core, growth with N, error on sampled rows.

Three kinds of growth: a kernel whose width √(2εt) is fixed holds ever more atoms; one that shrinks with the atoms'
spacing holds equally many; and ε = 0, the minimum over atoms. Up to `FULL` atoms the untruncated sweep runs beside it;
beyond, its time is that one scaled by N². `--smoke` runs small sizes; `--large N` times one cloud of N in d dimensions.
"""

import argparse
import time
import warnings

import _lse_peers

if __name__ == "__main__":
    _lse_peers.one_core()

import jax
import jax.numpy as jnp
import numpy as np

import hjsolve as hj

T, TRUNCATION, FULL = 0.5, 1e-9, 40_000


def data(n, d):
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(-1, 1, (n, d)).astype(np.float32) for _ in range(2))
    return x, y, np.abs(y).sum(1)


def seconds(function):
    """CPU seconds of a second call, with its result."""
    jax.block_until_ready(function())
    began = time.process_time()
    result = jax.block_until_ready(function())
    return time.process_time() - began, result


def error(u, x, y, g, eps, rows):
    """The largest error of u on sampled rows, in float64 by NumPy."""
    worst = 0.0
    for i in rows:
        energies = g.astype(float) + ((x[i].astype(float) - y.astype(float)) ** 2).sum(1) / (4 * T)
        low = energies.min()
        exact = low - (eps * np.log(np.exp(-(energies - low) / eps).sum()) if eps else 0.0)
        worst = max(worst, abs(float(u[i]) - exact))
    return worst


def run(n, d, eps, outputs, full):
    x, y, g = data(n, d)
    on_device = [jnp.asarray(a) for a in (x, y, g)]

    def ask(truncation):
        t, viscosity = np.float32(T), np.float32(eps)
        return hj.kernels.lse(*on_device, t=t, eps=viscosity, outputs=outputs, truncation=truncation)

    mine, found = seconds(lambda: ask(TRUNCATION))
    other = seconds(lambda: ask(None))[0] if full else None
    return mine, other, error(np.asarray(found.u), x, y, g, eps, range(0, n, n // 20))


def series(name, sizes, d, eps_of, outputs):
    print(f"\n{name}, d = {d}, float32, truncation {TRUNCATION:g}, one core, outputs {', '.join(outputs)}")
    times, base = [], None
    for n in sizes:
        eps = eps_of(n)
        mine, other, off = run(n, d, eps, outputs, n <= FULL)
        base = (other, n) if other is not None else base
        full, how = (other, "") if other is not None else (base[0] * (n / base[1]) ** 2, " (scaled)")
        times.append(mine)
        print(
            f"  N = {n:>9,}  eps {eps:.1e}  {mine:8.3f} s  ratio {full / mine:8.1f}{how}  error of u {off:.1e}",
            flush=True,
        )
    last = slice(-3, None)  # the smallest are summed in full
    print(f"  time grows as N^{np.polyfit(np.log(sizes[last]), np.log(times[last]), 1)[0]:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="small sizes, one kind of growth")
    parser.add_argument("--large", type=int, help="one cloud of so many atoms and queries, value alone")
    parser.add_argument("--d", type=int, default=3)
    parser.add_argument("--eps", type=float, default=1e-5, help="for --large")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", hj.HJWarning)  # float32 at small eps: u does not suffer, and u is what is checked
    if arguments.large:
        mine, _, off = run(arguments.large, arguments.d, arguments.eps, ("u",), False)
        print(f"N = {arguments.large:,}, d = {arguments.d}, eps {arguments.eps:g}: {mine:.1f} s, error of u {off:.1e}")
        return
    if arguments.smoke:
        series("fixed kernel", (5_000, 20_000), 3, lambda n: 1e-3, ("u",))
        return
    sizes = (10_000, 40_000, 100_000, 300_000, 1_000_000)
    for d in (1, 2, 3):
        series("fixed kernel", sizes, d, lambda n: 1e-4, ("u",))
    series("fixed kernel", sizes, 3, lambda n: 1e-4, ("u", "gradient"))
    # at t = 1/2, √(2εt) = √ε = 4 N^(−1/3): twice the spacing of N atoms in a cube of side 2
    series("kernel of two spacings", sizes, 3, lambda n: 16 * n ** (-2 / 3), ("u",))
    series("minimum over atoms", sizes, 3, lambda n: 0.0, ("u",))


if __name__ == "__main__":
    main()
