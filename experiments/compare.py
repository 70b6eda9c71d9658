"""Trained networks beside grid and particle solvers: error and cost, transfer, and the equation that each learnt."""

import warnings
from typing import Annotated, Any, Literal, NamedTuple, get_args

import numpy as np
from pydantic import Field

from hjsolve.study.config import RunConfig
from hjsolve.study.table import Table
from hjsolve.study.terminal import progress

from . import compared_networks as compared
from . import initial_families as data

FIGURES = ("compare", "compare_transfer", "compare_curves", "compare_panels")
Hamiltonian = Literal["quadratic", "eikonal", "cosine"]
"""|p|², |p| and −cos(Σp_i + 1)."""
Solver = Literal["Upwind", "WENO5", "Propagator", "HopfCole"]
HOPF_COLE = {"Attention", "SSM", "Propagator", "HopfCole"}
"""What solves |p|² with viscosity alone."""
REFINED = 4
"""Nodes of the reference of a problem without a formula, for each node compared."""
UNSEEN, FINER, LATER, THICKER = "held-out", "finer grid", "twice the horizon", "twice the viscosity"


class Config(RunConfig):
    """Equations, methods and the budget of every training: `seconds` on at most `parameters` weights."""

    dimensions: tuple[Annotated[int, Field(ge=1, le=2)], ...] = Field(default=(1,), min_length=1)
    hamiltonians: tuple[Hamiltonian, ...] = Field(default=get_args(Hamiltonian), min_length=1)
    viscosities: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(default=(0.1,), min_length=1)
    networks: tuple[compared.Name, ...] = get_args(compared.Name)
    solvers: tuple[Solver, ...] = get_args(Solver)
    cells: int = Field(default=64, ge=16, le=1024, description="nodes of an axis, of networks and solvers")
    horizon: float = Field(default=1.0, gt=0, le=10)
    train: int = Field(default=256, ge=8, description="problems to learn from, all of them waves")
    test: int = Field(default=64, ge=8, description="problems of each family that no training sees")
    seconds: float = Field(default=8.0, gt=0, description="of every training, once it is compiled")
    parameters: int = Field(default=160, ge=16, description="weights at most")
    seeds: int = Field(default=3, ge=1, le=100)


class Equation(NamedTuple):
    """One of the equations compared."""

    name: Hamiltonian
    epsilon: float
    d: int
    hamiltonian: Any

    def serves(self, method):
        """Whether a method is made for this equation."""
        return method not in HOPF_COLE or (self.name == "quadratic" and self.epsilon > 0)


class Fields(NamedTuple):
    """Problems of one family, their data on the nodes, and the solution there `[n, m]`; its gradient `[n, m, d]`."""

    problems: Any
    start: np.ndarray
    u: np.ndarray
    gradient: np.ndarray


def run(config, table):
    """Fill one row for each equation, method, seed and condition; curves, panels and training losses as fields."""
    equations = [
        Equation(name, epsilon, d, _hamiltonian(name, d))
        for d in config.dimensions
        for name in config.hamiltonians
        for epsilon in config.viscosities
    ]
    with progress("compare", len(equations)) as reached, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # layers thinner than a cell, on purpose: the errors say how much
        for number, equation in enumerate(equations):
            _compare(config, table, number, equation)
            reached(number + 1)


def summary(table):
    """One row for each equation and method, medians over the seeds: errors, cost, and the viscosity learnt."""
    shown, groups = Table(), {}
    for row in table.rows:
        if row["condition"] != "not applicable":
            groups.setdefault((row["H"], row["ε"], row["d"], row["method"]), []).append(row)
    for (name, epsilon, d, method), rows in groups.items():

        def median(column, condition=UNSEEN, rows=rows):
            values = [row[column] for row in rows if row["condition"] == condition and row.get(column) is not None]
            return float(np.median(values)) if values else None

        errors = {f"L1, {condition}": median("L1", condition) for condition in (UNSEEN, "kinks", "shocks")}
        rest = {column: median(column) for column in ("L1 of ∇u", "ms a solve", "ε read", "ε measured", "training [s]")}
        shown.add(H=name, ε=epsilon, d=d, method=method, **errors, **rest)
    return shown


def _hamiltonian(name, d):
    import jax.numpy as jnp

    import hjsolve as hj

    if name == "quadratic":
        return hj.hamiltonians.Quadratic(1.0)
    if name == "eikonal":
        return hj.hamiltonians.Eikonal(1.0)
    return hj.hamiltonians.Custom(lambda t, x, p: -jnp.cos(jnp.sum(p, axis=0) + 1), dimension=d)


def _compare(config, table, number, equation):
    rng = np.random.default_rng([config.seed, number])
    learnt, tests = _fields(config, equation, rng)
    about = {"H": equation.name, "ε": equation.epsilon, "d": equation.d}
    shown = {"u at 0": tests["kinks"].start[0], "reference": tests["kinks"].u[0]}
    for name in config.solvers:
        if not equation.serves(name):
            table.add(**about, method=name, condition="not applicable")
            continue
        found = _solved([(_solver(name, config.cells), tests[family]) for family in (UNSEEN, "kinks", "shocks")])
        for condition, (fields, row) in zip((UNSEEN, "kinks", "shocks"), found, strict=True):
            table.add(**about, method=name, condition=condition, **row)
            if condition == "kinks":
                shown[name] = fields[0][0]
    for name in config.networks:
        if not equation.serves(name):
            table.add(**about, method=name, condition="not applicable")
            continue
        shown[name] = _networks(config, table, {**about, "method": name}, number, equation, learnt, tests)
    table.field(f"panels_{number}", np.array(list(shown.values())), dims=("method", "x"), methods=list(shown))


def _networks(config, table, about, number, equation, learnt, tests):
    """Train one network for each seed and compare them all; returns what the first makes of the first kinks."""
    name, trained = about["method"], []
    steps = compared.affordable(config, equation, name, learnt)
    for seed in range(config.seeds):
        network, record, losses = compared.trained(config, equation, name, seed, learnt, steps)
        record |= {"ε read": compared.viscosity_read(network, equation)}
        measured = compared.measured(config, network, learnt.problems[:32])
        if measured is None:
            table.log(f"{name}, seed {seed}: not measured, as a step of it is not finite everywhere")
        else:
            record |= {"ε measured": measured.viscosity, "misfit": measured.residual}
            record |= dict(zip(("ε low", "ε high"), measured.viscosity_interval, strict=True))
            along = np.zeros((equation.d, measured.slopes.shape[1]))
            along[0] = measured.slopes[0]
            curve = np.stack([along[0], measured.hamiltonian(along)])
            table.field(f"curve_{name}_{number}_{seed}", curve, dims=("what", "p"))
        table.field(f"loss_{name}_{number}_{seed}", losses, dims=("chunk",))
        table.log(
            f"{name}, {equation.name}, ε = {equation.epsilon:g}, d = {equation.d}, seed {seed}: "
            f"{record['training steps']} steps, loss {record['last loss']:.1e}, "
            f"ε read {record['ε read']:.3g}, measured {record.get('ε measured', float('nan')):.3g}"
        )
        trained.append((network, record))
    on_grid = [condition for condition in (UNSEEN, "kinks", "shocks", LATER, THICKER) if condition in tests]
    cases = []
    for seed, (network, record) in enumerate(trained):
        thicker = compared.rebuilt(network, equation, factor=2.0) if THICKER in tests else None
        for condition in on_grid:
            extra = record if condition == UNSEEN else {}
            cases.append((seed, condition, extra, thicker if condition == THICKER else network, tests[condition]))
    found = _solved([case[3:] for case in cases])
    finer = [compared.rebuilt(network, equation, cells=2 * config.cells) for network, _ in trained]
    cases += [(seed, FINER, {}, network, tests[FINER]) for seed, network in enumerate(finer)]
    found += _solved([case[3:] for case in cases[len(found) :]])
    for (seed, condition, extra, _, _), (_, row) in zip(cases, found, strict=True):
        table.add(**about, seed=seed, condition=condition, **row, **extra)
    return found[1][0][0][0]


def _fields(config, equation, rng):
    """What is learnt from, and what is asked by condition: exact where a formula is, else by WENO5 on a finer grid."""
    import hjsolve as hj

    def pose(family, epsilon=equation.epsilon, horizon=config.horizon):
        numbers = data.draw(family, equation.d, config.test, rng)
        return data.problems(equation.hamiltonian, epsilon, equation.d, horizon, numbers)

    posed = {UNSEEN: pose("waves"), "kinks": pose("kinks"), "shocks": pose("shocks")}
    posed[LATER] = pose("waves", horizon=2 * config.horizon)
    if equation.epsilon > 0:
        posed[THICKER] = pose("waves", epsilon=2 * equation.epsilon)
    batches = -(-config.train // config.test)
    posed |= {f"batch {k}": pose("waves") for k in range(batches)}
    exact = equation.serves("Propagator")
    grid, cells = hj.methods.grid, REFINED * config.cells
    reference = grid.Propagator(cells) if exact else grid.FiniteDifference(cells, stepper=grid.steppers.Auto())
    finer = reference if exact else grid.FiniteDifference(2 * cells, stepper=grid.steppers.Auto())
    nodes = _nodes(equation.d, config.cells)
    results, _ = _batched([(reference, problems) for problems in posed.values()], nodes)
    found = {name: Fields(problems, *result) for (name, problems), result in zip(posed.items(), results, strict=True)}
    problems = pose("waves")
    found[FINER] = Fields(problems, *_batched([(finer, problems)], _nodes(equation.d, 2 * config.cells))[0][0])
    parts = [found.pop(f"batch {k}") for k in range(batches)]
    joined = (np.concatenate(arrays)[: config.train] for arrays in zip(*(part[1:] for part in parts), strict=True))
    return Fields([problem for part in parts for problem in part.problems], *joined), found


def _nodes(d, cells):
    axis = -np.pi + 2 * np.pi / cells * np.arange(cells)
    return np.stack(np.meshgrid(*[axis] * d, indexing="ij"), axis=-1).reshape(-1, d)


def _batched(cases, points):
    """(data, solution, gradient) at `points` for every (method, problems), all by one program, and what a solve costs.

    The methods are alike but for their numbers, and so are the problems.
    """
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    import hjsolve as hj
    from hjsolve.study.measure import measure

    def stacked(problems):
        arrays, rest = zip(*(eqx.partition(problem, eqx.is_array_like) for problem in problems), strict=True)
        joined = jax.tree.map(lambda *a: jnp.stack([jnp.asarray(v, float) for v in a]), *arrays)
        return eqx.combine(joined, rest[0])

    def solve(method, problems):
        def one(problem):
            found = hj.solve(problem, method, jnp.atleast_1d(problem.horizon), points=points, throw=False)
            return jax.vmap(problem.initial)(points), found.u[0], found.gradient[0]

        return eqx.filter_vmap(one)(problems)

    together = {}  # a network carried elsewhere has other shapes
    for index, (method, problems) in enumerate(cases):
        as_arrays = jax.tree.map(
            lambda a: jnp.asarray(np.asarray(a)) if eqx.is_array_like(a) else a, (method, stacked(problems))
        )
        leaves, structure = jax.tree.flatten(as_arrays)
        kind = structure, tuple((np.shape(leaf), np.result_type(leaf)) for leaf in leaves if eqx.is_array(leaf))
        together.setdefault(kind, []).append((index, as_arrays))
    found, seconds, size = [None] * len(cases), [], 0
    for group in together.values():
        results, cost = measure(solve, [case for _, case in group])
        for (index, _), result in zip(group, results, strict=True):
            found[index] = tuple(np.asarray(a) for a in result)
        seconds.append(cost.seconds)
        size = max(size, cost.peak_bytes)
    count = len(cases[0][1])
    return found, {"ms a solve": 1e3 * float(np.median(seconds)) / count, "MB": size / 2**20 / count}


def _solver(name, cells):
    import hjsolve as hj

    grid = hj.methods.grid
    if name == "HopfCole":
        return hj.methods.particle.HopfCole()
    if name == "Propagator":
        return grid.Propagator(cells)
    derivative = grid.derivatives.Upwind() if name == "Upwind" else grid.derivatives.WENO5()
    return grid.FiniteDifference(cells, derivative=derivative, stepper=grid.steppers.Auto())


def _solved(cases):
    """For every (method, fields): u and ∇u, and a row of errors and costs; all on the nodes of the first."""
    first = cases[0][1]
    d = first.gradient.shape[-1]
    results, cost = _batched([(m, f.problems) for m, f in cases], _nodes(d, round(first.u.shape[1] ** (1 / d))))
    return [(r[1:], {**_errors(*r[1:], f), **cost}) for r, (_, f) in zip(results, cases, strict=True)]


def _errors(u, gradient, fields):
    """Relative L1 and L∞ of u and L1 of ∇u, each the median over the problems; u is taken about its mean."""
    about = np.abs(fields.u - fields.u.mean(axis=1, keepdims=True))
    steep = np.abs(fields.gradient).mean(axis=(1, 2))
    wrong = np.abs(u - fields.u)
    return {
        "L1": float(np.median(wrong.mean(axis=1) / about.mean(axis=1))),
        "L∞": float(np.median(wrong.max(axis=1) / about.max(axis=1))),
        "L1 of ∇u": float(np.median(np.abs(gradient - fields.gradient).mean(axis=(1, 2)) / steep)),
    }
