import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import hjsolve as hj

LSE = hj.methods.network.LSE
RNG = np.random.default_rng(0)
TRUTH = LSE(RNG.normal(size=(4, 2)), RNG.normal(size=4), 0.3)
INPUTS = RNG.uniform(-1, 1, size=(256, 2))
RECIPE = hj.Recipe(steps=300, batch=64, optimiser=optax.adam(3e-2))


def start(units: int = 6) -> LSE:
    return LSE.random(units, 2, temperature=0.3, key=jax.random.key(1))


def same(a: LSE, b: LSE) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.fixture(scope="module")
def data() -> hj.Data:
    return hj.Data(INPUTS, jax.vmap(TRUTH)(jnp.asarray(INPUTS)))


@pytest.fixture(scope="module")
def trained(data: hj.Data):
    return hj.fit(data, start(), RECIPE, key=jax.random.key(2))


def test_it_recovers_a_known_layers_function(trained) -> None:
    network, history = trained
    assert history.losses.shape == (300,)
    assert history.losses[-50:].mean() < 1e-2 * history.losses[:10].mean()
    fresh = np.random.default_rng(9).uniform(-1, 1, size=(200, 2))
    target = np.asarray(jax.vmap(TRUTH)(jnp.asarray(fresh)))
    error = np.asarray(jax.vmap(network)(jnp.asarray(fresh))) - target
    # the same convex function from other units, after 300 steps: a few per cent of its spread
    assert np.sqrt((error**2).mean()) < 0.05 * target.std()


def test_history(trained) -> None:
    history = trained[1]
    assert history.result == hj.RESULTS.successful
    assert history.message == ""
    means, firsts = history.losses.reshape(-1, 50).mean(1), history.losses[::50]
    scores = [firsts[0], *np.maximum(means[:-1], firsts[1:])]  # and that of the end, on a batch of its own
    if history.best_step == 300:
        assert means[-1] <= history.best_loss < min(scores)
    else:
        assert history.best_step == 50 * np.argmin(scores)
        np.testing.assert_allclose(history.best_loss, min(scores), rtol=1e-6)
    assert history.seconds > 0


def test_the_temperature_and_time_are_left_alone(trained) -> None:
    np.testing.assert_allclose(trained[0].temperature, 0.3, rtol=1e-14)
    assert trained[0].time == 1.0


def test_weight_decay_does_not_move_what_is_held(data: hj.Data) -> None:
    decaying = hj.Recipe(steps=20, optimiser=optax.adamw(1e-2, weight_decay=1.0))
    network, _ = hj.fit(data, start(), decaying, key=jax.random.key(2))
    assert float(network.temperature) == float(start().temperature)
    assert float(network.time) == 1.0
    learning = LSE(TRUTH.weights, TRUTH.bias, 0.5, learn_temperature=True)
    network, _ = hj.fit(data, learning, hj.Recipe(steps=200), key=jax.random.key(2))
    # started at 0.5, made with 0.3
    assert 0.25 < float(network.temperature) < 0.45
    stacked = hj.methods.network.LSEClassifier.from_data(
        INPUTS, np.arange(256) % 2, units=3, temperature=0.3, key=jax.random.key(0)
    )
    assert len(stacked.held()) == 2


def test_the_same_key_trains_the_same_network_and_progress_is_reported(data: hj.Data, trained) -> None:
    seen: list[float] = []
    again, history = hj.fit(data, start(), RECIPE, key=jax.random.key(2), progress=seen.append)
    np.testing.assert_array_equal(history.losses, trained[1].losses)
    assert same(again, trained[0])
    assert seen == sorted(set(seen))
    assert seen[-1] == 1


def test_another_key_draws_other_batches(data: hj.Data, trained) -> None:
    _, history = hj.fit(data, start(), hj.Recipe(steps=20, batch=64), key=jax.random.key(3))
    assert history.losses.shape == (20,)
    assert history.losses[0] != trained[1].losses[0]


@pytest.mark.parametrize(("rate", "steps"), [(30.0, 150), (30.0, 1), (1e-2, 150)])
def test_what_is_kept_is_no_worse_than_the_start(data: hj.Data, rate: float, steps: int) -> None:
    """Steps so long that the loss grows without end, or once: the start is the best."""
    network, history = hj.fit(
        data, start(), hj.Recipe(steps=steps, batch=32, optimiser=optax.sgd(rate)), key=jax.random.key(0)
    )
    loss = lambda n: float(jnp.mean((jax.vmap(n)(data.inputs) - data.targets) ** 2))
    assert loss(network) <= loss(start())
    assert (history.best_step == 0) == (rate == 30.0)
    assert np.isfinite(history.best_loss)


def test_weights_of_an_infinite_slope_are_not_kept(data: hj.Data) -> None:
    class Cone(eqx.Module):
        weights: jax.Array

        def __call__(self, x):
            return jnp.sqrt(jnp.sum(self.weights**2)) + 0 * x[0]

    network, history = hj.fit(data, Cone(jnp.zeros(3)), hj.Recipe(steps=1), key=jax.random.key(1))
    assert np.array_equal(network.weights, np.zeros(3))
    assert history.best_step == 0


def test_divergence_names_the_step_and_keeps_the_best_weights(data: hj.Data) -> None:
    schedule = lambda count: jnp.where(count < 62, 1e-2, jnp.inf)
    recipe = hj.Recipe(steps=200, batch=32, optimiser=optax.sgd(schedule))
    network, history = hj.fit(data, start(), recipe, key=jax.random.key(0))
    assert history.result == hj.RESULTS.diverged
    # the update of step 62 (counted from 0) is infinite, so the next loss is not a number
    assert "at step 63" in history.message
    assert "Lower the learning rate" in history.message
    assert history.best_step == 50
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(network))
    kept, _ = hj.fit(data, start(), hj.Recipe(steps=50, batch=32, optimiser=optax.sgd(1e-2)), key=jax.random.key(0))
    np.testing.assert_allclose(network.weights, kept.weights, rtol=1e-12)


def test_divergence_in_the_first_steps_returns_the_start(data: hj.Data) -> None:
    recipe = hj.Recipe(steps=50, optimiser=optax.sgd(np.inf))
    network, history = hj.fit(data, start(), recipe, key=jax.random.key(0))
    assert history.result == hj.RESULTS.diverged
    assert same(network, start())


def test_the_budget_in_seconds_ends_training(data: hj.Data) -> None:
    recipe = hj.Recipe(steps=10**7, batch=16, seconds=0.01)
    _, history = hj.fit(data, start(), recipe, key=jax.random.key(0))
    assert history.result == hj.RESULTS.successful
    assert len(history.losses) == 50
    assert "stopped after 50 of 10000000 steps: the budget of 0.01 s" in history.message


def test_a_problem_is_learnt_from_a_reference() -> None:
    """The reference is Hopf-Cole over atoms, so that a layer with as many units can match it."""
    atoms = hj.initials.Atoms(RNG.normal(size=(4, 2)), RNG.normal(size=4))
    p = hj.Problem(hj.hamiltonians.Quadratic(), 0.3, atoms, hj.Box([-1.0] * 2, [1.0] * 2), 0.8)
    recipe = hj.Recipe(
        steps=300, batch=64, samples=512, reference=hj.methods.particle.HopfCole(), optimiser=optax.adam(3e-2)
    )
    network, history = hj.fit(p, start(), recipe, key=jax.random.key(3))
    assert history.losses[-50:].mean() < 0.02 * history.losses[:10].mean()
    assert network.time == 1.0  # the layer's reading time is no weight
    points = np.random.default_rng(8).uniform(-1, 1, size=(100, 2))
    exact = hj.solve(p, hj.methods.particle.HopfCole(), [0.8], points=points).u[0]
    learnt = hj.solve(p, network, [0.8], points=points).u[0]
    assert np.sqrt(np.mean((learnt - exact) ** 2)) < 0.1 * np.std(exact)


def test_labels_under_cross_entropy() -> None:
    labels = (INPUTS[:, 0] > 0).astype(int) + (INPUTS[:, 1] > 0.3)
    classifier = hj.methods.network.LSEClassifier.from_data(
        INPUTS, labels, units=3, temperature=0.3, key=jax.random.key(0)
    )
    recipe = hj.Recipe(loss=hj.losses.CrossEntropy(), steps=150, optimiser=optax.adam(5e-2))
    trained, history = hj.fit(hj.Data(INPUTS, labels), classifier, recipe, key=jax.random.key(1))
    accuracy = lambda c: (np.argmax(jax.vmap(c)(jnp.asarray(INPUTS)), axis=1) == labels).mean()
    assert history.losses[-1] < 0.5 * history.losses[0]
    assert accuracy(trained) > max(0.93, accuracy(classifier))


def test_losses_against_numpy() -> None:
    logits, labels = RNG.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.log(p[np.arange(5), labels]).mean()
    np.testing.assert_allclose(hj.losses.CrossEntropy()(jnp.asarray(logits), jnp.asarray(labels)), expected, rtol=1e-13)
    a, b = RNG.normal(size=7), RNG.normal(size=7)
    np.testing.assert_allclose(hj.losses.SquaredError()(jnp.asarray(a), jnp.asarray(b)), ((a - b) ** 2).mean())


class InterruptionError(Exception):
    pass


def test_an_interrupted_run_goes_on_bit_for_bit(data: hj.Data, trained, tmp_path) -> None:
    """Stopped from outside after 150 of 300 steps, and again after 250."""
    file = tmp_path / "run.npz"

    def stop_at(share: float):
        def progress(done: float) -> None:
            if done >= share:
                raise InterruptionError

        return progress

    for share in (0.5, 0.8):
        with pytest.raises(InterruptionError):
            hj.fit(data, start(), RECIPE, key=jax.random.key(2), checkpoint=file, progress=stop_at(share))
    network, history = hj.fit(data, start(), RECIPE, key=jax.random.key(2), checkpoint=file)
    np.testing.assert_array_equal(history.losses, trained[1].losses)
    assert same(network, trained[0])
    assert (history.best_step, history.best_loss) == (trained[1].best_step, trained[1].best_loss)
    again, unchanged = hj.fit(data, start(), RECIPE, key=jax.random.key(2), checkpoint=file)
    assert same(again, network)
    assert unchanged.losses.shape == (300,)


def test_more_steps_go_on_as_if_there_had_been_no_end(data: hj.Data, tmp_path) -> None:
    """From 70 steps, within a window of 50, to 230: the losses, and which weights were the best."""
    recipe = lambda steps: hj.Recipe(steps=steps, batch=16, optimiser=optax.adam(0.05))
    for seed in range(3):
        key, file = jax.random.key(seed), tmp_path / f"{seed}.npz"
        whole, history = hj.fit(data, start(), recipe(230), key=key)
        hj.fit(data, start(), recipe(70), key=key, checkpoint=file)
        parts, continued = hj.fit(data, start(), recipe(230), key=key, checkpoint=file)
        np.testing.assert_array_equal(continued.losses, history.losses)
        assert (continued.best_step, continued.best_loss) == (history.best_step, history.best_loss)
        assert same(parts, whole)


def test_a_checkpoint_of_something_else_is_refused(data: hj.Data, tmp_path) -> None:
    file, short = tmp_path / "run.npz", hj.Recipe(steps=20)
    hj.fit(data, start(), short, key=jax.random.key(2), checkpoint=file)
    with pytest.raises(ValueError, match=r"holds LSE\(weights=\[6,2\].* but the network is LSE\(weights=\[7,2\]"):
        hj.fit(data, start(7), short, key=jax.random.key(2), checkpoint=file)
    with pytest.raises(ValueError, match="other `key`"):
        hj.fit(data, start(), short, key=jax.random.key(3), checkpoint=file)
    momentum = hj.Recipe(steps=20, optimiser=optax.sgd(1e-3, momentum=0.9))
    for other in (momentum, hj.Recipe(steps=20, optimiser=optax.sgd(1e-3))):
        with pytest.raises(ValueError, match="another optimiser"):
            hj.fit(data, start(), other, key=jax.random.key(2), checkpoint=file)
    warmer = eqx.tree_at(lambda n: n.log_temperature, start(), np.asarray(start().log_temperature) + 1.0)
    with pytest.raises(ValueError, match="other numbers that training leaves alone"):
        hj.fit(data, warmer, short, key=jax.random.key(2), checkpoint=file)
    for others in (hj.Data(INPUTS, -data.targets), hj.Data(INPUTS[::-1], data.targets)):
        with pytest.raises(ValueError, match="other data, problem, loss or `batch`"):
            hj.fit(others, start(), short, key=jax.random.key(2), checkpoint=file)
    with pytest.raises(ValueError, match=r"`steps` must be at least the 20 "):
        hj.fit(data, start(), hj.Recipe(steps=10), key=jax.random.key(2), checkpoint=file)
    with pytest.raises(ValueError, match="is the checkpoint of a training"):
        hj.load_weights(file, start())
    with pytest.raises(ValueError, match=r"`checkpoint` must end in \.npz"):
        hj.fit(data, start(), short, key=jax.random.key(2), checkpoint=tmp_path / "run")
    hj.save_weights(file, start())
    with pytest.raises(ValueError, match="holds weights alone"):
        hj.fit(data, start(), short, key=jax.random.key(2), checkpoint=file)
    with pytest.raises(ValueError, match="folder"):
        hj.fit(data, start(), short, key=jax.random.key(2), checkpoint=tmp_path / "no" / "run.npz")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: hj.Recipe(steps=0), r"`steps` must be a whole number >= 1; got 0"),
        (lambda: hj.Recipe(batch=2.5), r"`batch` must be a whole number >= 1; got 2\.5"),
        (lambda: hj.Recipe(samples=-1), r"`samples` must be a whole number >= 1; got -1"),
        (lambda: hj.Recipe(seconds=0.0), r"`seconds` must be > 0; got 0\.0\. None is no limit"),
        (lambda: hj.Recipe(seconds="1 s"), r"`seconds` must be a number"),
        (lambda: hj.Recipe(loss=hj.losses.SquaredError), r"`loss` must be one of hj\.losses"),
        (lambda: hj.Recipe(optimiser="adam"), r"`optimiser` must be of optax"),
        (lambda: run(hj.Data(INPUTS, INPUTS[:, 0]), recipe=3), r"`recipe` must be an hj\.Recipe; got 3"),
        (lambda: run(hj.Data(INPUTS[:, :1], INPUTS[:, 0])), r"`x` must have shape \(2,\), one point.* got \(1,\)"),
        (lambda: hj.Data(np.zeros(3), np.zeros(3)), r"`inputs` must have shape \[n, d\]; got \(3,\)"),
        (lambda: hj.Data(np.zeros((0, 2)), np.zeros(0)), r"`inputs` must hold at least one example"),
        (
            lambda: hj.Data(np.zeros((3, 2)), np.zeros(2)),
            r"`targets` must have one row per example \(3\); got shape \(2,\)",
        ),
        (lambda: hj.Data([[np.nan]], [0.0]), r"`inputs` must not contain NaN"),
        (lambda: hj.Data([[0.0]], [np.nan]), r"`targets` must not contain NaN"),
        (lambda: hj.Data([[0.0], [np.inf]], [0.0, 1.0]), r"`inputs` must be finite; 1 entries"),
        (
            lambda: run(hj.Data(INPUTS, INPUTS[:, 0]), hj.methods.grid.FiniteDifference(9)),
            r"`method` must be a network",
        ),
        (lambda: run("data"), r"fit\(\) takes a Problem or Data; got str"),
        (lambda: run(easy()), r"`reference` is needed to fit a Problem.*Set it in Recipe"),
        (lambda: run(easy(), hj.methods.grid.FiniteDifference(9)), r"fit\(\) trains representations.*FiniteDifference"),
        (
            lambda: run(hj.Data([[0.0, 0.0]], [[1.0]])),
            r"`targets` must have the predictions' shape \(1,\); got \(1, 1\)",
        ),
        (
            lambda: run(hj.Data([[0.0, 0.0]], [1]), recipe=hj.Recipe(loss=hj.losses.CrossEntropy())),
            r"CrossEntropy needs logits \[n, K\]",
        ),
        (
            lambda: hj.fit(
                hj.Data([[0.0, 0.0]] * 9, np.arange(9)),
                hj.methods.network.LSEClassifier.from_data(
                    INPUTS, np.arange(len(INPUTS)) % 8, units=1, temperature=1.0, key=jax.random.key(0)
                ),
                hj.Recipe(loss=hj.losses.CrossEntropy()),
                key=jax.random.key(0),
            ),
            r"`targets` must be <= 7; got an array from 0 to 8\. Labels are counted from 0",
        ),
    ],
)
def test_bad_recipes_and_data_are_refused(build, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build()


def easy() -> hj.Problem:
    return hj.Problem(hj.hamiltonians.Quadratic(), 0.3, hj.initials.Norm(), hj.Box([-1.0] * 2, [1.0] * 2), 0.8)


def run(source, method=None, recipe=None):
    return hj.fit(source, start() if method is None else method, recipe or hj.Recipe(), key=jax.random.key(0))
