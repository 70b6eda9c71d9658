"""The two consoles, and a progress bar that shows only when work takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

console = Console()
errors = Console(stderr=True)
_DELAY = 1.0
_active = threading.Lock()


@contextmanager
def progress(description: str, total: float | None = 1.0) -> Iterator[Callable[[float], None]]:
    """Show a bar on a terminal once the block has lasted a second; call the yielded `reached(done)` as work is done.

    `done` counts up to `total` from the start, so that a lost update does no harm. `total=None` shows a spinner.
    Inside another bar, off a terminal or for quick work nothing is drawn.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*(columns if total is not None else columns[:2]), console=errors, transient=True)
    task = bar.add_task(description, total=total)
    if not errors.is_terminal or not _active.acquire(blocking=False):
        yield lambda done: None
        return
    timer = threading.Timer(_DELAY, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda done: bar.update(task, completed=done)
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
        _active.release()
