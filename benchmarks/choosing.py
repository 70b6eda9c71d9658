"""Which method for which problem: error and time of every method that can solve a few typical problems, in one run.

Prints the Markdown table of docs/choosing.md. Errors are the largest ones at 500 points in the middle half of the box
(one point in 100-D), against exact solutions; seconds are those of a second call (the first one compiles), float64.
`--smoke` runs two cases at small sizes.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

import hjsolve as hj

jax.config.update("jax_enable_x64", True)
particle, grid = hj.methods.particle, hj.methods.grid


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    smoke = parser.parse_args().smoke
    print("| problem | method | largest error in u | in ∇u | seconds | compile |\n|---|---|---|---|---|---|")
    for name, exact, problem, points, methods in cases(smoke):
        if smoke and not name.startswith(("1-D, g = |x|, ε = 0.1", "10-D")):
            continue
        for label, method in methods.items():
            print(row(name, exact, problem, points, label, method), flush=True)


def row(name, exact, problem, points, label, method):
    """One line: the method solved twice, the second time for its seconds."""
    ts = [float(problem.horizon)]

    def solve():
        return hj.solve(problem, method, ts, points=points, key=jax.random.key(0), throw=False)

    first = solve()
    began = time.perf_counter()
    second = solve()
    seconds = time.perf_counter() - began
    at = jax.vmap(lambda x: exact(ts[0], x))(points)
    slope = jax.vmap(jax.grad(lambda x: exact(ts[0], x)))(points)
    error = float(jnp.max(jnp.abs(second.u[0] - at)))
    slope_error = float(jnp.max(jnp.abs(second.gradient[0] - slope)))
    note = "" if second.result == hj.RESULTS.successful else " (flagged)"
    compiling = float(first.stats["compile_seconds"])
    name = name.replace("|", "\\|")  # a bar ends a cell in Markdown
    return f"| {name} | {label} | {error:.1e}{note} | {slope_error:.1e} | {seconds:.3f} | {compiling:.1f} |"


def inside(d, m, half_width=1.0):
    """m points in a cube, off every grid's nodes."""
    return jnp.asarray(np.random.default_rng(0).uniform(-half_width, half_width, (m, d)))


def cases(smoke):
    """(name, exact solution, problem, points, methods by their printed name)."""
    n1, n2, n3, paths = (50, 16, 8, 512) if smoke else (400, 128, 48, 4096)
    m = 20 if smoke else 500
    for epsilon in (0.1, 1e-3, 0.0):
        exact = hj.exact.AbsoluteValue(epsilon)
        problem = exact.problem(hj.Box([-2.0], [2.0]), 0.5)
        methods = {
            "HopfCole()": particle.HopfCole(),
            f"Propagator({n1})": grid.Propagator(n1),
            f"FiniteDifference({n1})": grid.FiniteDifference(n1),
        }
        if epsilon == 0:
            methods |= {"HopfLax()": particle.HopfLax()}
        yield f"1-D, g = |x|, ε = {epsilon:g}", exact, problem, inside(1, m), methods

    slopes = np.array([[0.9, 0.3], [-0.5, 0.8], [0.1, -0.7]])
    for epsilon in (0.1, 0.01):
        exact = hj.exact.MultiShock(slopes, np.array([0.0, 0.1, 0.05]), epsilon)
        problem = exact.problem(hj.Box([-2.0] * 2, [2.0] * 2), 0.5)
        yield (
            f"2-D multi-shock, ε = {epsilon:g}",
            exact,
            problem,
            inside(2, m),
            {
                "HopfCole()": particle.HopfCole(),
                "HopfCole(nodes=256)": particle.HopfCole(nodes=32 if smoke else 256),
                f"Propagator({n2})": grid.Propagator(n2),
                f"FiniteDifference({n2})": grid.FiniteDifference(n2),
                f"FeynmanKac({paths})": particle.FeynmanKac(paths),
            },
        )

    exact = hj.exact.Quadratic(np.diag([1.0, 2.0, 0.5]), viscosity=0.1)
    problem = exact.problem(hj.Box([-2.0] * 3, [2.0] * 3), 0.5)
    yield (
        "3-D quadratic, ε = 0.1",
        exact,
        problem,
        inside(3, m),
        {
            "HopfCole()": particle.HopfCole(),
            f"Propagator({n3})": grid.Propagator(n3),
            f"FiniteDifference({n3})": grid.FiniteDifference(n3),
        },
    )

    exact = hj.exact.EikonalDiscs(np.array([[-0.6, 0.0], [0.5, 0.3]]), np.array([0.3, 0.2]))
    problem = exact.problem(hj.Box([-2.0] * 2, [2.0] * 2), 0.3)
    yield (
        "2-D eikonal, two discs, ε = 0",
        exact,
        problem,
        inside(2, m),
        {
            "HopfLax()": particle.HopfLax(),
            f"FiniteDifference({n2})": grid.FiniteDifference(n2),
        },
    )

    exact = hj.exact.Harmonic(1.0, 0.5, 0.1, dimension=2)
    problem = exact.problem(hj.Box([-2.0] * 2, [2.0] * 2), 0.5)
    yield (
        "2-D harmonic potential, ε = 0.1",
        exact,
        problem,
        inside(2, m),
        {
            f"Propagator({n2 // 2}, order=4)": grid.Propagator(n2 // 2, order=4, dt=1 / 16),
            f"FiniteDifference({n2})": grid.FiniteDifference(n2),
            f"FeynmanKac({paths})": particle.FeynmanKac(paths),
        },
    )

    d = 10 if smoke else 100
    exact = hj.exact.DeepBSDE(dimension=d, lam=1.0)
    yield (
        f"{d}-D, g = ln((1+|x|²)/2), at 0",
        exact,
        exact.problem(),
        jnp.zeros((1, d)),
        {
            "HopfCole()": particle.HopfCole(),
            f"FeynmanKac({paths})": particle.FeynmanKac(paths),
        },
    )


if __name__ == "__main__":
    main()
