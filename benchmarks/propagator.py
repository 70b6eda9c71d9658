"""The separable propagator against its peers in the same run: time, error, compile time, peak memory.

Peers: a SciPy FFT heat step (exp, FFT, log), WENO5 finite differences of this suite, the direct sum over the same nodes
by HopfCole, one-dimensional integrals where data separate, and SciPy's distance transform at ε = 0. `--smoke` runs tiny
sizes once.
"""

import argparse
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
from scipy.fft import irfftn, rfftn
from scipy.ndimage import distance_transform_edt
from scipy.special import logsumexp

import hjsolve as hj
from hjsolve.kernels.envelope import lower_envelope

Propagator = hj.methods.grid.Propagator


def timed(function, repeats=2):
    """The last result, its least CPU seconds, and those of the first call (which compiles)."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.process_time()
        result = function()
        jax.block_until_ready(jax.tree.leaves(result))
        seconds.append(time.process_time() - began)
    return result, min(seconds[1:]), seconds[0]


def largest(values, expected):
    return float(np.abs(np.asarray(values) - expected).max())


def memory():
    return f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"


def fft_step(u, extent, epsilon, t):
    """−ε log of the heat equation's Fourier solution."""
    n = u.shape[0]
    wave = 2 * np.pi / extent * np.fft.fftfreq(n, 1 / n)
    squared = wave[:, None] ** 2 + (2 * np.pi / extent * np.arange(n // 2 + 1)) ** 2
    with np.errstate(all="ignore"):
        return -epsilon * np.log(irfftn(rfftn(np.exp(-u / epsilon)) * np.exp(-epsilon * t * squared), s=u.shape))


def viscous_torus(n, t, epsilons):
    """Waves of height 1 on a torus, every peer against four times the nodes; and shocks whose solution is known."""
    print(f"viscous |p|² on a {n}² torus, T = {t}, float64, largest error and CPU seconds")
    for epsilon in epsilons:
        slopes = np.array([[0.0, 0.0], [0.9, 0.3], [-0.5, 0.8]])
        exact = hj.exact.MultiShock(slopes, np.array([0.1, 0.0, 0.05]), epsilon)
        box = hj.Box([-1.0, -1.0], [1.0, 1.0])
        wavy = hj.initials.Custom(lambda x: 0.5 * jnp.cos(np.pi * x[0]) + 0.5 * jnp.sin(np.pi * x[1]))
        torus = hj.Problem(hj.hamiltonians.Quadratic(), epsilon, wavy, hj.Torus([-1.0] * 2, [1.0] * 2), t)
        solution, seconds, first = timed(lambda p=torus: hj.solve(p, Propagator(n), [t], throw=False))
        fine = hj.solve(torus, Propagator(4 * n), [t], throw=False).u[0].reshape(4 * n, 4 * n)[::4, ::4].reshape(-1)
        nodes = np.asarray(solution.points)
        start = np.asarray(jax.vmap(wavy)(nodes)).reshape(n, n)
        spectral, fft_seconds, _ = timed(lambda u=start, e=epsilon: fft_step(u, 2.0, e, t))
        weno, weno_seconds, _ = timed(
            lambda p=torus: hj.solve(p, hj.methods.grid.FiniteDifference(n), [t], throw=False).u[0], repeats=1
        )
        print(f"  ε = {epsilon:g}")
        print(f"    propagator   {largest(solution.u[0], fine):.1e}  {seconds:7.3f} s  first call {first:.1f} s")
        print(f"    SciPy FFT    {largest(spectral.reshape(-1), fine):.1e}  {fft_seconds:7.3f} s")
        print(f"    WENO5        {largest(weno, fine):.1e}  {weno_seconds:7.3f} s = {weno_seconds / seconds:.0f} x")
        planes = hj.solve(exact.problem(box, t), Propagator(n // 4), [t], throw=False)
        known = np.asarray(jax.vmap(lambda x, exact=exact: exact(t, x))(planes.points))
        print(f"    propagator on the multi-shock of {n // 4}² cells {largest(planes.u[0], known):.1e}")
    print("  " + memory())


def large_cube(n, epsilon, t, directly):
    """n³ nodes in float32, against the direct sum over the same nodes at some of them."""
    wells = hj.initials.Custom(lambda x: 0.5 * jnp.sin(np.pi * x[0]) + 0.3 * jnp.cos(np.pi * (x[1] + x[2])))
    torus = hj.Problem(hj.hamiltonians.Quadratic(), epsilon, wells, hj.Torus([-1.0] * 3, [1.0] * 3), t)
    began = time.process_time()
    first = hj.solve(torus, Propagator(n), [t])
    compiling, first_seconds = float(first.stats["compile_seconds"]), time.process_time() - began
    del first
    began, wall = time.process_time(), time.perf_counter()
    solution = hj.solve(torus, Propagator(n), [t])
    seconds, wall = time.process_time() - began, time.perf_counter() - wall
    print(f"{n}³ torus, ε = {epsilon:g}, t = {t:g}, float32: u and ∇u in {seconds:.2f} CPU s, {wall:.2f} s; {memory()}")
    print(f"  first call {first_seconds:.1f} CPU s, of which it waited {compiling:.1f} s for the compiler")
    chosen = np.random.default_rng(0).integers(0, n**3, directly)
    box = hj.Problem(torus.hamiltonian, torus.viscosity, torus.initial, torus.domain, t)
    points = np.asarray(solution.points)[chosen]
    direct = hj.methods.particle.HopfCole(nodes=n)
    values, direct_seconds, _ = timed(lambda: hj.solve(box, direct, [t], points=points, throw=False).u[0], repeats=1)
    print(
        f"  HopfCole with {n}³ nodes at {directly} of them: {direct_seconds:.2f} CPU s, so "
        f"{direct_seconds / directly * n**3 / seconds:.1e} x for all; largest difference "
        f"{largest(solution.u[0][chosen], np.asarray(values)):.1e}"
    )


def one_dimensional(g, x, epsilon, t):
    """The Cauchy problem of one variable by a trapezoid rule of 120,000 nodes in float64, c = 1."""
    y = np.linspace(-6, 6, 120_001)
    values = [logsumexp(-(g(y) + (a - y) ** 2 / (4 * t)) / epsilon) for a in x]
    return -epsilon * (np.array(values) + np.log(y[1] - y[0]) - 0.5 * np.log(4 * np.pi * epsilon * t))


def free_cube(n, epsilon, t, compared, names):
    """n³ cells of a free box in float32: waves, and |x|₁ with its kinks, against one-dimensional integrals."""
    waves = hj.initials.Custom(lambda x: 0.5 * jnp.sin(np.pi * x[0]) + 0.3 * jnp.cos(np.pi * (x[1] + x[2])))
    kinks = hj.initials.Custom(lambda x: jnp.sum(jnp.abs(x)))
    known = {
        "waves": lambda x: (
            one_dimensional(lambda y: 0.5 * np.sin(np.pi * y), x[:, 0], epsilon, t)
            # in the direction (0, 1, 1)
            + one_dimensional(
                lambda y: 0.3 * np.cos(np.pi * np.sqrt(2) * y), (x[:, 1] + x[:, 2]) / np.sqrt(2), epsilon, t
            )
        ),
        "|x|₁": lambda x: sum(one_dimensional(np.abs, x[:, k], epsilon, t) for k in range(3)),
    }
    for name in names:
        data = {"waves": waves, "|x|₁": kinks}[name]
        problem = hj.Problem(hj.hamiltonians.Quadratic(), epsilon, data, hj.Box([-1.0] * 3, [1.0] * 3), t)
        compiling = float(hj.solve(problem, Propagator(n), [t], throw=False).stats["compile_seconds"])
        began, wall = time.process_time(), time.perf_counter()
        solution = hj.solve(problem, Propagator(n), [t], throw=False)
        seconds, wall = time.process_time() - began, time.perf_counter() - wall
        chosen = np.random.default_rng(0).integers(0, (n + 1) ** 3, compared)
        exact = known[name](np.asarray(solution.points)[chosen].astype(float))
        print(
            f"{n}³ free box, {name}, ε = {epsilon:g}, t = {t:g}, float32: {seconds:.2f} CPU s, {wall:.2f} s; compiled "
            f"in {compiling:.1f} s; error {largest(solution.u[0][chosen], exact):.1e}; {memory()}"
        )
        del solution


def distance(n):
    """ε = 0: the envelope against SciPy's transform of the same picture."""
    picture = np.random.default_rng(0).uniform(size=(n, n)) > 1e-3
    line = jnp.arange(float(n))
    far = jnp.where(jnp.asarray(picture), 1e8, 0.0)

    @jax.jit
    def envelope(far):
        once, _ = lower_envelope(far, (), line, line, jnp.asarray(1.0))
        return lower_envelope(once, (), line, line, jnp.asarray(1.0))[0]

    squared, seconds, first = timed(lambda: envelope(far))
    peer, peer_seconds, _ = timed(lambda: distance_transform_edt(picture))
    print(
        f"ε = 0, {n}² picture, float64: {seconds:.3f} CPU s = SciPy x {seconds / peer_seconds:.1f}; first call "
        f"{first:.1f} s; equal everywhere: {bool((np.sqrt(np.asarray(squared)) == peer).all())}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    smoke = parser.parse_args().smoke
    with jax.enable_x64(False):
        large_cube(*((16, 0.1, 1.0, 16) if smoke else (256, 0.01, 1.0, 64)))
        free_cube(*((12, 0.1, 0.5, 8, ("waves",)) if smoke else (256, 0.01, 0.5, 64, ("waves", "|x|₁"))))
    with jax.enable_x64(True):
        viscous_torus(*((24, 0.2, (0.1,)) if smoke else (256, 1.5, (0.01, 0.001))))
        distance(32 if smoke else 1024)


if __name__ == "__main__":
    main()
