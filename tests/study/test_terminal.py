"""A progress bar shows for long work on a terminal and nowhere else."""

import io
import threading

import pytest
from rich.console import Console

from hjsolve.study import terminal


@pytest.mark.parametrize(("delay", "drawn"), [(0.0, True), (60.0, False)])
def test_a_bar_shows_for_long_work_only(monkeypatch: pytest.MonkeyPatch, delay: float, drawn: bool) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(terminal, "errors", screen)
    monkeypatch.setattr(terminal, "_DELAY", delay)
    with terminal.progress("solving") as reached, terminal.progress("inner") as inner:
        threading.Event().wait(0.2)
        reached(0.5)
        inner(0.5)
    text = screen.file.getvalue()
    assert ("solving" in text) == drawn
    assert "inner" not in text


def test_no_bar_off_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Console(file=io.StringIO())
    monkeypatch.setattr(terminal, "errors", plain)
    monkeypatch.setattr(terminal, "_DELAY", 0.0)
    with terminal.progress("solving") as reached:
        threading.Event().wait(0.1)
        reached(1.0)
    assert plain.file.getvalue() == ""
