"""A table stays readable at any width."""

import io

import pytest
from rich.console import Console

from hjsolve.study import report
from hjsolve.study.table import Table


def shown(table: Table, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(report.render(table, width))
    return console.file.getvalue()


@pytest.fixture
def table() -> Table:
    table = Table()
    table.add(method="particle", **{f"column {n}": n + 1 / 3 for n in range(12)}, **{"memory [MB]": 123.456})
    return table


@pytest.mark.parametrize("width", [40, 80, 300])
def test_a_wide_table_is_split_and_never_cut(table: Table, width: int) -> None:
    text = shown(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for n in range(12):
        assert f"column {n}" in text and f"{n + 1 / 3:.4g}" in text
    assert "memory [MB]" in text and "123" in text and "123.5" not in text
    assert text.count("particle") > 1 or width == 300


def test_cells() -> None:
    assert [report.cell(value) for value in (None, True, 12345, 1.23456e-7, float("nan"), "x")] == [
        *("–", "yes", "12345", "1.235e-07", "nan", "x")
    ]


def test_an_empty_table_prints_nothing() -> None:
    assert shown(Table(), 80).strip() == ""
