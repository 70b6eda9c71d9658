"""Experiments are found in a folder, described without an import, and refused by name."""

import inspect
import sys
from pathlib import Path

import pytest

import hjsolve as hj
from hjsolve.problem.hamiltonians import AbstractHamiltonian as H
from hjsolve.study import catalogue, registry
from hjsolve.study.errors import ConfigError


def test_listing_imports_nothing(toy: Path) -> None:
    (toy.parent / "root" / "experiments" / "rude.py").write_text('"""Rude."""\nraise SystemExit\n\n\ndef run(): ...\n')
    (toy.parent / "root" / "experiments" / "_draft.py").write_text('"""Draft."""\n\n\ndef run(): ...\n')
    assert registry.names() == {"rude": "Rude.", "toy": "Squares of whole numbers, slowly if asked."}


def test_an_experiment_loads_with_its_neighbours(toy: Path) -> None:
    experiment = registry.load("toy")
    assert experiment.figures == ("parabola",)
    assert experiment.config.model_fields["count"].default == 3
    assert sys.modules["hjsolve_experiments.toy"].square(3) == 9


def test_unknown_names_give_the_nearest_and_the_list(toy: Path) -> None:
    with pytest.raises(ConfigError, match=r"no experiment `toi`\. Did you mean `toy`\? Experiments: toy\."):
        registry.load("toi")
    with pytest.raises(ConfigError, match=r"no figure `parabla`.*Did you mean `parabola`\?"):
        registry.figure("parabla")


def test_an_experiment_without_a_config_is_refused(toy: Path) -> None:
    (toy.parent / "root" / "experiments" / "bare.py").write_text('"""Bare."""\n\n\ndef run(config, table): ...\n')
    with pytest.raises(ConfigError, match=r"`bare` must define `class Config\(RunConfig\)`"):
        registry.load("bare")


def test_an_experiment_that_does_not_import_is_named(toy: Path) -> None:
    path = toy.parent / "root" / "experiments" / "lost.py"
    path.write_text('"""Lost."""\nimport no_such_module\n\n\ndef run(config, table): ...\n')
    with pytest.raises(ConfigError, match=r"`lost` does not load: ModuleNotFoundError: .*no_such_module"):
        registry.load("lost")


def test_a_config_comes_from_the_name_a_file_or_defaults(toy: Path) -> None:
    assert registry.configure("toy", []).model_dump()["count"] == 4
    Path("mine.yaml").write_text("experiment: toy\ncount: 9\n")
    assert registry.configure("mine.yaml", ["pause=0.5"]).model_dump()["count"] == 9
    (toy.parent / "root" / "configs" / "toy.yaml").unlink()
    assert registry.configure("toy", []).model_dump()["count"] == 3


def test_a_file_without_an_experiment_is_refused(toy: Path) -> None:
    Path("mine.yaml").write_text("count: 9\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: `experiment` is required\. Experiments: toy\."):
        registry.configure("mine.yaml", [])


@pytest.mark.parametrize("path", sorted((registry.root() / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_is_one_of_an_experiment(path: Path) -> None:
    assert registry.configure(str(path), []).experiment in registry.names()


def is_final(kind: type, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base) and not inspect.isabstract(kind)


def test_the_catalogue_reads_the_real_package() -> None:
    sections = catalogue.sections()
    assert {"Quadratic", "Eikonal", "Power"} <= set(sections["Hamiltonians"])
    assert "Constant" in sections["Viscosities"] and "Atoms" in sections["Initial data"]
    assert "particle.HopfCole" in sections["Methods"]
    bases = hj.methods.base.AbstractMethod
    for family in ("grid", "particle", "network"):
        module = getattr(hj.methods, family)
        classes = [name for name in module.__all__ if is_final(getattr(module, name), bases)]
        assert {f"{family}.{name}" for name in classes} <= set(sections["Methods"])
    classes = {name for name in hj.hamiltonians.__all__ if is_final(getattr(hj.hamiltonians, name), H)}
    assert classes == set(sections["Hamiltonians"])
    assert {"Dirichlet", "AwayFromZero"} <= set(sections["Boundary conditions"])
    assert not any(name.startswith("Abstract") for entries in sections.values() for name in entries)
    assert all(line and line != "(no description)" for entries in sections.values() for line in entries.values())
