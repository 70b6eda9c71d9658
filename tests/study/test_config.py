"""Configs: YAML is read as it looks, and every mistake is named in one pass."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from hjsolve.study import config, strict_yaml
from hjsolve.study.errors import ConfigError


class Inner(config.StrictModel):
    epsilon: float = Field(default=0.1, gt=0)


class Config(config.RunConfig):
    inner: Inner = Inner()
    sizes: tuple[int, ...] = (1, 2)
    mode: Literal["fast", "slow"] = "fast"


def resolve(*assignments: str) -> Config:
    return config.validate(Config, config.override({"experiment": "toy"}, assignments), "here")


def test_scalars_are_read_as_they_look() -> None:
    text = "a: 1e-3\nb: no\nc: 010\nd: 1:30\ne: 2020-01-01\nf: ~\ng: true\nh: .5\ni: -1.E5\nj: [1, 2.]\nk: on\n"
    expected = [0.001, "no", 10, "1:30", "2020-01-01", None, True, 0.5, -1e5, [1, 2.0], "on"]
    assert list(strict_yaml.load(text, "f").values()) == expected


def test_what_is_dumped_loads_back() -> None:
    strings = ["1e-3", "no", "true", "", "010", "null", "=", "<<", "*a", "é", "2020-01-01", "a: b", "x\ny", "~"]
    data = {"strings": strings, "floats": [1e-5, 1.0, 1e300, -0.0], "ints": [0, -3], "none": None, "flag": False}
    assert strict_yaml.load(strict_yaml.dump(data), "f") == data


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", ["f.yaml, line 3", "`a`", "twice", "line 1"]),
        ("a:\n  b: 1\n  b: 2\n", ["line 3", "`b`", "twice"]),
        ("[" * 3000, ["f.yaml, line 1", "deeper than 40"]),
        ("a: &x 1\nb: *x\n", ["line 2", "aliases"]),
        ("- 1\n- 2\n", ["f.yaml", "key: value", "list"]),
        ("", ["f.yaml", "empty"]),
        ("a: [1,\n", ["f.yaml, line 2"]),
        ("a: 1\n b: 2\n", ["f.yaml, line 2"]),
        ("a: \x00", ["f.yaml", "not readable"]),
        (b"\xff\xfea", ["f.yaml", "not readable"]),
        ("a: " + "9" * 5000, ["f.yaml"]),
        ("? [1]\n: 2\n", ["f.yaml, line 1", "key"]),
        ("a: 1\n---\nb: 2\n", ["f.yaml, line 2"]),
        ("a: !!set {b, c}\n", ["f.yaml, line 1", "set"]),
        ("a: !!python/object/apply:os.getcwd []\n", ["f.yaml, line 1"]),
    ],
)
def test_bad_yaml_is_refused_with_its_place(text: str | bytes, said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        strict_yaml.load_mapping(text, "f.yaml")
    assert all(word in str(caught.value) for word in said), str(caught.value)


def test_every_mistake_is_reported_in_one_pass() -> None:
    bad = [
        "seed=-1",
        "sed=3",
        "inner.epsilonn=3",
        "inner.epsilon=0",
        "sizes=[1, x]",
        "mode=fats",
        "out=3",
        "device=gpuu",
    ]
    with pytest.raises(ConfigError) as caught:
        resolve(*bad)
    lines = str(caught.value).splitlines()
    assert lines[0] == "here: 8 mistakes"
    for words in (
        ["`seed`", ">= 0", "-1"],
        ["`sed`", "`seed`", "Keys:", "precision"],
        ["`inner.epsilonn`", "`epsilon`"],
        ["`inner.epsilon`", "> 0", "got 0"],
        ["`sizes.1`", "integer", "'x'"],
        ["`mode`", "'fast' or 'slow'", "'fats'", "`fast`"],
        ["`out`", "string", "3"],
        ["`device`", "'auto', 'cpu', 'gpu' or 'tpu'", "`gpu`"],
    ):
        assert any(all(word in line for word in words) for line in lines[1:]), (words, lines)


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", ".hidden", "''", "' '", "..", "a" * 101, '"a\\nb"'])
def test_a_name_that_is_no_plain_folder_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="`name` must be a plain folder name"):
        resolve(f"name={name}")


@pytest.mark.parametrize("value", ["1.0", "true", "'1'", "1e3"])
def test_whole_numbers_are_not_guessed(value: str) -> None:
    with pytest.raises(ConfigError, match="`seed`"):
        resolve(f"seed={value}")


@pytest.mark.parametrize("value", [".nan", ".inf"])
def test_nan_and_infinity_are_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"`inner\.epsilon`.*finite"):
        resolve(f"inner.epsilon={value}")


def test_overrides_reach_nested_keys_and_lists_fill_tuples() -> None:
    resolved = resolve("inner.epsilon=2", "sizes=[3, 4]", "name=")
    assert (resolved.inner.epsilon, resolved.sizes, resolved.name) == (2.0, (3, 4), None)
    assert config.validate(Config, strict_yaml.load(config.to_yaml(resolved), "f"), "f") == resolved


@pytest.mark.parametrize("assignment", ["seed", "=3", "inner..epsilon=1", "sizes.x=3", "out=[", "experiment.x=1"])
def test_a_broken_override_is_refused_by_name(assignment: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve("sizes=[1]", assignment)
    assert assignment.partition("=")[0] in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        config.read(tmp_path / "absent.yaml")
