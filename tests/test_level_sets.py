"""Level sets against roots, circles and spheres that are known exactly."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders

import hjsolve as hj
from hjsolve import level_sets
from hjsolve.tensor_grid import recognise

grid = hj.methods.grid


def axes_of(n: int, d: int) -> tuple[np.ndarray, ...]:
    return (np.linspace(-1.0, 1.0, n + 1),) * d


def radii(vertices: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vertices, axis=1)


@functools.cache
def waves(cells: int, d: int) -> hj.Solution:
    """u_t + ∂_1 u = 0 from Σ_i cos(πx_i): the data, carried along."""
    data = hj.initials.Custom(lambda x: jnp.sum(jnp.cos(jnp.pi * x)))
    torus = hj.Torus([-1.0] * d, [1.0] * d)
    problem = hj.Problem(hj.hamiltonians.Linear(np.eye(d)[0]), 0.0, data, torus, 0.2)
    return hj.solve(problem, grid.FiniteDifference(cells, step_rule=grid.step_rules.PowerLaw()), [0.0, 0.2])


def test_linear_interpolation_is_of_order_two() -> None:
    in_plane, in_space, areas = [], [], []
    for n in (12, 24, 48):
        distance = np.hypot(*np.meshgrid(*axes_of(n, 2), indexing="ij"))
        (line,) = level_sets.trace(axes_of(n, 2), distance, 0.7)
        in_plane.append(np.abs(radii(line) - 0.7).max())
        space = np.sqrt(sum(a**2 for a in np.meshgrid(*axes_of(n, 3), indexing="ij")))
        vertices, faces = level_sets.trace(axes_of(n, 3), space, 0.7)
        in_space.append(np.abs(radii(vertices) - 0.7).max())
        p, q, r = (vertices[faces[:, k]] for k in range(3))
        areas.append(abs(np.linalg.norm(np.cross(q - p, r - p), axis=1).sum() / 2 - 4 * np.pi * 0.49))
    for errors in (in_plane, in_space, areas):
        print(errors, orders(errors))
        assert orders(errors)[-1] > 1.85  # the largest error wanders with where the grid meets the circle


@pytest.mark.parametrize("level", [0.7, 0.5, 1.2])
def test_triangles_are_a_closed_surface_that_faces_outwards(level: float) -> None:
    """0.5 passes through nodes of the grid; the sphere of 1.2 leaves the cube in six openings."""
    space = np.sqrt(sum(a**2 for a in np.meshgrid(*axes_of(12, 3), indexing="ij")))
    vertices, faces = level_sets.trace(axes_of(12, 3), space, level)
    p, q, r = (vertices[faces[:, k]] for k in range(3))
    normals = np.cross(q - p, r - p)
    assert (np.sum(normals * (p + q + r), axis=1) > 0).all()
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    once = vertices[unique[count == 1]]
    assert set(count) <= {1, 2}
    assert len(once) == 0 if level < 1 else (np.abs(once).max(2) == 1.0).all()  # borders lie on the cube's faces
    euler = len(np.unique(faces)) - len(unique) + len(faces)
    assert euler == (2 if level < 1 else 2 - 6)
    assert len(np.unique(vertices, axis=0)) == len(vertices)


def test_points_on_the_line() -> None:
    x = np.linspace(0.0, 4.0, 41)
    found = level_sets.trace((x,), (x - 1.03) * (x - 2.0) * (x - 3.51), 0.0)
    assert found.shape == (3, 1)  # one of them a node, found once
    np.testing.assert_allclose(found[:, 0], [1.03, 2.0, 3.51], atol=0.1**2)  # Δx²
    assert found[1, 0] == 2.0
    assert level_sets.trace((x,), x + 1, 0.0).shape == (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("d", "sizes"), [(1, (40, 80, 160)), (2, (20, 40, 80))])
def test_newton_steps_reach_the_order_of_the_scheme(d: int, sizes: tuple[int, ...]) -> None:
    """Points of the level set, put into the exact solution; linear interpolation alone has order 2."""
    plain, moved = [], []
    for n in sizes:
        solution = waves(n, d)
        values = np.asarray(solution.u[1:])
        nodes = recognise(np.asarray(solution.points))
        assert nodes is not None
        for found, errors in (
            (level_sets.trace(nodes.axes, nodes.arrange(values)[0], 0.3), plain),
            (solution.level_set(0.2, 0.3), moved),
        ):
            places = np.concatenate(found) if d > 1 else found
            exact = np.cos(np.pi * (places - 0.2 * np.eye(d)[0])).sum(1)
            errors.append(np.abs(exact - 0.3).max() / np.pi)  # over |∇u|: a distance
    print(plain, orders(plain), moved, orders(moved))
    assert orders(plain).mean() < 2.5
    assert orders(moved)[-1] > 4.5  # WENO5 with Δt ∝ Δx^(5/3)
    assert moved[-1] < plain[-1] / 100


def one_atom(points: np.ndarray) -> hj.Solution:
    """u_N = |x|²/(4t)."""
    atoms = hj.initials.Atoms(np.zeros((1, 3)), [0.0])
    problem = hj.Problem(hj.hamiltonians.Quadratic(), 0.1, atoms, hj.Box([-1.0] * 3, [1.0] * 3), 0.5)
    return hj.solve(problem, hj.methods.particle.HopfCole(), [0.5], points=points)


def test_a_sphere_in_space() -> None:
    """From points of a particle method that is exact here, so that only rounding is left."""
    axis = np.linspace(-1.0, 1.0, 7)
    points = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3)  # not in the order of the last axis fastest
    surface = one_atom(points).level_set(0.5, 0.3)
    np.testing.assert_allclose(
        radii(surface.vertices), np.sqrt(0.6), rtol=0, atol=1e-11
    )  # 0.03 off, squared three times
    assert surface.faces.max() == len(surface.vertices) - 1


def test_curves_go_on_across_periodic_faces() -> None:
    """The circle about the corner of the torus, in four quarters, is one closed curve; its points lie on the level."""
    (line,) = waves(20, 2).level_set(0.0, -1.0)
    np.testing.assert_array_equal(line[0], line[-1])
    # quintics between nodes: (π/10)^6/46 over |∇u|
    np.testing.assert_allclose(np.cos(np.pi * line).sum(1), -1.0, rtol=0, atol=3e-5)
    centre = (line.max(0) + line.min(0)) / 2
    np.testing.assert_allclose(np.abs(centre), [1.0, 1.0], rtol=0, atol=3e-5)
    assert np.abs(np.diff(line, axis=0)).max() < 0.15  # a cell and a half: no jump
    turn = np.unwrap(np.arctan2(*(line - centre).T))
    assert abs(abs(turn[-1] - turn[0]) - 2 * np.pi) < 1e-9
    roots = waves(20, 1).level_set(0.0, -0.97)  # in the first cell, and in the one from the last node to the first
    np.testing.assert_allclose(np.abs(roots[:, 0]), np.arccos(-0.97) / np.pi, rtol=0, atol=3e-5)
    assert len(roots) == 2


def test_parts_join_across_periodic_faces_alone() -> None:
    x, y = axes = (np.linspace(-1.0, 1.0, 41),) * 2
    corner = np.cos(np.pi * x)[:, None] + np.cos(np.pi * y)
    quarters = level_sets.trace(axes, corner, -1.0)
    assert len(quarters) == 4
    halves = level_sets.continued(quarters, axes, (2.0, None))
    assert len(halves) == 2  # about the middle of the upper face, and of the lower one
    for half in halves:
        np.testing.assert_allclose(np.abs(half[[0, -1], 1]), 1.0, rtol=0, atol=1e-15)
    assert level_sets.continued(quarters, axes, (None, None)) is quarters
    # u = sin(π(x − 2y)) = 0.3: twice two lines that close only after two turns of y and one of x
    slanted = level_sets.trace(axes, np.sin(np.pi * (x[:, None] - 2 * y)), 0.3)
    wound = level_sets.continued(slanted, axes, (2.0, 2.0))
    assert len(wound) == 2
    for line in wound:
        np.testing.assert_allclose(np.abs(line[-1] - line[0]), [4.0, 2.0], rtol=0, atol=1e-9)
    # the two ends of a period are one point
    ends = level_sets.trace((x,), np.abs(x) - 1, 0.0)
    assert len(ends) == 2 and len(level_sets.continued(ends, (x,), (2.0,))) == 1


def test_a_sphere_about_the_corner_of_a_torus_is_closed() -> None:
    axes = (np.linspace(-1.0, 1.0, 17),) * 3
    u = sum(np.cos(np.pi * a) for a in np.meshgrid(*axes, indexing="ij"))
    eighths = level_sets.trace(axes, u, -2.0)
    vertices, faces = level_sets.continued(eighths, axes, (2.0,) * 3)
    assert len(faces) == len(eighths.faces)
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    assert set(count) == {2}
    assert len(vertices) - len(unique) + len(faces) == 2  # Euler's number of a sphere
    centre = (vertices.max(0) + vertices.min(0)) / 2
    np.testing.assert_allclose(np.abs(centre), 1.0, rtol=0, atol=1e-9)
    assert np.ptp(vertices, axis=0).max() < 1.2
    # planes go round two axes: nothing but their copy on the upper face is welded
    sheet = level_sets.trace(axes, np.cos(np.pi * axes[0])[:, None, None] + np.zeros((17,) * 3), 0.2)
    joined = level_sets.continued(sheet, axes, (2.0,) * 3)
    assert len(joined.vertices) == len(sheet.vertices)


@pytest.mark.slow
def test_a_kink_does_not_throw_points_away() -> None:
    """Discs that have met: Newton steps across the kink are not taken, and the level set stays near the truth."""
    exact = hj.exact.EikonalDiscs([[-0.45, 0.0], [0.45, 0.0]], [0.2, 0.2])
    problem = exact.problem(hj.Box([-1.5, -1.0], [1.5, 1.0]), 0.4)
    solution = hj.solve(problem, grid.FiniteDifference((60, 40)), [0.4])
    (line,) = solution.level_set(0.4)
    off = np.abs(jax.vmap(lambda x: exact(0.4, x))(line))
    assert off.max() < 0.05  # one cell, at the kink
    assert np.median(off) < 2e-3


def test_what_has_no_level_set_is_refused() -> None:
    scattered = np.random.default_rng(0).uniform(-1, 1, (27, 3))
    with pytest.raises(ValueError, match=r"`level_set` needs a solution on a tensor grid"):
        one_atom(scattered).level_set(0.5)
    with pytest.raises(ValueError, match=r"`level_set` is made in 1, 2 or 3 dimensions; got 4"):
        level_sets.trace(axes_of(2, 4), np.zeros((3,) * 4), 0.0)
    with pytest.raises(ValueError, match="finite"):
        level_sets.trace(axes_of(2, 1), np.array([0.0, np.nan, 1.0]), 0.0)
    solution = waves(20, 1)
    with pytest.raises(ValueError, match=r"`t` must be one time in \[0, 0\.2\]; got 0\.3"):
        solution.level_set(0.3)
    assert solution.level_set(0.2, 5.0).shape == (0, 1)
    assert waves(20, 2).level_set(0.2, 5.0) == []
