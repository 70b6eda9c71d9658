"""A problem from a file: solved to a closed form, stored in each format, refused with every mistake named."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from scipy.io import netcdf_file
from typer.testing import CliRunner

from hjsolve.cli import app
from hjsolve.study import kinds

FILE = """\
problem:
  hamiltonian: {kind: Quadratic, c: 0.5}
  viscosity: 0.1
  initial: {kind: Quadratic, A: 1.0}
  domain: {lower: [-1.0], upper: [1]}
  horizon: 1.0
method: {kind: HopfCole}
times: [0.5, 1.0]
output: {points_per_axis: 21}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(text: str, *arguments: str) -> tuple[int, str]:
    Path("bowl.yaml").write_text(text)
    result = CliRunner().invoke(app, ["solve", "bowl.yaml", *arguments])
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def bowl(t: np.ndarray, x: np.ndarray) -> np.ndarray:
    """u_t + |∇u|²/2 = ε Δu from |x|²/2: u = |x|²/(2(1 + t)) + ε d log(1 + t)."""
    return (x**2).sum(-1) / (2 * (1 + t[:, None])) + 0.1 * x.shape[1] * np.log(1 + t[:, None])


def test_one_dimension_to_npz_and_png(folder: Path) -> None:
    code, output = call(FILE, "--out", "made/here")
    assert code == 0 and "made/here/bowl.npz" in output, output
    with np.load("made/here/bowl.npz") as stored:
        assert stored["u"].shape == (2, 21) and stored["gradient"].shape == (2, 21, 1)
        error = np.abs(stored["u"] - bowl(stored["ts"], stored["points"])).max()
        assert "epsilon" in str(stored["equation"]) and "kind: Quadratic" in str(stored["problem"])
    assert error < 1e-10  # the quadrature resolves a Gaussian to round-off
    assert Path("made/here/bowl.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_grid_and_the_particles_agree_on_a_torus(folder: Path) -> None:
    wave = FILE.replace("{kind: Quadratic, A: 1.0}", "{kind: Cosine, wavevector: 3.141592653589793}")
    wave = wave.replace("upper: [1]", "upper: [1], periodic: [true]")
    grid = wave.replace("HopfCole", "FiniteDifference, cells: 100").replace("points_per_axis: 21", "format: npz")
    found = []
    for text, out in ((wave.replace("21", "101"), "particles"), (grid, "grid")):
        code, output = call(text, "--out", out)
        assert code == 0, output
        with np.load(f"{out}/bowl.npz") as stored:
            found.append(stored["u"])
    assert found[1].shape == (2, 100)  # a periodic axis of 100 cells has 100 nodes, the first of the 101 points
    np.testing.assert_allclose(found[1], found[0][:, :100], atol=2e-5)  # twice what 100 cells leave


STOPPING = """\
problem:
  hamiltonian: {kind: Eikonal}
  viscosity: 0
  initial: {kind: Quadratic, A: 1.0}
  domain: {lower: [-1.0], upper: [1.0], boundary: [[{kind: Dirichlet, value: -0.5}, StateConstraint]]}
  horizon: 0.5
method: {kind: FiniteDifference, cells: 40}
times: [0.5]
"""


def test_faces_and_obstacles(folder: Path) -> None:
    """What the left face holds comes in at speed 1; the rest is the least of the data within 1/2."""
    found = []
    lowered = STOPPING.replace("0.5\nm", "0.5\n  ceiling: {kind: Quadratic, A: 0.0}\nm")
    for text, out in ((STOPPING, "free"), (lowered, "under")):
        code, output = call(text, "--out", out)
        assert code == 0, output
        with np.load(f"{out}/bowl.npz") as stored:
            found.append(stored["u"][0])
    x = np.linspace(-1, 1, 41)
    free = np.where(x < -0.5, -0.5, np.maximum(np.abs(x) - 0.5, 0) ** 2 / 2)
    away = np.abs(x + 0.5) > 0.16  # three cells on either side of a jump
    np.testing.assert_allclose(found[0][away], free[away], rtol=0, atol=0.02)
    np.testing.assert_allclose(found[1][away], np.minimum(free, 0.0)[away], rtol=0, atol=0.02)
    code, output = call(STOPPING.replace("StateConstraint", "StateConstrain"), "--out", "no")
    assert code == 2 and "`problem.domain.boundary.0.kind` must be one of" in output, output
    assert "Did you mean `StateConstraint`" in output


def test_two_dimensions_to_netcdf(folder: Path) -> None:
    text = FILE.replace("[-1.0]", "[-1.0, -0.5]").replace("[1]", "[1, 0.5]").replace("HopfCole", "HopfCole, nodes: 100")
    text = text.replace("output: {", "output: {format: nc, ")
    assert call(text)[0] == 0
    with netcdf_file("bowl.nc", mmap=False) as stored:
        assert stored.variables["u"].dimensions == ("time", "x1", "x2")
        assert stored.variables["gradient"].dimensions == ("time", "x1", "x2", "axis")
        ts, x, y, u = (stored.variables[name][:] for name in ("time", "x1", "x2", "u"))
        assert "kind: Quadratic" in stored.problem.decode()
    points = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    np.testing.assert_allclose(u.reshape(2, -1), bowl(ts, points), atol=1e-10)
    assert Path("bowl.png").exists()


@pytest.mark.slow
def test_three_dimensions_to_zarr_a_picture_and_an_animation(folder: Path) -> None:
    """Precision is a key; what exists is replaced when told, a folder as well as a file."""
    text = FILE.replace("[-1.0]", "[-1, -1, -1]").replace("[1]", "[1, 1, 1]").replace("21", "3")
    scheme = "FiniteDifference, cells: 8, derivative: Upwind, stepper: ForwardEuler"
    text = text.replace("HopfCole", scheme).replace("output: {", "output: {format: zarr, animation: gif, ")
    code, output = call(text + "precision: float32\n")
    assert code == 0, output
    assert [word in output for word in ("bowl.zarr", "bowl.png", "bowl.gif")] == [True] * 3
    group = zarr.open_group("bowl.zarr", mode="r")
    assert group["u"].dtype == np.float32 and group["u"].shape == (2, 3, 3, 3)
    assert group["u"].metadata.dimension_names == ("time", "x1", "x2", "x3")
    np.testing.assert_array_equal(group["x3"][:], [-1.0, 0.0, 1.0])
    assert Path("bowl.gif").read_bytes().startswith(b"GIF89a") and Path("bowl.png").exists()
    code, output = call(text)
    assert code == 2 and "bowl.zarr" in output
    assert call(text, "--overwrite")[0] == 0
    assert zarr.open_group("bowl.zarr", mode="r")["u"].dtype == np.float64
    assert sorted(path.name for path in folder.iterdir()) == ["bowl.gif", "bowl.png", "bowl.yaml", "bowl.zarr"]


def test_an_animation_that_cannot_be_made_is_refused_before_any_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    code, output = call(FILE.replace("output: {", "output: {animation: mp4, "))
    assert code == 2 and "ffmpeg" in output and "`gif`" in output
    code, output = call(FILE.replace("output: {", "output: {animation: gif, ").replace("[0.5, 1.0]", "[0.5]"))
    assert code == 2 and "at least two `times`" in output
    assert [path.name for path in folder.iterdir()] == ["bowl.yaml"]


def test_an_existing_solution_is_kept_unless_told(folder: Path) -> None:
    Path("bowl.npz").write_text("precious")
    text = FILE.replace("HopfCole", "FiniteDifference, cells: 20, derivative: Upwind, stepper: ForwardEuler")
    code, output = call(text)
    assert code == 2 and "bowl.npz" in output and "--overwrite" in output
    assert Path("bowl.npz").read_text() == "precious"
    assert call(text, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("c: 0.5", "cc: 0.5", ["`problem.hamiltonian.cc`", "Quadratic", "Keys:"]),
        ("c: 0.5", "c: -1", ["`problem.hamiltonian`", "`c`", "-1"]),
        ("{kind: Quadratic, c", "{kind: Quadratik, c", ["`problem.hamiltonian.kind`", "Did you mean `Quadratic`"]),
        ("{kind: Quadratic, c", "{kind: [1], c", ["`problem.hamiltonian.kind`", "Eikonal"]),
        ("viscosity: 0.1", "viscosity: -0.1", ["`problem.viscosity`", ">= 0", "-0.1"]),
        ("horizon: 1.0", "horizon: 0", ["`problem.horizon`", "> 0", "got 0"]),
        ("horizon: 1.0", "horizn: 1.0", ["`problem.horizn`", "Did you mean `horizon`"]),
        ("upper: [1]", "upper: [1, 2]", ["`problem.domain`", "length"]),
        ("A: 1.0", "A: [[1, 0], [0, 1]]", ["dimension"]),
        ("0.5, 1.0]", "0.5, 2.0]", ["horizon", "2"]),
        ("HopfCole}", "HopfCol}", ["`method.kind`", "Did you mean `HopfCole`"]),
        ("HopfCole}", "HopfCole, node: 3}", ["`method.node`", "Did you mean `nodes`"]),
        ("points_per_axis: 21", "points_per_axis: 2000000", ["`output.points_per_axis`", "1000000"]),
        ("problem:", "problem: [", ["bowl.yaml, line"]),
    ],
)
def test_bad_input_names_the_key_and_writes_nothing(folder: Path, old: str, new: str, said: list[str]) -> None:
    code, output = call(FILE.replace(old, new))
    assert code == 2, output
    assert all(word in output for word in said), output
    assert [path.name for path in folder.iterdir()] == ["bowl.yaml"]


def test_mistakes_in_every_part_come_together(folder: Path) -> None:
    text = FILE.replace("c: 0.5", "cc: 1").replace("A: 1.0", "B: 1").replace("HopfCole}", "HopfCole, node: 1}")
    code, output = call(text)
    assert code == 2
    for key in ("`problem.hamiltonian.cc`", "`problem.initial.B`", "`method.node`"):
        assert key in output


def test_a_scheme_is_put_together_from_named_parts(folder: Path) -> None:
    parts = (
        "FiniteDifference, cells: 20, derivative: Upwind, stepper: ForwardEuler, step_rule: {kind: CFL, number: 0.5}"
    )
    code, output = call(FILE.replace("HopfCole", parts))
    assert code == 0, output
    with np.load("bowl.npz") as stored:
        assert "Numerical" in str(stored["equation"])  # the first-order scheme names its own viscosity


def test_a_wrong_part_is_refused_with_the_nearest_one(folder: Path) -> None:
    code, output = call(FILE.replace("HopfCole", "FiniteDifference, cells: 20, stepper: SSPRK5"))
    assert code == 2 and "`method.stepper.kind`" in output and "SSPRK3" in output
    code, output = call(FILE.replace("HopfCole", "FiniteDifference, cells: 20, step_rule: {kind: CFL, number: 1.5}"))
    assert code == 2 and "`method.step_rule`" in output and "unstable" in output


def test_all_that_hjsolve_offers_and_numbers_can_build_is_offered() -> None:
    """Read from the modules; here against what one would write by hand."""
    hamiltonians, parts = kinds.offered(kinds.HAMILTONIANS), {n: set(kinds.offered(o)) for n, o in kinds.PARTS.items()}
    assert {"Quadratic", "Eikonal", "Linear", "Power", "Norm", "Polyhedral", "Dubins"} <= set(hamiltonians)
    assert not {"Custom", "Separable", "WithDrift", "AbstractHamiltonian"} & set(hamiltonians)  # they need functions
    assert {"Quadratic", "Norm", "Cosine", "LogSumExp", "Atoms"} <= set(kinds.offered(kinds.INITIALS))
    assert {"Upwind", "ENO2", "ENO3", "WENO3", "WENO5", "WENOZ"} <= parts["derivative"]
    assert {"GlobalLaxFriedrichs", "LocalLaxFriedrichs", "LocalLocalLaxFriedrichs", "Godunov"} <= parts["flux"]
    assert {"ForwardEuler", "SSPRK2", "SSPRK3", "SSPRK4"} <= parts["stepper"]
    assert {"CFL", "Fixed", "PowerLaw"} <= parts["step_rule"]
    assert {"GaussPanels", "GaussHermite", "Sampled"} <= parts["rule"]
    assert not any(name.startswith("Abstract") for names in parts.values() for name in names)
    assert {"FiniteDifference", "Propagator", "HopfCole", "HopfLax", "Hopf", "FeynmanKac"} <= set(kinds.methods())
    assert not {"DeepBSDE", "ForwardBackward"} & set(kinds.methods())  # they are trained by `fit`
