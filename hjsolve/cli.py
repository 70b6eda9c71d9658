"""The command line: it parses, calls `hjsolve.study` and turns errors into one message and an exit code.

Exit codes: 0 done, 1 a run failed, 2 bad input, 130 Ctrl-C. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

import hjsolve
from hjsolve.study.errors import ConfigError, RunFailed, StoreError

app = typer.Typer(
    help="Viscous Hamilton-Jacobi equations: run experiments, redraw their figures, solve a problem from a file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Config keys to set; dots nest.")]
Target = Annotated[str, typer.Argument(metavar="NAME|FILE", help="An experiment's name or a .yaml config file.")]


@contextmanager
def _reported() -> Iterator[None]:
    """Print what is to be said about an error in red, without a traceback, and exit with its code."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except (ConfigError, StoreError, RunFailed) as error:
        from hjsolve.study.terminal import errors

        errors.print(f"[bold red]error:[/] [red]{escape(str(error))}[/]", soft_wrap=True, highlight=False)
        raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hjsolve {hjsolve.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    os.environ.setdefault("MPLBACKEND", "Agg")  # figures go to files: never open a window or need a display
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"  # no source lines of the library's own


@app.command()
def run(target: Target, overrides: Overrides = None) -> None:
    """Run an experiment: a run folder with its table, fields, log and figures. `hjsolve show NAME` lists the keys."""
    with _reported():
        from hjsolve.study import registry
        from hjsolve.study.run import run as run_config

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # asked to end, as by Ctrl-C
        run_config(registry.configure(target, overrides or []))


@app.command("list")
def list_() -> None:
    """List experiments, methods, Hamiltonians, viscosities, boundary conditions and initial data."""
    with _reported():
        from rich.table import Table

        from hjsolve.study.catalogue import sections
        from hjsolve.study.terminal import console

        for title, entries in sections().items():
            table = Table(box=None, show_header=False, padding=(0, 2))
            table.add_column(style="cyan", no_wrap=True)
            table.add_column(overflow="fold")
            for name, line in entries.items():
                table.add_row(name, escape(line))
            console.print(f"[bold]{title}[/]", table if entries else "  (none)")


@app.command()
def show(target: Target, overrides: Overrides = None) -> None:
    """Print the resolved config of an experiment as YAML, keys explained: what `run` takes as KEY=VALUE."""
    with _reported():
        from hjsolve.study import registry
        from hjsolve.study.config import explained

        typer.echo(explained(registry.configure(target, overrides or [])), nl=False)


@app.command()
def figures(folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]) -> None:
    """Redraw the figures of a run from its stored table; nothing is computed again."""
    with _reported():
        from hjsolve.study.figures import redraw

        for path in redraw(folder):
            typer.echo(path)


@app.command()
def solve(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A problem in YAML.")],
    out: Annotated[Path, typer.Option(help="The folder for the solution and its picture.")] = Path(),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing solution.")] = False,
) -> None:
    """Solve a problem from a YAML file: the solution as .npz, .nc or .zarr, a PNG, and an animation if asked for."""
    with _reported():
        from hjsolve.study.adhoc import solve_file

        for path in solve_file(file, out, overwrite=overwrite):
            typer.echo(path)


@app.command()
def doctor() -> None:
    """Show versions, devices and precision, and check that the installed JAX computes right."""
    with _reported():
        from hjsolve.study.doctor import examine

        examine()


def main() -> None:
    """Run the command line; the entry point of the installed `hjsolve`."""
    app()
