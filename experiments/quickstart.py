"""A network trained on handwritten digits is a Hamilton-Jacobi equation: train, read, solve three ways, compare."""

import numpy as np
from pydantic import Field

from hjsolve.study.config import RunConfig
from hjsolve.study.terminal import progress

from . import digits, reference

FIGURES = ("quickstart_fit", "quickstart_initial", "quickstart_solution", "quickstart_entropy", "quickstart_errors")
TIME = 1.0
MARGIN = 0.5
SAVED = (0.4, 0.7, TIME)


class Config(RunConfig):
    """One log-sum-exp unit per class on PCA coordinates, in two dimensions and in all of them."""

    units: int = Field(default=20, ge=1, le=100, description="atoms per class")
    temperature: float = Field(default=0.1, gt=0, le=100)
    dimensions: int = Field(default=61, ge=3, le=61, description="PCA dimensions of the accuracy line")
    steps: int = Field(default=1500, ge=1)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    cells: int = Field(default=160, ge=16, le=1000, description="grid cells per axis")
    start: float = Field(default=0.2, gt=0, lt=0.4, description="time at which the grid takes over from the atoms")
    points: int = Field(default=25, ge=2, le=200, description="comparison points per axis")
    shown_class: int = Field(default=3, ge=0, le=9, description="the digit whose equation is drawn")


def run(config, table):
    """Train in full dimension and in two, then compare the methods on the ten equations read off the latter."""
    _train(config, table, config.dimensions, "full")
    classifier, data = _train(config, table, 2, "plane")
    problems = _read(classifier, data)
    _compare(config, table, classifier, problems, _grid(data, config.points))
    _record_fields(config, table, classifier, problems[config.shown_class], data)


def _train(config, table, dimensions, label):
    import jax
    import optax

    import hjsolve as hj

    data = digits.load(dimensions, config.seed)
    init_key, fit_key = jax.random.split(jax.random.key(config.seed))
    classifier = hj.methods.network.LSEClassifier.from_data(
        data.train, data.train_labels, units=config.units, temperature=config.temperature, time=TIME, key=init_key
    )
    recipe = hj.Recipe(
        loss=hj.losses.CrossEntropy(),
        optimiser=optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps)),
        steps=config.steps,
        batch=config.batch,
    )
    with progress(f"training, d = {dimensions}") as reached:
        classifier, history = hj.fit(
            hj.Data(data.train, data.train_labels), classifier, recipe, key=fit_key, progress=reached
        )
    for step in range(0, len(history.losses), 10):
        table.metric(network=label, step=step, loss=float(history.losses[step]))
    wrong = {
        part: float(np.mean(np.argmax(jax.vmap(classifier)(inputs), axis=1) != labels))
        for part, inputs, labels in (
            ("train", data.train, data.train_labels),
            ("test", data.test, data.test_labels),
        )
    }
    table.metric(network=label, dimensions=dimensions, test_error=wrong["test"], train_error=wrong["train"])
    table.log(
        f"digits in {dimensions} dimensions: test error {wrong['test']:.1%}, training error {wrong['train']:.1%} "
        f"({config.units} atoms a class, {history.seconds:.1f} s)"
    )
    return classifier, data


def _read(classifier, data):
    """The ten equations, all on one box that holds every atom and every example."""
    import jax.numpy as jnp

    import hjsolve as hj

    layers = [classifier.unit(k) for k in range(classifier.classes)]
    read = [hj.theory.as_problem(layer, time=TIME) for layer in layers]
    places = jnp.concatenate([p.initial.y for p in read] + [jnp.asarray(data.train)])
    # characteristics leave through the faces of a box that holds every atom: a narrow margin is enough
    box = hj.Box(jnp.min(places, axis=0) - MARGIN, jnp.max(places, axis=0) + MARGIN)
    return [hj.Problem(p.hamiltonian, p.viscosity, p.initial, box, p.horizon) for p in read]


def _grid(data, count):
    axes = [np.linspace(low, high, count) for low, high in zip(data.train.min(0), data.train.max(0), strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)


def _compare(config, table, classifier, problems, points):
    """One row a method: the equation it solves and its error over the ten classes, the saved times and the points."""
    import hjsolve as hj
    from hjsolve.problem.describe import describe
    from hjsolve.study.measure import measure

    grid = hj.methods.grid
    weno = grid.FiniteDifference(config.cells, start=config.start)
    upwind = grid.FiniteDifference(config.cells, derivative=grid.derivatives.Upwind(), start=config.start)
    layers = [classifier.unit(k) for k in range(classifier.classes)]
    cases = {
        "particle: HopfCole": [(problem, hj.methods.particle.HopfCole()) for problem in problems],
        f"grid: WENO5, {config.cells}²": [(problem, weno) for problem in problems],
        f"grid: upwind, {config.cells}²": [(problem, upwind) for problem in problems],
        "network: LSE": list(zip(problems, layers, strict=True)),
    }
    expected, slopes = _references(config, problems, points)

    def solved(problem, method):
        solution = hj.solve(problem, method, SAVED, points=points, throw=False)
        return solution, _effective_viscosity(solution, points)

    with progress("solving", len(cases)) as reached:
        for number, (name, pairs) in enumerate(cases.items()):
            results, cost = measure(solved, pairs)
            u = np.array([solution.u for solution, _ in results])
            gradient = np.array([solution.gradient[-1] for solution, _ in results])
            if not all(bool(solution.result == hj.RESULTS.successful) for solution, _ in results):
                raise RuntimeError(f"{name} did not finish; see `hjsolve.solve` with throw=True")
            table.add(
                method=name,
                **{
                    "equation solved": describe(pairs[0][1].equation(pairs[0][0])),
                    "effective ε": float(np.median([np.median(epsilon) for _, epsilon in results])),
                    "max error u": np.abs(u - expected).max(),
                    "rms error u": np.sqrt(np.mean((u - expected) ** 2)),
                    "max error ∇u": np.abs(gradient - slopes).max(),
                    "run [s]": cost.seconds,
                    "compile [s]": cost.compile_seconds,
                    "peak [MB]": cost.peak_bytes / 1e6,
                },
            )
            reached(number + 1)


def _effective_viscosity(solution, points):
    """The mean over the axes of the coefficient of ∂_ii u in the equation that the method solves, at the last time."""
    import jax.numpy as jnp

    p = solution.gradient[-1].T
    d = p.shape[0]
    unit = jnp.eye(d)[:, :, None] * jnp.ones(p.shape[1])
    return solution.equation.viscosity.contract(solution.ts[-1], jnp.asarray(points).T, p, unit) / d


def _references(config, problems, points):
    """u `[class, time, point]` and ∇u at the last time, by NumPy from the atoms alone."""
    expected, slopes = [], []
    with progress("reference", len(problems)) as reached:
        for number, problem in enumerate(problems):
            atoms = np.asarray(problem.initial.y), np.asarray(problem.initial.g)
            epsilon = float(problem.viscosity.epsilon)
            expected.append([reference.propagated(*atoms, epsilon, t, t / 2, points) for t in SAVED])
            slopes.append(reference.gradient(*atoms, epsilon, TIME, TIME / 2, points))
            reached(number + 1)
    return np.array(expected), np.array(slopes)


def _record_fields(config, table, classifier, problem, data):
    """What the figures draw: data, decisions, atoms with their energies, u at several times, entropies."""
    import jax
    import jax.numpy as jnp

    import hjsolve as hj

    table.field("test_points", data.test, dims=("example", "axis"))
    table.field("test_labels", data.test_labels, dims=("example",))
    atoms = [hj.theory.as_problem(classifier.unit(k), time=TIME).initial for k in range(classifier.classes)]
    table.field("atoms", np.array([a.y for a in atoms]), dims=("class", "atom", "axis"))
    table.field("energies", np.array([a.g for a in atoms]), dims=("class", "atom"))
    fine = _grid(data, 121)
    table.field("map_points", fine.reshape(121, 121, 2), dims=("i", "j", "axis"))
    table.field("decision", np.argmax(jax.vmap(classifier)(fine), axis=1).reshape(121, 121), dims=("i", "j"))
    times = [0.05, 0.2, 0.5, 1.0]
    solution = hj.solve(problem, hj.methods.particle.HopfCole(), times, points=fine)
    table.field("u", solution.u.reshape(len(times), 121, 121), dims=("t", "i", "j"), t=times)
    entropy = jax.lax.map(lambda x: hj.theory.gibbs.entropy(problem, t=TIME, x=x), jnp.asarray(fine), batch_size=1024)
    table.field("entropy", np.asarray(entropy).reshape(121, 121), dims=("i", "j"))
