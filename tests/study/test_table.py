"""The table: what was recorded comes back as it was, whole or not at all."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from hjsolve.study import fields, store
from hjsolve.study.errors import StoreError
from hjsolve.study.table import Table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store.write_status(tmp_path, "running")
    store.write(tmp_path / "config.yaml", "experiment: toy\nseed: 3\n")
    return tmp_path


VALUES = [
    *(1, -7, 2**70, 0.1, 1e-300, -0.0, float("inf"), True, False, None, ""),
    *("text", "12", "1e3", "NaN", "null", "true", '"quoted"', "a,b", "line\nbreak", "carriage\rreturn", " ε ", "[1]"),
]


def test_rows_come_back_with_their_types(folder: Path) -> None:
    table = Table(folder=folder)
    for value in VALUES:
        table.add(value=value)
    read = [row["value"] for row in Table.read(folder).rows]
    assert read == VALUES
    assert [type(value) for value in read] == [type(value) for value in VALUES]


def test_numbers_of_any_library_and_nan(folder: Path) -> None:
    table = Table(folder=folder)
    table.add(a=np.float32(0.5), b=np.int64(3), c=np.array(2.0), d=float("nan"))
    row = Table.read(folder).rows[0]
    assert (row["a"], row["b"], row["c"]) == (0.5, 3, 2.0)
    assert isinstance(row["d"], float) and np.isnan(row["d"])


def test_columns_may_grow_and_missing_cells_are_none(folder: Path) -> None:
    table = Table(folder=folder)
    table.add(method="grid", error=0.5)
    table.add(method="particle", **{"time [s]": 2})
    expected = [
        {"method": "grid", "error": 0.5, "time [s]": None},
        {"method": "particle", "error": None, "time [s]": 2},
    ]
    assert table.rows == expected == Table.read(folder).rows
    assert Table.read(folder).columns == ["method", "error", "time [s]"]
    np.testing.assert_array_equal(Table.read(folder).column("error"), [0.5, np.nan])
    assert list(Table.read(folder).column("method")) == ["grid", "particle"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool", "complex128"])
def test_fields_come_back_bit_for_bit(folder: Path, dtype: str) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    Table(folder=folder).field("u", values, dims=("t", "x", "y"), unit="m", shift=np.array([1.0, 2.0]))
    read = Table.read(folder)
    np.testing.assert_array_equal(read.fields["u"], values)
    assert read.fields["u"].dtype == values.dtype
    assert read.attrs("u") == {"dims": ("t", "x", "y"), "unit": "m", "shift": [1.0, 2.0]}


def test_a_table_without_a_folder_answers_alike() -> None:
    table = Table({"seed": 3})
    table.field("u", [1.0, 2.0], dims=("x",), unit="m")
    table.metric(step=1, loss=0.5)
    assert table.attrs("u") == {"dims": ("x",), "unit": "m"}
    assert (list(table.fields), table.metrics, table.config) == (["u"], [{"step": 1, "loss": 0.5}], {"seed": 3})


def test_metrics_survive_a_cut_off_line(folder: Path) -> None:
    table = Table(folder=folder)
    table.metric(step=0, loss=float("nan"))
    table.metric(step=1, loss=0.5)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')  # what a kill in the middle of a write leaves
    metrics = Table.read(folder).metrics
    assert len(metrics) == 2 and metrics[1] == {"step": 1, "loss": 0.5}


def test_an_array_without_its_marker_is_refused(folder: Path) -> None:
    Table(folder=folder).field("u", np.ones(5))
    metadata = folder / "fields.zarr" / "u" / "zarr.json"
    content = json.loads(metadata.read_text())
    del content["attributes"][fields.MARKER]
    metadata.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"`.*u` was not written to its end.*Remove it"):
        Table.read(folder).fields["u"]


def test_a_lost_chunk_is_refused_and_the_rest_stays_readable(folder: Path) -> None:
    table = Table(folder=folder)
    table.add(n=1)
    table.field("u", np.ones(5))
    table.field("v", np.arange(3.0))
    next(path for path in (folder / "fields.zarr" / "u" / "c").rglob("*") if path.is_file()).unlink()
    read = Table.read(folder)
    with pytest.raises(StoreError, match="is damaged"):
        read.fields["u"]
    np.testing.assert_array_equal(read.fields["v"], [0.0, 1.0, 2.0])
    assert read.rows == [{"n": 1}]


def test_an_interrupted_array_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "_digest", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        Table(folder=folder).field("u", np.ones(5))
    assert not list(folder.glob(".field-*")) and list(Table.read(folder).fields) == []


def _interrupt(values: object) -> str:
    raise KeyboardInterrupt


def test_a_full_disk_keeps_the_last_whole_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(folder=folder)
    table.add(n=1)
    before = sorted(folder.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _no_space)
        with pytest.raises(StoreError, match=r"table\.csv`: No space left.*free some space"):
            table.add(n=2)
    assert Table.read(folder).rows == [{"n": 1}]
    assert sorted(folder.iterdir()) == before


def _no_space(handle: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
def test_a_line_on_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "log.txt").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"log\.txt`: No space left.*free some space"):
        store.append(tmp_path / "log.txt", "a line")


@pytest.mark.parametrize("name", ["../u", "a/b", "", ".u", "u v"])
def test_a_field_name_that_is_no_plain_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="field's name"):
        Table().field(name, [1.0])


def test_misuse_names_the_remedy() -> None:
    table = Table()
    table.add(error=1.0)
    table.field("u", [1.0])
    with pytest.raises(ValueError, match="never overwritten"):
        table.field("u", [2.0])
    with pytest.raises(ValueError, match=r"`error`.*table\.field"):
        table.add(error=[1.0, 2.0])
    with pytest.raises(ValueError, match="`dims` must be 1 names"):
        table.field("v", [1.0], dims=("x", "y"))
    with pytest.raises(ValueError, match="must be numbers"):
        table.field("v", ["a"])
    with pytest.raises(KeyError, match="Did you mean `error`"):
        table.column("eror")
    with pytest.raises(KeyError, match="Fields: u"):
        table.fields["w"]


def test_a_table_cut_by_another_hand_is_refused(folder: Path) -> None:
    Table(folder=folder).add(a=1, b=2)
    (folder / "table.csv").write_text("a,b\n1\n")
    with pytest.raises(StoreError, match="differ in length"):
        Table.read(folder)
