import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr
from scipy.io import netcdf_file

import hjsolve as hj
from hjsolve.tensor_grid import recognise

PROBLEM = hj.Problem(hj.hamiltonians.Quadratic(0.5), 0.1, hj.initials.Cosine(-1.0, np.pi), hj.Torus([-1.0], [1.0]), 0.4)
POINTS = np.array([[-0.31], [0.12], [0.77]])
SAVED = [0.1, 0.25, 0.3]


@pytest.fixture(scope="module", params=["grid", "particle"])
def solution(request) -> hj.Solution:
    if request.param == "grid":
        return hj.solve(PROBLEM, hj.methods.grid.FiniteDifference(40), SAVED, points=POINTS)
    return hj.solve(PROBLEM, hj.methods.particle.HopfCole(), SAVED, points=POINTS)


def test_saved_times_are_met_exactly(solution: hj.Solution) -> None:
    for k, t in enumerate(SAVED):
        np.testing.assert_allclose(solution(t, POINTS), solution.u[k], rtol=0, atol=1e-13)
        np.testing.assert_allclose(solution.gradient_at(t, POINTS), solution.gradient[k], rtol=0, atol=1e-12)


def test_other_times_are_solved_for(solution: hj.Solution) -> None:
    """Before the first, between the saved and after the last, against a solution that saved them."""
    others = [0.05, 0.2, 0.4]
    direct = hj.solve(PROBLEM, solution.method, others, points=POINTS)
    for k, t in enumerate(others):
        # a grid takes other steps on the way: third order in Δt ~ 0.005
        np.testing.assert_allclose(solution(t, POINTS), direct.u[k], rtol=0, atol=1e-6)
    at_start = solution(0.0, POINTS)
    np.testing.assert_allclose(at_start, -np.cos(np.pi * POINTS[:, 0]), rtol=0, atol=2e-7)  # quintics: (π/20)^6/46


def test_shapes(solution: hj.Solution) -> None:
    assert solution(0.2, POINTS[0]).shape == ()
    assert solution(0.2, POINTS).shape == (3,)
    assert solution.gradient_at(0.2, POINTS[0]).shape == (1,)
    assert solution.gradient_at(0.2, POINTS).shape == (3, 1)
    evaluation = solution.evaluate(0.2, POINTS)
    assert evaluation.u.shape == (3,)
    assert evaluation.result == hj.RESULTS.successful
    np.testing.assert_allclose(evaluation.u[1], solution(0.2, POINTS[1]), rtol=0, atol=1e-14)


def test_it_is_periodic_in_space(solution: hj.Solution) -> None:
    for period in (-6.0, 2.0, 10.0):
        np.testing.assert_allclose(solution(0.2, POINTS + period), solution(0.2, POINTS), rtol=0, atol=1e-12)


@pytest.mark.slow
def test_gradient_is_the_slope_of_the_values(solution: hj.Solution) -> None:
    slope = jax.vmap(jax.grad(lambda x: solution(0.3, x)))(jnp.asarray(POINTS))
    # WENO5 against the derivative of the quintic: (π/20)^5
    np.testing.assert_allclose(solution.gradient_at(0.3, POINTS), slope, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("t", "x", "message"),
    [
        (0.41, POINTS, r"`t` must be one time in \[0, 0\.4\]; got 0\.41"),
        (-0.01, POINTS, r"`t` must be one time in \[0, 0\.4\]; got -0\.01"),
        (np.nan, POINTS, r"`t` must be one time"),
        ([0.1, 0.2], POINTS, r"`t` must be one time in.*got \[0\.1, 0\.2\]"),
        (0.2, np.zeros((3, 2)), r"`x` must have shape \[1\] or \[m, 1\]; got \(3, 2\)"),
        (0.2, np.zeros((2, 3, 1)), r"`x` must have shape"),
        (0.2, 0.5, r"`x` must have shape"),
    ],
)
def test_bad_places_are_refused(solution: hj.Solution, t, x, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solution(t, x)


def test_a_grid_from_atoms_knows_where_it_starts() -> None:
    atoms = hj.initials.Atoms([[0.0], [0.5]], [0.0, 0.1])
    p = hj.Problem(hj.hamiltonians.Quadratic(), 0.1, atoms, hj.Box([-2.0], [2.0]), 1.0)
    s = hj.solve(p, hj.methods.grid.FiniteDifference(40, start=0.2), [0.5])
    assert s.stats["start"] == 0.2
    with pytest.raises(ValueError, match=r"`t` must be one time in \[0\.2, 1\]; got 0\.1"):
        s(0.1, [0.0])


def test_a_file_holds_what_the_solution_does(solution: hj.Solution, tmp_path: Path) -> None:
    """Three points in one dimension are a grid of their own."""
    for name in ("made.npz", "made.nc", "made.zarr"):
        solution.save(tmp_path / name)
        solution.save(str(tmp_path / name))  # replaces it
    with np.load(tmp_path / "made.npz") as stored:
        for name in ("ts", "points", "u", "gradient"):
            np.testing.assert_array_equal(stored[name], getattr(solution, name))
        np.testing.assert_array_equal(stored["x1"], POINTS[:, 0])
        assert "Quadratic" in str(stored["problem"]) and "finished" in str(stored["result"])
        assert type(solution.method).__name__ in str(stored["method"]) and "0.1" in str(stored["equation"])
        assert json.loads(str(stored["stats"]))["steps"] == solution.stats["steps"]
    with netcdf_file(tmp_path / "made.nc", mmap=False) as stored:
        for name, values in (("time", solution.ts), ("x1", POINTS[:, 0]), ("u", solution.u)):
            np.testing.assert_array_equal(stored.variables[name][:], values)
        assert stored.variables["u"].dimensions == ("time", "x1")
        np.testing.assert_array_equal(stored.variables["gradient"][:], solution.gradient)
        assert "Quadratic" in stored.problem.decode()
    group = zarr.open_group(tmp_path / "made.zarr", mode="r")
    for name, values in (("time", solution.ts), ("x1", POINTS[:, 0]), ("u", solution.u)):
        np.testing.assert_array_equal(group[name][:], values)
    assert group["gradient"].metadata.dimension_names == ("time", "x1", "axis")
    assert "finished" in group.attrs["result"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.nc", "made.npz", "made.zarr"]


def test_scattered_points_are_stored_as_a_list(tmp_path: Path) -> None:
    scattered = np.random.default_rng(0).uniform(-1, 1, (5, 2))
    p = hj.Problem(
        hj.hamiltonians.Quadratic(), 0.1, hj.initials.Atoms([[0.0, 0.0]], [0.0]), hj.Box([-1.0] * 2, [1.0] * 2), 1.0
    )
    solution = hj.solve(p, hj.methods.particle.HopfCole(), [0.5], points=scattered)
    solution.save(tmp_path / "made.nc")
    with netcdf_file(tmp_path / "made.nc", mmap=False) as stored:
        assert stored.variables["u"].dimensions == ("time", "point")
        np.testing.assert_array_equal(stored.variables["points"][:], scattered)


@pytest.mark.parametrize("name", ["made.npz", "made.zarr"])
def test_a_file_is_whole_or_as_it_was(solution: hj.Solution, tmp_path: Path, monkeypatch, name: str) -> None:
    solution.save(tmp_path / name)
    before = sorted(tmp_path.rglob("*"))

    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    monkeypatch.setattr("zarr.Group.create_array", full)
    with pytest.raises(OSError, match="No space left"):
        solution.save(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_of_an_unknown_kind_is_refused(solution: hj.Solution, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`path` must end in \.npz, \.nc, \.zarr; got 'made\.csv'"):
        solution.save(tmp_path / "made.csv")
    assert not list(tmp_path.iterdir())


def test_grids_are_recognised_in_any_order_and_nothing_else_is() -> None:
    axes = (np.array([0.0, 0.5, 2.0]), np.array([-1.0, 1.0]))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    shuffled = np.random.default_rng(0).permutation(6)
    found = recognise(points[shuffled])
    assert found is not None
    assert found.shape == (3, 2)
    values = points.sum(1)[None]
    np.testing.assert_array_equal(found.arrange(values[:, shuffled]), values.reshape(1, 3, 2))
    assert recognise(points[:5]) is None
    twice = points.copy()
    twice[0] = twice[5]
    assert recognise(twice) is None
