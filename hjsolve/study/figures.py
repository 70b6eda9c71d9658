"""Figures from a stored table alone: drawing never computes, so a figure can be redrawn years after its run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import registry, store
from .errors import RunFailed
from .table import Table

DPI = 150


def redraw(folder: Path) -> list[Path]:
    """Draw the figures of the run in `folder` again and return their files; `RunFailed` lists those that failed."""
    table = Table.read(folder)
    names = registry.load(str(table.config.get("experiment"))).figures
    failures = draw(table, folder, names)
    if failures:
        state = store.read_status(folder)["state"]
        if state != "finished":
            failures.append(f"The run is {state}, not finished: what it did not reach cannot be drawn.")
        raise RunFailed("\n".join(failures))
    return [folder / "figures" / f"{name}.png" for name in names]


def draw(table: Table, folder: Path, names: Sequence[str]) -> list[str]:
    """Draw each named figure into `folder/figures/`; return one line for each that failed, the others being drawn."""
    failures = []
    for name in names:
        try:
            save(registry.figure(name)(table), folder / "figures" / f"{name}.png")
        except Exception as error:
            failures.append(f"figure `{name}`: {type(error).__name__}: {error}")
    return failures


def save(figure: Any, path: Path) -> None:
    """Write a matplotlib figure as a PNG, whole or not at all, without touching the chosen backend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    figure.set_canvas(FigureCanvasAgg(figure))
    figure.savefig(content, format="png", dpi=DPI)
    with store.disk_errors(path):
        path.parent.mkdir(exist_ok=True)
    store.write(path, content.getvalue())
